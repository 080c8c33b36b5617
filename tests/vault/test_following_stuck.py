"""A follower that cannot store anything, or not even read what it holds, hides nothing by that: it asks every source,
sees a fork and who is silent, says that it does not follow, and goes on once it can.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from tests.vault.folders import opened
from tests.vault.followed import Watch, forked
from vault.custodian.disk import RealDisk
from vault.custodian.figures import follower_readiness
from vault.custodian.following import Fork
from vault.custodian.storage import Unsafe


class FullDisk(RealDisk):
    """One that takes nothing more once it is full."""

    full = False

    def create(self, path: str, data: bytes) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().create(path, data)


class Away:
    """A store that may be away, as a database may: then whatever is asked of it fails."""

    def __init__(self, store: object) -> None:
        self._store, self.away = store, False

    def __getattr__(self, name: str) -> Any:
        if self.away:
            raise OSError(errno.EIO, "the store is away")
        return getattr(self._store, name)


class Stuck(Watch):
    """A follower of two sources in a folder, which holds 10 entries."""

    def __init__(self, folder: Path) -> None:
        (folder / "kept").mkdir(mode=0o700)
        self.disk = FullDisk()
        super().__init__(Away(None), folder, sources=2, silence=100)  # type: ignore[arg-type]
        self.store = Away(opened(folder / "kept", [self.log.origin], self.disk))  # type: ignore[assignment]
        self.begin()
        self.fill(10)

    def shows_fork(self, number: int, size: int) -> None:
        """The second source shows another tree of so many entries."""
        self.sources[1].log = forked(self.log, number, size)
        self.sources[1].show()

    def shows_more(self, count: int = 5) -> None:
        """The first source shows more of the log."""
        self.log.grow(count)
        self.sources[0].show()

    def ready(self) -> str:
        return follower_readiness(self.follower)()


@pytest.fixture
def stuck(tmp_path: Path) -> Stuck:
    return Stuck(tmp_path)


@pytest.mark.parametrize("size", [7, 10, 20])
def test_a_full_disk_hides_no_fork(stuck: Stuck, size: int) -> None:
    """Neither one that another source shows than the one whose entries found no room, nor one in what found none."""
    stuck.disk.full = True
    stuck.shows_more()
    stuck.shows_fork(3, size)
    with pytest.raises(Fork, match="FORK"):
        stuck.follower.round()
    assert stuck.alarms.code == 3


@pytest.mark.parametrize("size", [10, 20])
def test_a_store_that_is_away_hides_no_fork(stuck: Stuck, size: int) -> None:
    stuck.store.away = True  # type: ignore[attr-defined]
    stuck.shows_fork(3, size)
    with pytest.raises(Fork, match="FORK"):
        stuck.follower.round()


@pytest.mark.parametrize("size", [7, 10, 20])
def test_a_disk_that_did_not_confirm_a_write_hides_neither_fork_nor_silence(stuck: Stuck, size: int) -> None:
    real = stuck.disk.sync_folder

    def sync_folder(path: str) -> None:
        stuck.disk.sync_folder = real  # type: ignore[method-assign]
        raise OSError(errno.EIO, "Input/output error")

    stuck.disk.sync_folder = sync_folder  # type: ignore[method-assign]
    stuck.shows_more()
    with pytest.raises(OSError, match="Input/output error"):
        stuck.follower.round()
    stuck.sources[1].down = True
    stuck.time = 100
    # From now on nothing is stored, nor said to be, until it is started again.
    with pytest.raises(Unsafe, match="did not confirm a write"):
        stuck.follower.round()
    assert stuck.alarms.raised == {"silence": 2}
    stuck.sources[1].down = False
    stuck.shows_fork(3, size)
    with pytest.raises(Fork, match="FORK"):
        stuck.follower.round()


def test_a_full_disk_hides_no_silence_and_accuses_no_source(stuck: Stuck) -> None:
    stuck.disk.full = True
    stuck.shows_more()
    stuck.sources[1].down = True
    stuck.time = 99
    with pytest.raises(OSError, match="No space left"):
        stuck.follower.round()
    assert not stuck.alarms.raised
    stuck.time = 100
    with pytest.raises(OSError, match="No space left"):
        stuck.follower.round()
    # Of the second source, and of this follower: nothing was wrong with the first.
    assert stuck.alarms.raised == {"silence": 2}
    assert stuck.follower.sources[0].heard == 100
    stuck.sources[1].down = False
    with pytest.raises(OSError, match="No space left"):
        stuck.follower.round()
    assert stuck.alarms.raised == {"silence": 3}
    assert stuck.alarms.code == 7


def test_it_is_not_ready_until_it_can_store_again(stuck: Stuck) -> None:
    assert stuck.ready() == ""
    stuck.disk.full = True
    stuck.shows_more()
    rounds = stuck.follower.rounds
    with pytest.raises(OSError, match="No space left"):
        stuck.follower.round()
    assert (stuck.ready(), stuck.follower.rounds) == ("not-ready", rounds)
    stuck.disk.full = False
    stuck.sources[1].show()
    assert stuck.raised() == {}
    assert stuck.ready() == ""
    assert stuck.held() == stuck.log.entries


def test_it_is_as_ready_as_it_was_while_it_asks(stuck: Stuck) -> None:
    said, checkpoint = [], stuck.sources[0].checkpoint

    def asked() -> bytes | None:
        said.append(stuck.ready())
        return checkpoint()

    stuck.sources[0].checkpoint = asked  # type: ignore[method-assign]
    stuck.follower.round()
    stuck.disk.full = True
    stuck.shows_more()
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            stuck.follower.round()
    assert list(dict.fromkeys(said)) == ["", "not-ready"]
    assert said[0] == "" and said[-1] == "not-ready"


def test_what_nobody_foresaw_in_one_answer_keeps_it_from_asking_no_other(stuck: Stuck) -> None:
    def checkpoint() -> bytes:
        raise ZeroDivisionError

    stuck.sources[0].checkpoint = checkpoint  # type: ignore[method-assign]
    stuck.shows_fork(3, 20)
    with pytest.raises(Fork, match="FORK"):
        stuck.follower.round()


def test_a_memory_that_takes_nothing_hides_no_silence(stuck: Stuck) -> None:
    stuck.shows_more()
    stuck.sources[1].down = True
    (stuck.folder / "shown.json").unlink()
    (stuck.folder / "shown.json").mkdir()
    stuck.time = 100
    with pytest.raises(OSError, match=r"shown\.json"):
        stuck.follower.round()
    assert stuck.alarms.raised == {"silence": 2}
    assert stuck.ready() == "not-ready"
