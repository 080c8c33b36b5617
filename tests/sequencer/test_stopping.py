"""The tally service is told to stop while it sequences: it ends with code 0, and goes on later where it was."""

from __future__ import annotations

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


def test_told_to_stop_again_and_again_it_loses_nothing_and_repeats_nothing(
    open_house: House, ledger_databases: list[Database], queue_database: Database, tmp_path: Path
) -> None:
    house = open_house
    inlet, outlet = Inlet(queue_database.engine), Outlet(queue_database.engine, time.monotonic)
    before = house.ledger.newest().size
    with serving(egress(outlet, TOKEN)) as url:
        tally = Tally(tmp_path, house, ledger_databases[0], url)
        ballots = [house.ballot(account, revision) for revision in range(4) for account in range(3)]
        for part, number in enumerate((signal.SIGTERM, signal.SIGINT)):
            with tally.running() as process:
                reached = house.ledger.newest().size
                inlet.store(ballots[part * 6 : part * 6 + 6])
                wait_until(lambda reached=reached: house.ledger.newest().size > reached)
                process.send_signal(number)
                assert process.wait(25) == 0
        with tally.running() as process:
            wait_until(lambda: house.replay_size() == before + len(ballots))
    identities = sorted(parse_entry(raw).identity for raw in ballots)
    later = house.vault.entries()[before:]
    assert sorted(e.fields["identity"] if e.kind == "refusal" else e.identity for e in later) == identities
    assert "psephos_log_size" in (tmp_path / "status.prom").read_text()
