"""All zones of an election as processes of their own: intakes, the queue's two faces, tally (and others that stand by
for it) and N custodians, each in a network namespace of its own, and a log that grows under whatever befalls them.
"""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Connection, text

from audit.log.keys import Signer
from audit.protocol.group import b64
from infra.keys import new_token, write_secret
from infra.postgres import Cluster
from infra.queue import schema as queue_schema
from intake.door import schema as intake_schema
from tally.sequencer import schema as ledger_schema
from tests.databases import Database, make_database
from tests.faults.network import Network, network
from tests.faults.processes import Process, Spawner, spawner
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.parties import Parties
from vault.custodian import care
from vault.custodian import schema as custodian_schema

TOKEN = "token-of-the-faults-that-is-long-enough-for-one"
PORT = 8000
END_SECONDS = 30.0

Install = Callable[[Connection, str], None]


def install_queue(connection: Connection, role: str) -> None:
    queue_schema.install(connection, role, role)


INSTALL: dict[str, Install] = {
    "intake": intake_schema.install,
    "queue": install_queue,
    "tally": ledger_schema.install,
    "custodian": custodian_schema.install,
}


HOLDERS = 40
"""Accounts of the one class, if an election goes on to its vote."""


def meeting_of(custodians: int, W: int, origin: str, intakes: int = 1) -> Meeting:
    """An election with so many custodians in which one official may sign a notice: the cheapest entry there is. Its
    log begins with entry 0.
    """
    dice = Dice(7)
    drawn = Parties.drawn(dice)
    keys = tuple(dice.custodian_keys(f"custodian-{number}") for number in range(custodians))
    parties = Parties(**{**vars(drawn), "custodians": keys})
    meeting = Meeting({"common": tuple(range(1, HOLDERS + 1))}, parties=parties, origin=origin)
    meeting.body["custodians"]["threshold"] = W
    meeting.body["officials"]["threshold"] = 1
    meeting.body["intakes"] = meeting.body["intakes"][:intakes]
    meeting.body["batch"] = {"min": 8, "wait_ms": 200}
    return meeting.found()


@dataclass
class Zone:
    """One service: what it is, by which file it runs, and the process that does, if one does."""

    name: str
    service: str
    config: Path
    process: Process | None = None

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.alive


