"""Three intakes, each a process with an outbox of its own: one works, one is killed for good with its disk, one is
false. The vote is closed all the same, the officials naming whom they overrule, and each ballot counts once.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pytest

from audit.protocol.group import G, b64
from audit.record.entries import Entry, make_text, parse_entry, seal
from infra.card import Card
from infra.keys import write_secret
from infra.postgres import Cluster
from infra.queue import schema as queue_schema
from infra.queue.egress import Outlet
from infra.queue.frames import Row
from infra.queue.ingress import Inlet, ingress
from intake.door import schema as door_schema
from tally.sequencer.ledger import Ledger
from tests.databases import Database, make_database
from tests.loopback import PATIENCE, serving, wait_until
from tests.sequencer.house import FOR, TOKEN, House, Queue, Vault
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.parties import Parties

PSEPHOS = [sys.executable, "-c", "from infra.commands import main; main()"]
HOLDINGS = {"common": (5, 30, 700, 11, 2)}
HONEST, FALSE, DEAD = 0, 1, 2
NAMES = ("intake-1", "intake-2", "intake-3")


class Way:
    """The queue's way out, as tally takes it."""

    def __init__(self, outlet: Outlet) -> None:
        self.take: Callable[[int], list[Row]] = outlet.take
        self._outlet = outlet

    def begin(self) -> None:
        """Nobody took anything before."""

    def ack(self, keys: Iterable[bytes]) -> None:
        self._outlet.ack(list(keys))


class Town:
    """The intakes' processes and all around them."""

    def __init__(self, folder: Path, house: House, inlet: Inlet, queue_url: str, outboxes: list[Database]) -> None:
        self.folder, self.house, self.inlet, self.outboxes = folder, house, inlet, outboxes
        self.meeting = house.meeting
        self.ports = [free_port() for _ in NAMES]
        self.processes: list[subprocess.Popen[bytes]] = []
        # One: to make it costs more than to ask, and questions are asked until they are answered.
        self.client = httpx.Client(timeout=PATIENCE, trust_env=False)
        for name in NAMES:
            write_secret(folder / f"{name}.token", f"{name}{TOKEN}\n")
        (folder / "manifest").write_bytes(self.meeting.entries[0])
        for number, official in enumerate(self.meeting.parties.officials):
            write_secret(folder / f"official-{number}", official.private + "\n")
        # The one that dies never reaches the queue: what it promises, nobody else ever sees.
        self.queues = [queue_url, queue_url, f"http://127.0.0.1:{free_port()}"]
        card = Card(self.meeting.origin, self.meeting.manifest.hash, tuple(map(self.url, (0, 1, 2))), tuple(self.vault))
        (folder / "election.toml").write_text(card.to_toml())

    @property
    def vault(self) -> list[str]:
        return self.house.vault.urls

    def url(self, number: int) -> str:
        return f"http://127.0.0.1:{self.ports[number]}"

    def configure(self, number: int) -> Path:
        folder = self.folder
        write_secret(folder / f"intake-{number}.key", self.meeting.parties.intakes[number].private + "\n")
        outbox = self.outboxes[number]
        lines = {
            "listen": f"127.0.0.1:{self.ports[number]}",
            "database": outbox.url,
            "passfile": str(outbox.passfile),
            "key": f"intake-{number}.key",
            "manifest": "manifest",
            "manifest_hash": b64(self.meeting.manifest.hash),
            "custodians": self.vault,
            "workers": 1,
        }
        path = folder / f"intake-{number}.toml"
        queue = f'queue = {{ url = "{self.queues[number]}", token = "{NAMES[number]}.token" }}\n'
        path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items()) + queue)
        return path

    @contextmanager
    def running(self) -> Iterator[None]:
        """All intakes, answering."""
        try:
            for number in range(len(NAMES)):
                command = [*PSEPHOS, "serve", "intake", "--config", self.configure(number)]
                self.processes.append(subprocess.Popen(command))
            for number in range(len(NAMES)):
                wait_until(lambda number=number: self.is_ready(number))
            yield
        finally:
            self.client.close()
            for process in self.processes:
                process.kill()
                process.wait()

    def is_ready(self, number: int) -> bool:
        assert self.processes[number].poll() is None, f"{NAMES[number]} has ended"
        try:
            return self.post(number, self.of_a_stranger).json()["reason"] == "unknown-pseudonym"
        except httpx.TransportError:
            return False

    @cached_property
    def of_a_stranger(self) -> bytes:
        """A ballot by nobody on the roll: how an intake refuses it tells whether it has read that voting is open."""
        body = self.meeting.ballot(self.meeting.accounts[0], {"nominee-1": FOR}, 0)
        return make_text("ballot", self.meeting.origin, {**body, "pseudonym": b64(G.raw)})

    def post(self, number: int, raw: bytes) -> httpx.Response:
        return self.client.post(f"{self.url(number)}/{self.meeting.origin}/entries", content=raw)

    def ballot(self, account: int, revision: int = 0) -> bytes:
        """A ballot's text."""
        body = self.meeting.ballot(self.meeting.accounts[account], {"nominee-1": FOR}, revision)
        return make_text("ballot", self.meeting.origin, body)

    def handed_in(self, number: int, raw: bytes) -> Path:
        """The receipt that this intake gives."""
        answer = self.post(number, raw)
        assert answer.status_code == 201, answer.text
        receipt = answer.json()["receipt"].encode()
        path = self.folder / f"{b64(parse_entry(receipt).fields['identity'])}-{number}.receipt"
        path.write_bytes(receipt)
        return path

    def log(self) -> list[Entry]:
        return self.house.vault.entries()

    def psephos(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [*PSEPHOS, *map(str, arguments), "--election", str(self.folder / "election.toml")]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def close(self, *overruled: str) -> subprocess.CompletedProcess[str]:
        """The officials' command, as they run it."""
        keys = [word for number in (0, 1) for word in ("--key", self.folder / f"official-{number}")]
        words = [word for name in overruled for word in ("--overrule", name)]
        return self.psephos("election", "close", *keys, "--wait", 3, *words)

    def dispute(self, receipt: Path) -> tuple[int, dict[str, Any]]:
        done = self.psephos("dispute", receipt, "--json")
        assert done.stdout, done.stderr[-1500:]
        return done.returncode, json.loads(done.stdout)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def tally(house: House) -> Iterator[None]:
    """The sequencer at work until the end of the block."""
    stop, faults = threading.Event(), list[BaseException]()

    def work() -> None:
        try:
            with house.opened() as sequencer:
                while not stop.is_set():
                    if not sequencer.step():
                        time.sleep(0.05)
        except BaseException as fault:
            faults.append(fault)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE)
    assert faults == []


