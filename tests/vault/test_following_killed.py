"""A follower that is killed between any two of its writes, and started again: it ends whole, holds each entry once, and
has raised no alarm.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.log.export import check_tiles
from audit.log.merkle import CompactRange
from audit.log.reader import open_head, read_entries
from infra import failpoints
from tests.databases import Database
from tests.faults.processes import Spawner, spawner
from tests.loopback import PATIENCE, serving, wait_until
from tests.vault.folders import opened
from tests.vault.test_following_process import Town
from vault.custodian.pulling import STEP
from vault.custodian.sql_store import SqlStore
from vault.custodian.storage import Store

POINTS = [name for name in failpoints.SELDOM if name.startswith(("pull.", "follower."))]
OF_STORE = [name for name in POINTS if name.startswith(("pull.", "follower.publish"))]
"""Those around what is written into the store, and not into the memory beside it."""


@pytest.fixture(scope="module")
def spawning() -> Iterator[Spawner]:
    with spawner() as made:
        yield made


@pytest.mark.parametrize("place", ["folder", "database"])
def test_killed_at_every_failpoint_it_ends_whole_and_without_an_alarm(
    spawning: Spawner, request: pytest.FixtureRequest, tmp_path: Path, place: str
) -> None:
    town, changes = Town(tmp_path), {}
    if place == "database":
        database: Database = request.getfixturevalue("database")
        changes = {"folder": "", "database": f'"{database.url}"', "passfile": f'"{database.passfile}"'}
    log = tmp_path / "log"
    with serving(town.app()) as url:
        source = f"{url}/{town.meeting.origin}"
        words = ("serve", "custodian", "--config", town.config(**changes), "--follow", source)
        for name in POINTS if place == "folder" else OF_STORE:
            # Of the steps of one pull it is the second: what the first has stored is gone on from.
            second = name.startswith("pull.stag")
            size = len(town.meeting.entries)
            grown = size + 100 + second * STEP
            town.meeting.entries += [b"entry %d" % number for number in range(size, grown)]
            town.show()
            killed = spawning.command(*words, log=log, at=name, kill=[1 + second])
            assert killed.wait(PATIENCE), f"does not come to {name}"
        entries = town.meeting.entries
        with town.process(source, **changes) as process:
            wait_until(lambda: town.serves(len(entries)))
            head = open_head(town.reader, town.meeting.manifest.log, exact=True)
            assert head is not None
            check_tiles(town.reader, head)
            assert list(read_entries(town.reader, CompactRange(), head)) == entries
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
    origin = town.meeting.origin
    store: Store = SqlStore(database.engine) if place == "database" else opened(tmp_path / "kept", [origin])
    assert store.entries(origin, 0, len(entries) + 1) == entries
    assert store.staged(origin) == store.newest(origin).size == len(entries)
    assert '"level": "error"' not in log.read_text()
    assert {file.name for file in (tmp_path / "memory").iterdir()} == {"manifest", "shown.json"}
