"""Every service of the demo: intake, the queue's two faces, tally, three custodians; each a process with an account, a
folder, a token and a database role of its own, knowing of the others no more than an address.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

from infra.demo.offices import CUSTODIANS, Key, Offices
from infra.demo.processes import Processes
from infra.demo.rooms import Room, create_custodians
from infra.demo.toml import Value
from infra.keys import new_token
from infra.postgres import Cluster

CUSTODIAN_NAMES = tuple(f"custodian-{number}" for number in range(1, CUSTODIANS + 1))
DATABASES = ("intake", "queue", "tally", *CUSTODIAN_NAMES)
SERVICES = ("intake", "queue-ingress", "queue-egress", "tally", *CUSTODIAN_NAMES)
HEALTHY_SECONDS = 60.0
SCHEMA_SECONDS = 60.0
PORTS = range(20_000, 32_000)
"""Below those that Linux gives to outgoing connections."""


@dataclass(frozen=True)
class Election:
    """What every service is told of the election: the signed manifest's file, and its hash in base64url."""

    manifest: Path
    manifest_hash: str


def make_databases(processes: Processes, clusters: Mapping[str, Cluster]) -> None:
    """A database in every cluster, and its tables, made by an owner that no service logs in as."""
    commands = {}
    for name, cluster in clusters.items():
        kind = "custodian" if name in CUSTODIAN_NAMES else name
        roles = ("ingress", "egress") if kind == "queue" else (kind,)
        cluster.create_database(kind, "owner", roles)
        owner = ["--database", cluster.url("owner", kind), "--passfile", str(cluster.passfile("owner"))]
        given = ["--ingress", "ingress", "--egress", "egress"] if kind == "queue" else ["--role", kind]
        commands[f"schema-{name}"] = ["schema", kind, *owner, *given]
    processes.run_all(commands, SCHEMA_SECONDS)


class Services:
    """The services' rooms, their tokens and their ports; `start` starts them all."""

    def __init__(
        self, folder: Path, rooms: Mapping[str, Room], clusters: Mapping[str, Cluster], offices: Offices
    ) -> None:
        self._rooms, self._clusters, self._offices = rooms, clusters, offices
        listening = [name for name in SERVICES if name != "tally"]
        addresses = free_addresses(2 * len(listening))
        self.listens = dict(zip(listening, addresses, strict=False))
        self.private = dict(zip(listening, addresses[len(listening) :], strict=True))
        # Whoever serves and whoever calls hold the same token, and nobody else does.
        self._tokens = {name: folder / f"{name}.token" for name in listening if name != "intake"}
        for path in self._tokens.values():
            new_token(path)

    @property
    def intake(self) -> str:
        return self._url("intake")

    @property
    def custodians(self) -> list[str]:
        return [self._url(name) for name in CUSTODIAN_NAMES]

    @property
    def status(self) -> Path:
        """The file in which tally, which listens on nothing, says how it is."""
        return self._rooms["tally"].place("status.json")

    def start(self, processes: Processes, election: Election, workers: int) -> None:
        """Writes every configuration, starts every service, and returns when all of them are ready."""
        self._configure_queue()
        for name, key in zip(CUSTODIAN_NAMES, self._offices.custodians, strict=True):
            self._configure_custodian(name, key, election)
        create_custodians(processes, [self._rooms[name] for name in CUSTODIAN_NAMES])
        self._configure_intake(election, workers)
        self._configure_tally(election, workers)
        for name in SERVICES:
            self._rooms[name].serve(processes, "custodian" if name in CUSTODIAN_NAMES else name)
        for addresses in (self.private, self.listens):
            healthy = {name: f"http://{address}/healthz" for name, address in addresses.items()}
            processes.wait_healthy(healthy, HEALTHY_SECONDS)
        processes.wait_until(self.status.exists, "tally's status file", HEALTHY_SECONDS)

    def pids(self, processes: Processes) -> dict[str, int]:
        """The process of every service, by name."""
        return {process.name: process.pid for process in processes.services}

    def _configure_queue(self) -> None:
        intake = self._offices.intake.vkey.partition("+")[0]
        ingress, egress = self._rooms["queue-ingress"], self._rooms["queue-egress"]
        ingress.configure({
            **self._ports("queue-ingress"),
            **ingress.database(self._clusters["queue"], "ingress", "queue"),
            "intakes": {intake: ingress.keep(self._tokens["queue-ingress"])},
        })
        egress.configure({
            **self._ports("queue-egress"),
            **egress.database(self._clusters["queue"], "egress", "queue"),
            "token": egress.keep(self._tokens["queue-egress"]),
        })

    def _configure_custodian(self, name: str, key: Key, election: Election) -> None:
        room = self._rooms[name]
        room.configure({
            **self._ports(name),
            **room.database(self._clusters[name], "custodian", "custodian"),
            "token": room.keep(self._tokens[name]),
            "manifests": [room.keep(election.manifest)],
            "keys": [room.keep(key.file)],
        })

    def _configure_intake(self, election: Election, workers: int) -> None:
        room = self._rooms["intake"]
        room.configure({
            **self._ports("intake"),
            **room.database(self._clusters["intake"], "intake", "intake"),
            "key": room.keep(self._offices.intake.file),
            "manifest": room.keep(election.manifest),
            "manifest_hash": election.manifest_hash,
            "custodians": self.custodians,
            "queue": self._caller(room, "queue-ingress"),
            "workers": workers,
        })

    def _configure_tally(self, election: Election, workers: int) -> None:
        room = self._rooms["tally"]
        room.configure({
            **room.database(self._clusters["tally"], "tally", "tally"),
            "manifest": room.keep(election.manifest),
            "manifest_hash": election.manifest_hash,
            "egress": self._caller(room, "queue-egress"),
            "keys": [room.keep(key.file) for key in self._offices.log],
            "custodians": [self._caller(room, name) for name in CUSTODIAN_NAMES],
            "workers": workers,
            "status": self.status,
        })

    def _ports(self, name: str) -> dict[str, Value]:
        """Where it serves everybody, and where it tells those who run it how it is."""
        return {"listen": self.listens[name], "private": self.private[name]}

    def _caller(self, room: Room, name: str) -> dict[str, Value]:
        """Address and token of the service `name`, for the one who calls it."""
        return {"url": self._url(name), "token": room.keep(self._tokens[name])}

    def _url(self, name: str) -> str:
        return f"http://{self.listens[name]}"


def free_addresses(count: int) -> list[str]:
    """Loopback addresses with ports that nobody listens on now, and no outgoing connection may take."""
    with ExitStack() as stack:
        found: list[str] = []
        for port in SystemRandom().sample(PORTS, len(PORTS)):
            one = stack.enter_context(socket.socket())
            with suppress(OSError):
                one.bind(("127.0.0.1", port))
                found.append(f"127.0.0.1:{port}")
            if len(found) == count:
                break
        return found