@pytest.fixture
def town(
    cluster: Cluster, ledger_databases: list[Database], custodian_databases: list[Database], tmp_path: Path
) -> Iterator[Town]:
    dice = Dice(11)
    parties = replace(Parties.drawn(dice), intakes=dice.signers(*NAMES))
    meeting = Meeting(HOLDINGS, origin="vote.example/several-intakes", parties=parties).prepared()
    outboxes = [make_database(cluster, "outbox", door_schema.install) for _ in NAMES]
    queue = make_database(cluster, "queue", lambda connection, role: queue_schema.install(connection, role, role))
    inlet = Inlet(queue.engine)
    vault, ledger = Vault(meeting, [one.engine for one in custodian_databases]), ledger_databases[0].engine
    house = House(meeting, vault, Ledger(ledger, meeting.origin), Queue())
    with ExitStack() as stack:
        for database in (*outboxes, queue):
            stack.callback(database.close)
        stack.enter_context(house.vault.serving())
        door = stack.enter_context(serving(ingress(inlet.store, {name: name + TOKEN for name in NAMES})))
        house.record(*meeting.entries)
        house.queue = Way(Outlet(queue.engine, time.monotonic))
        stack.enter_context(tally(house))
        town = Town(tmp_path, house, inlet, door, outboxes)
        stack.enter_context(town.running())
        yield town


