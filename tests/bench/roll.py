"""A roll of 100,000 accounts: how much log it takes, and how long a voter's client looks for its row.

The custodian is a real one, over a cluster of its own: `psephos serve custodian`, asked over loopback by the functions
that `psephos vote` uses.
"""

from __future__ import annotations

import itertools
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from audit.log.encoding import encode_base64
from audit.log.merkle import LeafHashes, consistency_proof, frontier, leaf_hash
from audit.log.notes import Note
from audit.log.reader import HttpReader
from audit.log.tiles import WIDTH, frame
from audit.log.treehead import Checkpoint
from infra.demo.services import free_addresses
from infra.keys import new_token, read_token, write_secret
from infra.postgres import temporary_cluster
from intake.voter.holder import find_holder
from intake.voter.opening import read_opening
from tests.bench.figure import Figure, at_most
from tests.bench.large_roll import LargeLog
from tests.databases import make_database
from tests.loopback import wait_until
from tests.simulator.record import TIME, checkpoint_of
from vault.custodian import care, schema

ROWS, BALLOTS, VOTERS = 100_000, 4_000, 20
SECONDS = 1.0
PSEPHOS = [sys.executable, "-c", "from infra.commands import main; main()"]
PATIENCE = 60.0


class Counting:
    """A reader that counts the bytes it is given."""

    def __init__(self, reader: HttpReader) -> None:
        self._reader, self.count = reader, 0

    def __str__(self) -> str:
        return str(self._reader)

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._reader, name)

        def counted(*arguments: Any) -> Any:
            given = call(*arguments)
            self.count += len(given) if isinstance(given, bytes) else 0
            return given

        return counted


def measure(console: Console, rows: int = ROWS, ballots: int = BALLOTS) -> list[Figure]:
    """The log is made first, which takes minutes."""
    console.print(f"[bold]a log of {rows:,} accounts[/bold] ...")
    log = LargeLog(rows, ballots)
    with tempfile.TemporaryDirectory(prefix="psephos-bench-") as folder, custodian(log, Path(folder)) as url:
        console.print(f"[bold]{VOTERS} voters[/bold] ...")
        drawn = random.Random(1).sample(range(rows), VOTERS)
        spent = [look(url, log, row) for row in drawn]
    before, found, whole, first_bytes, row_bytes = (list(column) for column in zip(*spent, strict=True))
    roll, mixed = log.size_of("roll"), log.size_of("mix")
    return [
        Figure(f"{rows:,} rows of two issuers: entries in the log", size(roll, rows)),
        Figure(f"{rows:,} rows: entries of one mix of them", size(mixed, rows)),
        Figure("a client before its row: manifest, key, opening; median", f"{statistics.median(before):.2f} s"),
        Figure("a client's row alone; median", f"{statistics.median(found):.2f} s"),
        at_most(f"a client's row and all before it, slowest of {VOTERS}; s", max(whole), SECONDS),
        Figure("read before, and for the row; most", f"{max(first_bytes) / 1e6:.2f}, {max(row_bytes) / 1e6:.2f} MB"),
    ]


def size(count: int, rows: int) -> str:
    return f"{count / 1e6:.1f} MB, {count / rows:.0f} bytes a row"


def look(url: str, log: LargeLog, row: int) -> tuple[float, float, float, int, int]:
    """Seconds until the client of this account knows the election, then until it knows its row, and both; bytes read
    for each."""
    with closing(HttpReader(url)) as reader:
        counted = Counting(reader)
        start = time.perf_counter()
        opening = read_opening([counted], log.meeting.manifest.hash)
        known, read = time.perf_counter(), counted.count
        holder = find_holder(opening, log.codes(row))
        end = time.perf_counter()
    assert log.meeting.election.weight(holder.share_class, holder.pseudonym.raw) == holder.E
    return known - start, end - known, end - start, read, counted.count - read


@contextmanager
def custodian(log: LargeLog, folder: Path) -> Iterator[str]:
    """The address of a log that a custodian's process holds whole, and nobody else reads."""
    (listen,) = free_addresses(1)
    with temporary_cluster("bench") as cluster:
        database = make_database(cluster, "vault", schema.install)
        database.close()
        config = configured(log, folder, listen, database.url, database.passfile)
        with redirect_stdout(StringIO()):
            care.create(config)
        with (
            subprocess.Popen([*PSEPHOS, "serve", "custodian", "--config", config]) as process,
            httpx.Client(base_url=f"http://{listen}", timeout=PATIENCE) as client,
        ):
            try:
                wait_until(lambda: answers(client, process), PATIENCE)
                client.headers["Authorization"] = f"Bearer {read_token(folder / 'token')}"
                fill(client, log)
                yield f"http://{listen}/{log.meeting.origin}"
            finally:
                process.terminate()


def configured(log: LargeLog, folder: Path, listen: str, database: str, passfile: Path) -> Path:
    """The configuration of the first custodian, with all that it names beside it."""
    keys = []
    for n, key in enumerate(log.meeting.parties.custodians[0]):
        keys.append(folder / f"{n}.key")
        write_secret(keys[-1], key.private + "\n")
    manifest, config = folder / "manifest", folder / "custodian.toml"
    manifest.write_bytes(log.meeting.entries[0])
    new_token(folder / "token")
    lines = {
        "listen": f"'{listen}'",
        "database": f"'{database}'",
        "passfile": f"'{passfile}'",
        "token": f"'{folder / 'token'}'",
        "manifests": f"['{manifest}']",
        "keys": str([str(key) for key in keys]),
    }
    config.write_text("".join(f"{name} = {value}\n" for name, value in lines.items()))
    return config


def answers(client: httpx.Client, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the custodian has ended"
    try:
        return client.get("/healthz").is_success
    except httpx.TransportError:
        return False


def fill(client: httpx.Client, log: LargeLog) -> None:
    """Hands the whole log to the custodian, as tally does, and has it published with two custodians' lines."""
    entries, parties, origin = log.meeting.entries, log.meeting.parties, log.meeting.origin
    source = LeafHashes([leaf_hash(entry) for entry in entries])
    for old, new in itertools.pairwise([*range(0, len(entries), WIDTH), len(entries)]):
        text = Checkpoint(origin, new, frontier(source, new).root()).text
        note = Note(text, tuple(key.sign(text, TIME) for key in parties.log))
        proof = consistency_proof(source, old, new) if old else []
        lines = "".join(f"{encode_base64(h)}\n" for h in proof)
        header = f"old {old}\n{lines}\n".encode() + note.raw
        body = len(header).to_bytes(4, "big") + header + frame(entries[old:new])
        client.post(f"/{origin}/append", content=body).raise_for_status()
    client.post(f"/{origin}/publish", content=checkpoint_of(entries, parties, origin)).raise_for_status()
