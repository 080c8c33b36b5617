"""A tree that is claimed to be as large as can be: how little who claims it can have a reader do."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from audit.log.merkle import CompactRange, leaf_hash
from audit.log.notes import Note
from audit.log.reader import Head, ReadError, read_entries, tile_root
from audit.log.tiles import HEIGHT, WIDTH, frame
from audit.log.treehead import Checkpoint
from audit.record import heads
from audit.record.heads import open_head, open_log
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.parties import ORIGIN

LARGEST = 1 << 62
MOST_FILES = 12
"""The checkpoint, where the rekeys are, and what stands at the edge of the largest tree."""


class Claimed:
    """Shows a tree of LARGEST entries, which is one entry again and again, and costs nothing to make; `answers` counts
    what was asked for.
    """

    def __init__(self, entry: bytes, sign: Callable[[Checkpoint], Note]) -> None:
        self.entry, self.answers = entry, 0
        self.hashes = [leaf_hash(entry)]
        while len(self.hashes) <= LARGEST.bit_length() // HEIGHT:
            self.hashes.append(tile_root([self.hashes[-1]] * WIDTH))
        root = tile_root([self.hashes[7]] * (LARGEST >> (7 * HEIGHT)))
        self.head = Checkpoint(ORIGIN, LARGEST, root)
        self.sign = sign

    def __str__(self) -> str:
        return "claimed"

    def checkpoint(self) -> bytes:
        self.answers += 1
        return self.sign(self.head).raw

    def rekeys(self) -> None:
        self.answers += 1

    def tile(self, level: int, index: int, width: int) -> bytes:
        self.answers += 1
        return self.hashes[level] * width

    def bundle(self, index: int, width: int) -> bytes:
        self.answers += 1
        return frame([self.entry] * width)


class MadeUp(Claimed):
    """Has not even that tree: the tiles are any."""

    def tile(self, level: int, index: int, width: int) -> bytes:
        self.answers += 1
        return b"".join(leaf_hash(b"%d %d %d" % (level, index, i)) for i in range(width))


@pytest.fixture(scope="module")
def meeting() -> Meeting:
    return Meeting().found()


def by_nobody(meeting: Meeting) -> Callable[[Checkpoint], Note]:
    strangers = Dice(90).log_keys("log")
    return lambda head: Note(head.text, tuple(key.sign(head.text, 5) for key in strangers))


def by_the_log(meeting: Meeting) -> Callable[[Checkpoint], Note]:
    return lambda head: Note(head.text, tuple(key.sign(head.text, 5) for key in meeting.parties.log))


def by_all(meeting: Meeting) -> Callable[[Checkpoint], Note]:
    keys = [*meeting.parties.log, *(key for keys in meeting.parties.custodians for key in keys)]
    return lambda head: Note(head.text, tuple(key.sign(head.text, 5) for key in keys))


SIGNERS = [(by_nobody, "wrong-signers"), (by_the_log, "not-witnessed")]


@pytest.mark.parametrize(("signers", "reason"), SIGNERS)
def test_whose_tiles_do_not_lead_to_its_root_is_asked_for_no_more(
    meeting: Meeting, signers: Callable[[Meeting], Callable[[Checkpoint], Note]], reason: str
) -> None:
    reader = MadeUp(meeting.entries[0], signers(meeting))
    with pytest.raises(ReadError) as error:
        open_head(reader, meeting.manifest, whole=True)
    assert error.value.reason == reason
    assert reader.answers <= MOST_FILES


@pytest.mark.parametrize(("signers", "_"), SIGNERS)
@pytest.mark.parametrize("opened", [True, False])
def test_who_has_a_tree_without_end_is_read_for_so_long_and_no_longer(
    meeting: Meeting,
    signers: Callable[[Meeting], Callable[[Checkpoint], Note]],
    _: str,
    opened: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = itertools.count()
    monkeypatch.setattr(heads, "monotonic", lambda: float(next(seconds)))
    reader = Claimed(meeting.entries[0], signers(meeting))
    with pytest.raises(ReadError) as error:
        open_log(reader, meeting.manifest.hash) if opened else open_head(reader, meeting.manifest, whole=True)
    assert error.value.reason == "too-slow"
    assert "takes more than 300 seconds to show its rekeys" in error.value.detail
    assert reader.answers <= heads.SECONDS + MOST_FILES


def test_that_log_and_custodians_have_signed_it_ends_where_it_has_no_entry_to_show(meeting: Meeting) -> None:
    """As many answers as it has entries: who has not made them is found out by the first."""
    reader = MadeUp(meeting.entries[0], by_all(meeting))
    found = open_head(reader, meeting.manifest, whole=True)
    assert found is not None and found[0].size == LARGEST
    with pytest.raises(ReadError) as error:
        next(read_entries(reader, CompactRange(), found[0]))
    assert error.value.reason == "wrong-root"
    assert reader.answers <= MOST_FILES


@pytest.mark.parametrize("level", range(1, 8))
def test_a_tile_is_compared_with_the_one_above_before_the_next_is_asked_for(meeting: Meeting, level: int) -> None:
    class Changed(Claimed):
        def tile(self, level_: int, index: int, width: int) -> bytes:
            raw = super().tile(level_, index, width)
            return raw if level_ != level else raw[:-1] + bytes([raw[-1] ^ 1])

    reader = Changed(meeting.entries[0], by_all(meeting))
    reading = read_entries(reader, CompactRange(), Head(reader.head, reader.sign(reader.head)))
    with pytest.raises(ReadError) as error:
        next(reading)
    assert error.value.reason == "wrong-root"
    # The edge is of level 7 alone; what is below is asked for from there down.
    assert reader.answers == 8 - level
