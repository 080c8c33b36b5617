"""Queue, tally and custodians as processes of their own, each custodian with a PostgreSQL cluster of its own, around a
log of cheap entries.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from audit.log.notes import parse_note
from audit.log.reader import HttpReader, ReadError
from audit.log.treehead import parse_checkpoint
from audit.protocol.group import b64
from infra.demo.services import free_addresses
from infra.keys import write_secret
from infra.postgres import temporary_cluster
from infra.queue import schema as queue_schema
from infra.queue.ingress import Inlet
from tally.sequencer import schema as ledger_schema
from tests.databases import Database, make_database
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.parties import Parties
from vault.custodian import care
from vault.custodian import schema as custodian_schema

START = "from infra.commands import main; main()"
TOKEN = "token-of-the-bench-that-is-long-enough-for-one"
PATIENCE = 600.0
BATCH = 256
LOOK_SECONDS = 0.05


def meeting_of(custodians: int, W: int) -> Meeting:
    """An election with so many custodians in which one official may sign a notice: the cheapest entry there is."""
    dice = Dice(7)
    drawn = Parties.drawn(dice)
    keys = tuple(dice.custodian_keys(f"custodian-{number}") for number in range(1, custodians + 1))
    meeting = Meeting(parties=Parties(**{**vars(drawn), "custodians": keys}))
    meeting.body["custodians"]["threshold"] = W
    meeting.body["officials"]["threshold"] = 1
    return meeting.found()


class LoggingHouse:
    """The processes, and what they are given."""

    def __init__(self, meeting: Meeting, folder: Path, databases: Sequence[Database], queue: Database) -> None:
        self.meeting, self.folder = meeting, folder
        self.ledger, *self._vaults = databases
        self._queue = queue
        self.inlet = Inlet(queue.engine)
        count = len(self._vaults)
        egress, *self._custodians = free_addresses(1 + count)
        self._reader = HttpReader(f"http://{self._custodians[0]}/{meeting.origin}")
        self.log, self.another_log = folder / "tally.log", folder / "another-tally.log"
        self.filled = 0
        self.egress_pid = 0
        self._serving: dict[str, int] = {}
        write_secret(folder / "token", TOKEN + "\n")
        (folder / "manifest").write_bytes(meeting.entries[0])
        self._write("egress", listen=egress, **self._database(queue), token="token")
        for number, (address, database) in enumerate(zip(self._custodians, self._vaults, strict=True)):
            keys = self._keys(f"custodian-{number}", meeting.parties.custodians[number])
            self._write(
                f"custodian-{number}", listen=address, **self._database(database), token="token", keys=keys,
                manifests=["manifest"],
            )  # fmt: skip
            with redirect_stdout(StringIO()):
                care.create(folder / f"custodian-{number}.toml")
        place = [{"url": f"http://{address}", "token": "token"} for address in self._custodians]
        tally = {
            "manifest": "manifest",
            "manifest_hash": b64(meeting.manifest.hash),
            **self._database(self.ledger),
            "keys": self._keys("log", meeting.parties.log),
            "workers": 1,
            "egress": {"url": f"http://{egress}", "token": "token"},
            "custodians": place,
        }
        self._write("tally", **tally, status="status.json")
        self._write("another-tally", **tally, status="another.json")

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Queue and custodians."""
        with ExitStack() as stack:
            self.egress_pid = stack.enter_context(self.process("queue-egress", "egress")).pid
            for number in range(len(self._custodians)):
                name = f"custodian-{number}"
                self._serving[name] = stack.enter_context(self.process("custodian", name)).pid
            yield

    def custodian_pids(self) -> dict[str, int]:
        """The custodians' processes."""
        return dict(self._serving)

    @contextmanager
    def process(self, service: str, config: str) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-c", START, "serve", service, "--config", str(self.folder / f"{config}.toml")]
        with (self.folder / f"{config}.log").open("ab") as log, subprocess.Popen(command, stderr=log) as process:
            try:
                yield process
            finally:
                process.kill()

    def notices(self, count: int, length: int, first: int = 0) -> list[bytes]:
        """Entries of so many bytes, each another."""
        chair, entries = self.meeting.parties.officials[0], []
        bound = {"manifest": self.meeting.hash, "subject": "incident"}
        spare = length - len(self.meeting.signed("notice", {**bound, "text": "0" * 10}, chair))
        for number in range(first, first + count):
            text = f"{number:010d}" + "." * spare
            entries.append(self.meeting.signed("notice", {**bound, "text": text}, chair))
        return entries

    def published(self) -> int:
        """How many entries the first custodian serves; 0 while it does not answer."""
        try:
            raw = self._reader.checkpoint()
        except ReadError:
            return 0
        return parse_checkpoint(parse_note(raw).text).size if raw else 0

    def wait_published(self, size: int) -> None:
        end = time.monotonic() + PATIENCE
        while self.published() < size:
            if time.monotonic() > end:
                raise TimeoutError(f"{self.published()} of {size} entries are published")
            time.sleep(LOOK_SECONDS)

    def found(self) -> None:
        """Has the manifest recorded: nothing counts before it. Tally is started for it, and ended."""
        self.fill([self.meeting.entries[0]])
        with self.process("tally", "tally"):
            self.wait_published(1)
        self.log.unlink()

    def fill(self, entries: Sequence[bytes]) -> None:
        """Puts entries into the queue; `filled` counts them."""
        self.filled += len(entries)
        for start in range(0, len(entries), BATCH):
            self.inlet.store(entries[start : start + BATCH])

    def rounds(self) -> list[dict[str, float]]:
        """What tally has said of its rounds so far."""
        lines = (json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{"))
        return [line for line in lines if line.get("event") == "sequenced"]

    def _database(self, database: Database) -> dict[str, str]:
        return {"database": database.url, "passfile": str(database.passfile)}

    def _keys(self, name: str, signers: Sequence) -> list[str]:
        names = [f"{name}-{number}.key" for number in range(len(signers))]
        for path, signer in zip(names, signers, strict=True):
            write_secret(self.folder / path, signer.private + "\n")
        return names

    def _write(self, name: str, **settings: object) -> None:
        lines = [f"{key} = {toml(value)}\n" for key, value in settings.items()]
        (self.folder / f"{name}.toml").write_text("".join(lines))


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


@contextmanager
def logging_house(custodians: int, W: int) -> Iterator[LoggingHouse]:
    """The house of a log that W of so many custodians witness, every database in a cluster of its own, written through
    to the disk; the processes are not started.
    """
    installs = [("ledger", ledger_schema.install)]
    installs += [(f"custodian{number}", custodian_schema.install) for number in range(custodians)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="psephos-bench-")))
        databases = []
        for name, install in installs:
            databases.append(make_database(stack.enter_context(temporary_cluster(name)), name, install))
        cluster = stack.enter_context(temporary_cluster("queue"))
        queue = make_database(cluster, "queue", lambda connection, role: queue_schema.install(connection, role, role))
        for database in (*databases, queue):
            stack.callback(database.close)
        yield LoggingHouse(meeting_of(custodians, W), folder, databases, queue)
