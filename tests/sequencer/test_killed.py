"""The tally service as a process of its own, killed again and again while ballots come in."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from audit.record.entries import parse_entry
from infra.queue.egress import Outlet, egress
from infra.queue.ingress import Inlet
from tests.databases import Database
from tests.loopback import serving, wait_until
from tests.sequencer.house import TOKEN, House
from tests.sequencer.process import Tally


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
