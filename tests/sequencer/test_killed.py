"""The tally service as a process of its own, killed again and again while ballots come in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from audit.protocol.group import b64
from audit.record.entries import parse_entry
from infra.keys import write_secret
from infra.postgres import Cluster
from infra.queue import schema as queue_schema
from infra.queue.egress import Outlet, egress
from infra.queue.ingress import Inlet
from tests.databases import Database, make_database
from tests.loopback import serving, wait_until
from tests.sequencer.house import TOKEN, House

START = "from infra.commands import main; main()"


@pytest.fixture(scope="module")
def queue_database(cluster: Cluster) -> Iterator[Database]:
    made = make_database(cluster, "queue", lambda connection, role: queue_schema.install(connection, role, role))
    yield made
    made.close()


def place(url: str) -> str:
    return f'{{url = "{url}", token = "token"}}'


class Tally:
    """Its settings, and the process that runs by them."""

    def __init__(self, folder: Path, house: House, ledger: Database, egress_url: str) -> None:
        self.status = folder / "status.json"
        self._log = folder / "log"
        self._config = folder / "tally.toml"
        write_secret(folder / "token", TOKEN + "\n")
        (folder / "manifest").write_bytes(house.meeting.entries[0])
        for number, signer in enumerate(house.meeting.parties.log):
            write_secret(folder / f"key-{number}", signer.private + "\n")
        custodians = ", ".join(place(url) for url in house.vault.urls)
        lines = [
            'manifest = "manifest"',
            f'manifest_hash = "{b64(house.meeting.manifest.hash)}"',
            f"database = {json.dumps(ledger.url)}",
            f"passfile = {json.dumps(str(ledger.passfile))}",
            'keys = ["key-0", "key-1"]',
            "workers = 1",
            f"status = {json.dumps(str(self.status))}",
            f"egress = {place(egress_url)}",
            f"custodians = [{custodians}]",
        ]
        self._config.write_text("\n".join(lines) + "\n")

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-c", START, "serve", "tally", "--config", str(self._config)]
        with self._log.open("ab") as log, subprocess.Popen(command, stderr=log, cwd=Path.cwd()) as process:
            try:
                yield process
            finally:
                process.kill()

    def figures(self) -> dict[str, object]:
        return json.loads(self.status.read_text()) if self.status.exists() else {}


def test_killed_again_and_again_it_loses_nothing_and_repeats_nothing(
    house: House, ledger_databases: list[Database], queue_database: Database, tmp_path: Path
) -> None:
    inlet, outlet = Inlet(queue_database.engine), Outlet(queue_database.engine, time.monotonic)
    before = len(house.meeting.entries)
    inlet.store(house.meeting.entries[:1])
    with serving(egress(outlet, TOKEN)) as url:
        tally = Tally(tmp_path, house, ledger_databases[0], url)
        with tally.running() as process:
            # The setup's order is its own: one act a time.
            for size, raw in enumerate(house.meeting.entries[1:], start=1):
                wait_until(lambda size=size: house.vault.size(0) == size)
                inlet.store([raw])
            wait_until(lambda: house.vault.size(0) == before)
            assert process.poll() is None
        ballots = [house.ballot(account, revision) for revision in range(10) for account in range(3)]
        for part in range(0, len(ballots), 10):
            with tally.running() as process:
                inlet.store(ballots[part : part + 10])
                reached = house.vault.size(0)
                wait_until(lambda reached=reached: house.ledger.newest().size > reached)
                os.kill(process.pid, signal.SIGKILL)
            # Leases of the dead end, as they do after 30 seconds.
            outlet._leases.clear()
        with tally.running() as process:
            wait_until(lambda: house.replay_size() == before + len(ballots))
            wait_until(lambda: tally.figures().get("size") == before + len(ballots))
            process.terminate()
            assert process.wait(20) == 0
    assert [entry.raw for entry in house.vault.entries()[:before]] == house.meeting.entries
    identities = [parse_entry(raw).identity for raw in ballots]
    fates = [entry.fields["identity"] if entry.kind == "refusal" else entry.identity for entry in house.vault.entries()]
    # Revisions of one holder may overtake one another in the queue: some are recorded, the others refused, each once.
    assert sorted(fates[before:]) == sorted(identities)
    assert tally.figures()["phase"] == "open"
