"""Sources that say nothing, or nothing of use, or too slowly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from audit.log.notes import Note
from audit.log.sources import ReadError
from tests.databases import Database
from tests.vault.conftest import CUSTODIANS, LOG, NOW
from tests.vault.followed import Watch
from vault.custodian.sql_store import SqlStore


def test_silence_is_no_answer_for_too_long_and_an_idle_log_is_not_silent(database: Database, tmp_path: Path) -> None:
    watch = Watch(SqlStore(database.engine), tmp_path, sources=2, silence=100)
    watch.fill(10)
    watch.time = 10_000
    assert watch.raised() == {}
    watch.sources[1].down = True
    watch.time += 99
    assert watch.raised() == {}
    watch.time += 1
    assert watch.raised() == {"silence": 1}
    assert watch.alarms.code == 7
    watch.sources[1].down = False
    assert watch.raised() == {}


def test_a_source_that_stands_still_behind_another_is_silent(database: Database, tmp_path: Path) -> None:
    watch = Watch(SqlStore(database.engine), tmp_path, sources=2, silence=100)
    watch.fill(10)
    watch.log.grow(10)
    watch.sources[0].show()
    watch.time = 99
    assert watch.raised() == {}
    # It lags, and goes on.
    watch.sources[1].show(15)
    assert watch.raised() == {}
    watch.time = 198
    assert watch.raised() == {}
    watch.time = 199
    assert watch.raised() == {"silence": 1}
    watch.sources[1].show()
    assert watch.raised() == {}


def test_a_source_that_shows_nothing_of_use_is_silent(watch: Watch) -> None:
    watch.fill(10)
    watch.log.grow(1)
    watch.sources[0].show(custodians=1)
    watch.time = 99
    assert watch.raised() == {}
    watch.time = 100
    assert watch.raised() == {"silence": 1}


@pytest.mark.parametrize("restart", [False, True])
def test_a_log_that_is_said_to_go_on_is_silent_when_nobody_has_cosigned_since(
    database: Database, tmp_path: Path, restart: bool
) -> None:
    watch = Watch(SqlStore(database.engine), tmp_path, idle=500)
    watch.fill(10)
    watch.time = 499
    assert watch.raised() == {}
    if restart:
        watch.begin()
    watch.time = 500
    assert watch.raised() == {"silence": 1}
    # A custodian whose clock is ahead, or that lies, does not hide it.
    watch.log.grow(1)
    text = watch.log.head().text
    times = {key: NOW + (10_000 if key in CUSTODIANS[0] else 100) for keys in (LOG, *CUSTODIANS[:2]) for key in keys}
    watch.sources[0].note = Note(text, tuple(key.sign(text, time) for key, time in times.items())).raw
    assert watch.raised() == {}
    watch.time = 600
    assert watch.raised() == {"silence": 1}


def test_a_slow_source_holds_up_no_other_and_loses_nothing(database: Database, tmp_path: Path) -> None:
    watch = Watch(SqlStore(database.engine), tmp_path, sources=2, silence=100)
    watch.log.grow(2500)
    slow, quick = watch.sources
    real = slow.bundle

    def bundle(index: int, width: int) -> bytes:
        watch.time += 15
        return real(index, width)

    slow.show().bundle = bundle
    quick.show(5)
    assert watch.raised() == {}
    # Cut off, and the second was asked: what came is kept without a head, whose entries the quick one has not.
    assert "checkpoint" in quick.asked
    assert watch.time <= 50
    assert 0 < watch.store.staged(watch.log.origin) < 2500
    slow.bundle = real
    watch.follower.round()
    assert watch.held() == watch.log.entries


def test_sources_that_are_slow_whatever_they_are_asked_delay_no_alarm(database: Database, tmp_path: Path) -> None:
    watch = Watch(SqlStore(database.engine), tmp_path, sources=4, silence=100, sample=8)
    watch.fill(2500)
    for source in watch.sources:

        def bundle(index: int, width: int, real: Callable[[int, int], bytes] = source.bundle) -> bytes:
            watch.time += 5
            return real(index, width)

        source.bundle = bundle
    assert watch.raised() == {}
    # Each gets its part of half of the silence, and at most one answer more.
    assert watch.time <= 50 + 4 * 5


def test_a_source_that_gives_slowly_makes_no_other_silent(database: Database, tmp_path: Path) -> None:
    """It lacks each file that it is asked for, after as long as that may take, and names a checkpoint each time."""
    watch = Watch(SqlStore(database.engine), tmp_path, sources=2, silence=600, sample=4)
    watch.fill(1536)
    quick, slow = watch.sources

    def bundle(index: int, width: int) -> bytes:
        watch.time += 120
        raise ReadError("is missing", str(slow), "not-found")

    slow.bundle = bundle
    raised = watch.raised()
    assert "shrunken" in raised and "silence" not in raised
    # It has its part of half of the silence, and an answer more.
    assert watch.time <= 150 + 120


def test_who_was_not_asked_for_long_is_not_silent_but_who_gives_nothing_when_asked_again(
    database: Database, tmp_path: Path
) -> None:
    watch = Watch(SqlStore(database.engine), tmp_path, sources=2, silence=100)
    watch.fill(10)
    quick, slow = watch.sources
    real = slow.checkpoint

    def checkpoint() -> bytes | None:
        watch.time += 150
        return real()

    slow.checkpoint = checkpoint
    # However long one took, both have given something.
    assert watch.raised() == {}
    quick.down = True
    assert watch.raised() == {}
    assert watch.raised() == {"silence": 1}
    quick.down = False
    assert watch.raised() == {}