@dataclass
class Zones:
    """`databases` by zone (`intake`, `intake-1`, `queue`, `tally`, `custodian-0`...); a custodian that has none keeps
    a folder of `folders`. `sequencers`: how many tallies there are on the one ledger, `tally`, `tally-1`...
    `workers`: how many processes check ballots in each of them, and in each intake.
    """

    meeting: Meeting
    folder: Path
    network: Network
    spawner: Spawner
    databases: Mapping[str, Database]
    folders: Mapping[str, Path]
    sequencers: int = 1
    workers: int = 1
    zones: dict[str, Zone] = field(default_factory=dict)
    faults: int = 0

    @property
    def custodians(self) -> list[str]:
        return [f"custodian-{number}" for number in range(len(self.meeting.parties.custodians))]

    @property
    def intakes(self) -> list[str]:
        return numbered("intake", len(self.meeting.manifest.intakes))

    @property
    def tallies(self) -> list[str]:
        return numbered("tally", self.sequencers)

    @property
    def names(self) -> list[str]:
        return [*self.intakes, "ingress", "egress", *self.tallies, *self.custodians]

    def url(self, name: str) -> str:
        return f"http://{self.network.address(name)}:{PORT}"

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def said(self, name: str, event: str) -> list[dict[str, Any]]:
        """The log lines of a zone that tell of this event."""
        if not self.log(name).exists():
            return []
        # Of a zone that was killed as it wrote, the last line is not whole.
        lines = [line for line in self.log(name).read_text().splitlines() if line[:1] == "{" and line[-1:] == "}"]
        return [line for line in map(json.loads, lines) if line.get("event") == event]

    def start(self, *names: str, **fault: Any) -> None:
        """Starts these zones, all that do not run if none are named; `fault` as `spawner.plant`."""
        for name in names or [name for name in self.names if not self.zones[name].alive]:
            zone = self.zones[name]
            assert not zone.alive, f"{name} runs already"
            space = self.network.namespace(name)
            self.faults += bool(fault)
            zone.process = self.spawner.start(zone.service, zone.config, self.log(name), space, **fault)

    def process(self, name: str) -> Process:
        process = self.zones[name].process
        assert process is not None
        return process

    def kill(self, *names: str) -> None:
        for name in names:
            self.process(name).kill()
            self.faults += 1

    def restart(self, name: str, **fault: Any) -> None:
        self.kill(name)
        self.start(name, **fault)

    def stop(self, *names: str) -> None:
        """SIGSTOP, as of a machine that hangs."""
        for name in names:
            self.process(name).signal(signal.SIGSTOP)
            self.faults += 1

    def go_on(self, *names: str) -> None:
        for name in names:
            self.process(name).signal(signal.SIGCONT)

    def cut(self, a: str, *others: str) -> None:
        """What `a` sends does not reach these any more."""
        for b in others:
            self.network.cut(a, b)
            self.faults += 1

    def mend(self) -> None:
        """Ends whatever befalls them: all run, and all reach all. Those that a fault was planted in begin anew."""
        self.network.heal()
        for name in self.names:
            zone = self.zones[name]
            if zone.alive:
                self.go_on(name)
        self.start()

    def lose_disk(self, name: str) -> None:
        """Everything that a zone holds is gone, which does not run; its keys, which are kept elsewhere, are not. Its
        empty tables, or its empty folder, are made anew.
        """
        self.faults += 1
        if name in self.folders:
            shutil.rmtree(self.folders[name])
            self.folders[name].mkdir(mode=0o700)
            return
        database = self.databases[name]
        database.engine.dispose()
        with database.owner.begin() as connection:
            query = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            for table in list(connection.scalars(text(query))):
                connection.execute(text(f"DROP TABLE {table} CASCADE"))
            INSTALL[name.partition("-")[0]](connection, database.engine.url.username or "")

    def close(self) -> None:
        for zone in self.zones.values():
            if zone.process is not None:
                zone.process.kill()

    def write(self) -> None:
        """Every zone's settings."""
        write_secret(self.folder / "token", TOKEN + "\n")
        (self.folder / "manifest").write_bytes(self.meeting.entries[0])
        parties, token = self.meeting.parties, "token"
        own = self._manifest()
        listen = {name: f"{self.network.address(name)}:{PORT}" for name in self.names}
        vaults = [{"url": self.url(name), "token": token} for name in self.custodians]
        for name, signer in zip(self.intakes, parties.intakes, strict=False):
            self._keys(name, [signer])
            self.write_intake(name)
        # The client puts as an intake of its own.
        shown = {"ingress": {"intakes": {"client": token, **self._tokens()}}, "egress": {"token": token}}
        for face, tokens in shown.items():
            self._write(face, f"queue-{face}", listen=listen[face], **self._database("queue"), **tokens)
        for name in self.tallies:
            self._write(
                name, "tally", **own, **self._database("tally"), keys=self._keys(name, parties.log),
                workers=self.workers, status=f"{name}.json", egress={"url": self.url("egress"), "token": token},
                custodians=vaults,
            )  # fmt: skip
        for name, signers in zip(self.custodians, parties.custodians, strict=True):
            place = {"folder": str(self.folders[name])} if name in self.folders else self._database(name)
            keys = self._keys(name, signers)
            self._write(name, "custodian", listen=listen[name], **place, token=token, keys=keys, manifests=["manifest"])
            care.create(self.zones[name].config)

    def write_intake(self, name: str, **more: str) -> None:
        """An intake's settings, and `more`."""
        self._write(
            name, "intake", listen=f"{self.network.address(name)}:{PORT}", **self._database(name), **self._manifest(),
            key=f"{name}-0.key", custodians=[self.url(one) for one in self.custodians],
            queue={"url": self.url("ingress"), "token": f"{name}.token"}, workers=self.workers, poll_ms=100, **more,
        )  # fmt: skip

    def _tokens(self) -> dict[str, str]:
        """The file of each intake's token."""
        names = {name: f"{name}.token" for name in self.intakes}
        for path in names.values():
            new_token(self.folder / path)
        return names

    def _manifest(self) -> dict[str, str]:
        return {"manifest": "manifest", "manifest_hash": b64(self.meeting.manifest.hash)}

    def _database(self, name: str) -> dict[str, str]:
        database = self.databases[name]
        return {"database": database.url, "passfile": str(database.passfile)}

    def _keys(self, name: str, signers: Sequence[Signer]) -> list[str]:
        names = [f"{name}-{number}.key" for number in range(len(signers))]
        for path, signer in zip(names, signers, strict=True):
            write_secret(self.folder / path, signer.private + "\n")
        return names

    def _write(self, name: str, service: str, **settings: object) -> None:
        path = self.folder / f"{name}.toml"
        path.write_text("".join(f"{key} = {toml(value)}\n" for key, value in settings.items()))
        self.zones.setdefault(name, Zone(name, service, path))


def numbered(service: str, count: int) -> list[str]:
    """`intake`, `intake-1`, `intake-2`..."""
    return [service, *(f"{service}-{number}" for number in range(1, count))]


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


@contextmanager
def zones(
    cluster: Cluster,
    origin: str,
    custodians: int = 3,
    W: int = 2,
    clusters: Mapping[str, Cluster] | None = None,
    folders: Mapping[str, Path] | None = None,
    intakes: int = 1,
    sequencers: int = 1,
    workers: int = 1,
    patient: bool = False,
) -> Iterator[Zones]:
    """The zones of an election of its own, none of them started. Their databases are in `cluster`, but for the zones of
    `clusters`; the custodians of `folders` have none. `patient`: they wait as long as in production.
    """
    meeting = meeting_of(custodians, W, origin, intakes)
    vault = [f"custodian-{number}" for number in range(custodians)]
    names = [*numbered("intake", intakes), "queue", "tally", *vault]
    with ExitStack() as stack:
        databases = {}
        for name in names:
            if name not in (folders or {}):
                kind = name.partition("-")[0]
                databases[name] = make_database((clusters or {}).get(name, cluster), kind, INSTALL[kind])
                stack.callback(databases[name].close)
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="psephos-faults-")))
        hosts = [*numbered("intake", intakes), "ingress", "egress", *numbered("tally", sequencers), *vault]
        made = Zones(
            meeting,
            folder,
            stack.enter_context(network(*hosts)),
            stack.enter_context(spawner(patient)),
            databases,
            folders or {},
            sequencers,
            workers,
        )
        made.write()
        stack.callback(made.close)
        yield made