def spoiled(raw: bytes, meeting: Meeting) -> bytes:
    """A voter's ballot as a captured intake passes it on: with a broken signature, which changes no identity."""
    entry = parse_entry(seal(raw, [meeting.parties.intakes[FALSE]]))
    signature = {**entry.body["signature"], "z": b64(bytes([1]) + bytes(31))}
    return meeting.signed("ballot", {**entry.body, "signature": signature}, meeting.parties.intakes[FALSE])


def test_one_intake_is_dead_and_one_is_false(town: Town) -> None:
    meeting = town.meeting
    ballots = [town.ballot(account) for account in range(5)]
    plain, through_false, of_the_dead, robbed, forgotten = ballots
    kept = town.handed_in(HONEST, plain)
    town.handed_in(FALSE, through_false)
    promised = town.handed_in(DEAD, of_the_dead)
    broken = town.handed_in(DEAD, forgotten)
    town.inlet.store([spoiled(robbed, meeting)])
    wait_until(lambda: kinds(town).count("refusal") == 1)

    # The dead one is gone, and its disk with it.
    process = town.processes[DEAD]
    process.send_signal(signal.SIGKILL)
    process.wait()
    with town.outboxes[DEAD].owner.begin() as connection:
        for table in door_schema.metadata.sorted_tables:
            connection.exec_driver_sql(f"DROP TABLE {table.name}")
    # What it promised, and what was refused as the false one spoiled it, is handed in at another, in the same words.
    for raw in (of_the_dead, robbed):
        assert town.post(HONEST, raw).status_code == 201
    wait_until(lambda: kinds(town).count("ballot") == 4)
    # An intake knows that it is the very ballot which stands there, once it has read so far; before, it does not take
    # one with a broken signature.
    probe = parse_entry(spoiled(robbed, meeting)).text
    wait_until(lambda: reason(town.post(FALSE, probe)) == "duplicate")
    assert reason(town.post(FALSE, robbed)) == "duplicate"

    closing = meeting.signed(*resolution(town, "closing"))
    wait_until(lambda: town.post(HONEST, closing).status_code in (200, 201))
    wait_until(lambda: kinds(town).count("reconcile") == 2, 60)
    false = "intake-2 says it passed on 1 ballots, the log holds 2, or others"
    missing = "intake-3 has not reconciled yet"
    done = town.close()
    assert done.returncode == 1 and f"{false}; {missing}: wait or overrule by name" in done.stderr, done.stderr
    done = town.close("intake-2", "intake-3")
    assert done.returncode == 0, done.stderr

    # Every ballot once, whoever carried it; all of it by everybody's rules.
    election = town.house.replay()
    assert (election.phase, election.overruled) == ("closed", ("intake-2", "intake-3"))
    recorded = [entry for entry in town.log() if entry.kind == "ballot"]
    identities = [parse_entry(seal(raw, [meeting.intake])).identity for raw in ballots]
    assert sorted(entry.identity for entry in recorded) == sorted(identities[:4])
    through = {entry.identity: entry.signatures[0].name for entry in recorded}
    assert [through[identity] for identity in identities[:4]] == ["intake-1", "intake-2", "intake-1", "intake-1"]

    # And what the log says to the receipts. One custodian lies, and changes nothing.
    town.house.vault.lies(0, 200, b"nonsense", where="tile")
    assert town.dispute(kept)[0] == 0
    code, shown = town.dispute(promised)
    assert (code, shown["through"]) == (0, "intake-1")
    code, shown = town.dispute(broken)
    assert (code, shown["intake"], shown["closed"], shown["overruled"]) == (5, "intake-3", True, True)


def reason(answer: httpx.Response) -> str:
    return str(answer.json().get("reason"))


def kinds(town: Town) -> list[str]:
    """Of the entries that W custodians hold, as tally knows it: to read the log from them takes the time of those that
    are waited for.
    """
    ledger = town.house.ledger
    size, _ = ledger.newest_witnessed() or (0, b"")
    return [parse_entry(raw).kind for raw in ledger.all_entries(size)]


def resolution(town: Town, kind: str) -> tuple[Any, ...]:
    size = len(town.log())
    return (kind, {"manifest": town.meeting.hash, "size": size}, *town.meeting.parties.officials[:2])
