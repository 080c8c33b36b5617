"""A custodian's folder: a crash at any operation loses nothing that was acknowledged, and nothing else is believed."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.log.merkle import CompactRange
from tests.vault.folders import ORIGIN, entry, head, leaf, opened, rows, tree
from tests.vault.power import MemoryDisk, PowerCut
from vault.custodian.cosign import EMPTY, Head
from vault.custodian.folder_store import FolderStore
from vault.custodian.storage import Overtaken, Unsafe

LINE = "line"
Step = tuple[str, int]
# Appends of several lengths, across the end of a tile and alone; heads that were seen; entries before their head.
STEPS: list[Step] = [
    ("append", 3),
    ("publish", 0),
    ("append", 255),
    ("observe", 300),
    ("stage", 200),
    ("stage", 100),
    ("append", 0),
    ("publish", 0),
    ("append", 1),
    ("bring", 100),
    ("bring", 156),
    ("keep", 0),
]


@dataclass
class Keeping:
    """A store on a disk, and what has been acknowledged of it."""

    disk: MemoryDisk = field(default_factory=MemoryDisk)
    size: int = 0
    staged: int = 0
    brought: int = 0
    observed: int = 0
    published: int = 0

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        try:
            self.store = FolderStore("/kept", [ORIGIN], self.disk)
        except Unsafe:
            # It is made at its first use, or what a power cut left of that made whole.
            self.store = opened("/kept", [ORIGIN], self.disk)

    def do(self, step: Step) -> None:
        """One thing that the store is asked to do, noted down once it has returned."""
        kind, count = step
        if kind == "stage":
            start = self.staged
            self.store.stage(ORIGIN, start, *rows(start, start + count))
            self.staged = start + count
        elif kind == "bring":
            start = max(self.size, self.brought)
            self.store.bring(ORIGIN, LINE, start, *rows(start, start + count))
            self.brought = start + count
        elif kind == "keep":
            if self.brought > self.staged:
                self.store.append(ORIGIN, head(self.size, self.brought), (), (), LINE)
                self.size = self.staged = self.brought
        elif kind == "append":
            size = self.staged + count
            if size > self.size:
                self.store.append(ORIGIN, head(self.size, size), *rows(self.staged, size))
                self.size = self.staged = size
        elif kind == "observe":
            size = max(self.size, self.observed) + count
            self.store.observe(ORIGIN, LINE, Head(self.observed, size, tree(size).root(), b"", b"seen\n", 1000 + size))
            self.observed = size
        elif self.size > self.published:
            self.store.publish(ORIGIN, self.size, b"published")
            self.published = self.size

    def check(self) -> None:
        """The store opens, has all that was acknowledged, and nothing that is wrong; what it has more counts now."""
        self.open()
        newest = self.store.newest(ORIGIN)
        assert newest == (head(newest.old_size, newest.size) if newest.size else EMPTY)
        assert newest.size >= self.size
        held = self.store.staged(ORIGIN)
        assert held >= self.staged
        assert self.store.entries(ORIGIN, 0, held + 9) == [entry(i) for i in range(held)]
        leaves = [leaf(i) for i in range(held)]
        assert self.store.hashes(ORIGIN, 0, 0, held + 9) == leaves
        roots = [tile_root(leaves[i : i + 256]) for i in range(0, newest.size - 255, 256)]
        assert self.store.hashes(ORIGIN, 1, 0, len(roots)) == roots
        brought = self.store.brought(ORIGIN, LINE)
        assert brought >= self.brought
        start = min(newest.size, brought)
        assert self.store.brought_entries(ORIGIN, LINE, start, brought + 9) == [entry(i) for i in range(start, brought)]
        assert self.store.brought_hashes(ORIGIN, LINE, start, brought + 9) == [leaf(i) for i in range(start, brought)]
        observed, published = self.store.observed(ORIGIN).size, self.store.published(ORIGIN)[0]
        assert observed >= self.observed
        assert published >= self.published
        assert self.store.last_time() == max((1000 + size for size in (newest.size, observed) if size), default=0)
        self.size, self.staged, self.observed, self.published = newest.size, held, observed, published
        self.brought = brought


def tile_root(leaves: list[bytes]) -> bytes:
    grown = CompactRange()
    grown.extend(leaves)
    return grown.root()


def fail_at(operation: int, error: BaseException) -> Callable[[str], None]:
    counted = iter(range(operation + 1))

    def count(_: str) -> None:
        if next(counted, None) == operation:
            raise error

    return count


def operations(steps: list[Step]) -> int:
    """How many operations all of these take."""
    names: list[str] = []
    made = Keeping(MemoryDisk(before=names.append))
    for step in steps:
        made.do(step)
    made.check()
    return len(names)


def test_what_is_stored_is_read_again() -> None:
    made = Keeping()
    for step in STEPS:
        made.do(step)
        made.check()
    assert (made.size, made.observed) == (815, 558)
    assert made.store.head_at(ORIGIN, 258) == head(3, 258)
    assert made.store.head_at(ORIGIN, 257) is made.store.head_at(ORIGIN, 0) is None
    assert [made.store.observed(ORIGIN, LINE, most).size for most in (557, 558, 559)] == [0, 558, 558]


@pytest.mark.parametrize("done", [False, True], ids=["lost", "done-but-not-reported"])
@pytest.mark.parametrize("seed", range(3))
def test_a_power_cut_at_any_operation_loses_nothing_acknowledged(done: bool, seed: int) -> None:
    for operation in range(operations(STEPS)):
        dice = random.Random(1000 * operation + seed)
        disk = MemoryDisk()
        setattr(disk, "after" if done else "before", fail_at(operation, PowerCut()))
        cut_and_go_on(disk, dice, STEPS)


@pytest.mark.parametrize("seed", range(2))
def test_what_a_killed_process_left_is_relied_on_only_once_it_is_on_disk(seed: int) -> None:
    for operation in range(operations(STEPS)):
        disk = MemoryDisk(after=fail_at(operation, PowerCut()))
        with suppress(PowerCut):
            made = Keeping(disk)
            for step in STEPS:
                made.do(step)
        disk.after = lambda _: None
        # The process alone has ended: the next one sees all that it did, and has what it says of it on disk.
        made = Keeping(disk)
        made.check()
        disk.cut(random.Random(1000 * operation + seed))
        made.check()


@given(
    st.lists(
        st.tuples(st.sampled_from(["append", "stage", "observe", "publish", "bring", "keep"]), st.integers(1, 40)),
        max_size=8,
    ),
    st.lists(st.integers(1, 60), max_size=3),
    st.integers(0, 2**32),
)
def test_power_cuts_in_any_course_lose_nothing_acknowledged(steps: list[Step], cuts: list[int], seed: int) -> None:
    disk = MemoryDisk()
    cuts_left = iter(cuts)
    disk.before = fail_at(next(cuts_left, 10**6), PowerCut())
    cut_and_go_on(disk, random.Random(seed), steps, cuts_left)


def cut_and_go_on(disk: MemoryDisk, dice: random.Random, steps: list[Step], cuts: Iterator[int] | None = None) -> None:
    """Takes the steps; after every power cut looks at what is there, then goes on."""
    made: Keeping | None = None
    waiting = list(steps)
    while waiting:
        try:
            if made is None:
                made = Keeping(disk)
            made.check()
            while waiting:
                made.do(waiting.pop(0))
        except PowerCut:
            disk.cut(dice)
            disk.before = disk.after = lambda _: None
            if made is not None:
                made.check()
            if cuts and (more := next(cuts, None)) is not None:
                disk.before = fail_at(more, PowerCut())
    disk.before = disk.after = lambda _: None
    assert made is not None or not steps
    if made is not None:
        made.check()


@pytest.mark.parametrize("done", [False, True], ids=["lost", "done-but-not-reported"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_an_error_at_any_operation_is_an_error_and_no_acknowledgement(done: bool, number: int) -> None:
    for operation in range(operations([]), operations(STEPS)):
        disk = MemoryDisk()
        made = Keeping(disk)
        setattr(disk, "after" if done else "before", fail_at(operation, OSError(number, os.strerror(number))))
        for step in STEPS:
            try:
                made.do(step)
            except (OSError, Unsafe, Overtaken):
                disk.before = disk.after = lambda _: None
                # Whatever was not confirmed is gone after a power cut, or is there and right.
                disk.cut(random.Random(operation))
                made.check()
        disk.before = disk.after = lambda _: None
        made.check()


def test_after_a_sync_that_failed_nothing_is_vouched_for_until_the_next_start() -> None:
    made = Keeping()
    made.do(("append", 1))

    def fail(name: str) -> None:
        if name == "sync-folder":
            raise OSError(errno.EIO, "the disk is ill")

    made.disk.before = fail
    with pytest.raises(OSError, match="ill"):
        made.do(("append", 1))
    made.disk.before = lambda _: None
    for call in (made.store.newest, made.store.published, made.store.staged, made.store.observed):
        with pytest.raises(Unsafe, match="did not confirm a write"):
            call(ORIGIN)
    made.check()


def test_when_there_is_room_again_it_goes_on() -> None:
    made = Keeping()

    def full(name: str) -> None:
        if name in ("create", "make-folder"):
            raise OSError(errno.ENOSPC, "no space left")

    made.disk.before = full
    for _ in range(2):
        with pytest.raises(OSError, match="no space"):
            made.do(("append", 3))
    assert made.store.newest(ORIGIN) == EMPTY
    made.disk.before = lambda _: None
    made.do(("append", 3))
    made.check()


def test_of_two_appends_from_one_size_one_is_overtaken() -> None:
    made = Keeping()
    other = FolderStore("/kept", [ORIGIN], made.disk)
    other.append(ORIGIN, head(0, 2), *rows(0, 2))
    with pytest.raises(Overtaken):
        made.store.append(ORIGIN, head(0, 3), *rows(0, 3))
    assert made.store.newest(ORIGIN).size == 2


def test_more_entries_than_a_bundle_may_come_at_once() -> None:
    made = Keeping()
    for step in (("stage", 1024), ("append", 0), ("stage", 700), ("append", 1)):
        made.do(step)
        made.check()


def test_a_large_folder_is_opened_without_reading_it() -> None:
    made = Keeping()
    for _ in range(40):
        made.do(("append", 40))
    looked: list[str] = []
    read = made.disk.read
    made.disk.read = lambda path, *rest: (looked.append(path), read(path, *rest))[1]
    made.open()
    assert made.store.newest(ORIGIN).size == 1600
    assert [path.split("/")[2] for path in looked] == ["format", "logs"]
