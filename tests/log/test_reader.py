"""Readers that lie, lack something or stand still: nothing that is not under the root is ever yielded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.log.merkle import CompactRange, leaf_hash
from audit.log.proving import TreeTiles
from audit.log.reader import Head, ReadError, first_entries, open_head, read_entries, unverified_first_entry
from audit.log.tiles import WIDTH, frame, unframe
from audit.log.treehead import Checkpoint
from tests.log.sample import CUSTODIANS, ORIGIN, POLICY, TIME, MemoryReader, cosigned, root_of, signer, some_entries

SIZES = (1, 2, 255, 256, 257, 300, 511, 512, 513, 1300)


def head_of(reader: MemoryReader) -> Head:
    head = open_head(reader, POLICY)
    assert head is not None
    return head


def frontier_of(entries: list[bytes]) -> CompactRange:
    tree = CompactRange()
    tree.extend(map(leaf_hash, entries))
    return tree


@pytest.mark.parametrize("size", SIZES)
def test_reading_on_from_any_place(size: int) -> None:
    entries = some_entries(size)
    reader = MemoryReader(entries)
    head = head_of(reader)
    for start in {0, 1, 100, 255, 256, 257, 511, 512, size - 1, size} & set(range(size + 1)):
        before = frontier_of(entries[:start])
        assert list(read_entries(reader, before, head)) == entries[start:]
        assert before.size == start


@settings(max_examples=60, deadline=None)
@given(st.sampled_from((3, 257, 600)), st.data())
def test_no_flipped_bit_is_yielded(size: int, data: st.DataObject) -> None:
    entries = some_entries(size)
    reader = MemoryReader(entries)
    head = head_of(reader)
    path = data.draw(st.sampled_from(sorted(reader.files)))
    raw = bytearray(reader.files[path])
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[bit // 8] ^= 1 << bit % 8
    reader.files[path] = bytes(raw)
    found: list[bytes] = []
    with suppress(ReadError):
        for entry in read_entries(reader, CompactRange(), head):
            found.append(entry)
    # Tiles of level 0 are not read here, so that some flips go unseen; a wrong entry never passes.
    assert found == entries[: len(found)]


def swapped(reader: MemoryReader) -> None:
    entries = list(unframe(reader.files["tile/entries/001"]))
    entries[7], entries[8] = entries[8], entries[7]
    reader.files["tile/entries/001"] = frame(entries)


def test_the_first_wrong_entry_is_named() -> None:
    reader = MemoryReader(some_entries(600))
    swapped(reader)
    with pytest.raises(ReadError) as error:
        list(read_entries(reader, CompactRange(), head_of(reader)))
    assert error.value.reason == "wrong-entry"
    assert str(error.value) == "memory/tile/entries/001: entry 263 is not the one that the checkpoint covers"


def test_without_a_right_tile_the_bundle_is_named() -> None:
    reader = MemoryReader(some_entries(600))
    swapped(reader)
    del reader.files["tile/0/001"]
    with pytest.raises(ReadError, match="the entries from 256 on"):
        list(read_entries(reader, CompactRange(), head_of(reader)))


def test_what_comes_before_a_wrong_bundle_is_yielded_and_no_more() -> None:
    entries = some_entries(1300)
    reader = MemoryReader(entries)
    swapped(reader)
    reading = read_entries(reader, CompactRange(), head_of(reader))
    assert [next(reading) for _ in range(256)] == entries[:256]
    with pytest.raises(ReadError):
        next(reading)


def drop_tile(reader: MemoryReader) -> None:
    del reader.files["tile/1/000.p/2"]


def drop_bundle(reader: MemoryReader) -> None:
    del reader.files["tile/entries/001"]


def change_tile(reader: MemoryReader) -> None:
    reader.files["tile/1/000.p/2"] = bytes(64)


def change_last(reader: MemoryReader) -> None:
    reader.files["tile/entries/002.p/88"] = frame(some_entries(88))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (drop_tile, "not-found"),
        (drop_bundle, "not-found"),
        (change_tile, "wrong-root"),
        (change_last, "wrong-root"),
    ],
)
def test_a_file_missing_or_changed(change: Callable[[MemoryReader], None], reason: str) -> None:
    reader = MemoryReader(some_entries(600))
    head = head_of(reader)
    change(reader)
    with pytest.raises(ReadError) as error:
        list(read_entries(reader, CompactRange(), head))
    assert error.value.reason == reason


def test_an_older_head_than_was_read() -> None:
    old = MemoryReader(some_entries(10))
    with pytest.raises(ReadError) as error:
        list(read_entries(old, frontier_of(some_entries(11)), head_of(old)))
    assert error.value.reason == "stale"


@pytest.mark.parametrize("size", [10, 256, 300])
def test_a_log_that_forgot_what_was_read(size: int) -> None:
    """A backup restored and continued: signed and witnessed, but not a continuation."""
    read = some_entries(10)
    read[3] = b"another"
    reader = MemoryReader(some_entries(size))
    with pytest.raises(ReadError) as error:
        list(read_entries(reader, frontier_of(read), head_of(reader)))
    assert error.value.reason == "wrong-root"
    assert "continue the 10 entries read before" in str(error.value)


def test_nothing_published() -> None:
    reader = MemoryReader(some_entries(3))
    del reader.files["checkpoint"]
    assert open_head(reader, POLICY) is None
    assert unverified_first_entry(reader) is None


def test_the_first_entry() -> None:
    assert unverified_first_entry(MemoryReader(some_entries(300))) == b"entry 0 "
    assert unverified_first_entry(MemoryReader([])) is None


HEAD = Checkpoint(ORIGIN, 3, root_of(some_entries(3)))


def test_a_head_needs_two_custodians() -> None:
    reader = MemoryReader(some_entries(3), cosigned(HEAD, custodians=1).raw)
    with pytest.raises(ReadError) as error:
        open_head(reader, POLICY)
    assert error.value.reason == "not-witnessed"
    assert str(error.value).startswith("memory/checkpoint: ")


def test_one_kind_of_key_is_not_a_custodian() -> None:
    """Both keys of beta and gamma are demanded; with the ML-DSA-44 line of one missing, W = 2 is not reached."""
    note = cosigned(HEAD)
    short = type(note)(note.text, note.signatures[:-1])
    with pytest.raises(ReadError) as error:
        open_head(MemoryReader(some_entries(3), short.raw), POLICY)
    assert error.value.reason == "not-witnessed"


@pytest.mark.parametrize("missing", [0, 1])
def test_a_head_needs_both_keys_of_the_log(missing: int) -> None:
    note = cosigned(HEAD)
    kept = tuple(line for number, line in enumerate(note.signatures) if number != missing)
    with pytest.raises(ReadError) as error:
        open_head(MemoryReader(some_entries(3), type(note)(note.text, kept).raw), POLICY)
    assert error.value.reason == "wrong-signers"


def test_a_strange_line_is_refused_only_in_a_record() -> None:
    note = cosigned(HEAD)
    stranger = signer("stranger.example", seed=99).sign(note.text)
    reader = MemoryReader(some_entries(3), type(note)(note.text, (*note.signatures, stranger)).raw)
    assert open_head(reader, POLICY) is not None
    with pytest.raises(ReadError) as error:
        open_head(reader, POLICY, exact=True)
    assert error.value.reason == "unknown-key"


@pytest.mark.parametrize("order", [(1, 0, 2, 3, 4, 5), (0, 1, 3, 2, 4, 5), (0, 1, 4, 5, 2, 3), (2, 3, 4, 5, 0, 1)])
def test_lines_of_a_record_stand_in_the_order_of_the_keys(order: tuple[int, ...]) -> None:
    note = cosigned(HEAD)
    moved = type(note)(note.text, tuple(note.signatures[i] for i in order))
    assert open_head(MemoryReader(some_entries(3), moved.raw), POLICY) is not None
    with pytest.raises(ReadError) as error:
        open_head(MemoryReader(some_entries(3), moved.raw), POLICY, exact=True)
    assert error.value.reason == "not-canonical"


@pytest.mark.parametrize("line", range(6))
@pytest.mark.parametrize("later", [0, 1])
def test_no_line_of_a_record_stands_twice(line: int, later: int) -> None:
    """Neither the same line again, nor a second one by the same key, as a cosigner may make at another time."""
    note = cosigned(HEAD)
    again = cosigned(HEAD, time=TIME + later).signatures[line]
    doubled = type(note)(note.text, (*note.signatures[: line + 1], again, *note.signatures[line + 1 :]))
    with pytest.raises(ReadError) as error:
        open_head(MemoryReader(some_entries(3), doubled.raw), POLICY, exact=True)
    assert error.value.reason == "not-canonical"


def test_another_log() -> None:
    other = Checkpoint("vote.example/other", 3, HEAD.root)
    with pytest.raises(ReadError) as error:
        open_head(MemoryReader(some_entries(3), cosigned(other).raw), POLICY)
    assert error.value.reason == "another-origin"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 8 * len(cosigned(HEAD).raw) - 1))
def test_no_flipped_bit_in_a_checkpoint(bit: int) -> None:
    raw = bytearray(cosigned(HEAD).raw)
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ReadError):
        open_head(MemoryReader(some_entries(3), bytes(raw)), POLICY, exact=True)


def test_time_zero_is_no_custodian() -> None:
    """A signature of time 0 does not say that the tree was the largest seen; a custodian must say so."""
    note = cosigned(HEAD, custodians=1)
    with pytest.raises(ValueError, match="time"):
        CUSTODIANS[1][0].sign(note.text, 0)


@pytest.mark.parametrize("narrow", [True, False])
@pytest.mark.parametrize("count", [1, 44, 45, 256])
def test_the_first_entries_of_a_bundle(narrow: bool, count: int) -> None:
    """Also from who serves no narrower bundle than the tree's own."""
    entries = some_entries(301)

    class Few(MemoryReader):
        def bundle(self, index: int, width: int) -> bytes:
            if not narrow and width != 45:
                raise ReadError("is missing", reason="not-found")
            return frame(entries[256 : 256 + width])

    reader = Few(entries)
    assert first_entries(reader, 1, count, 45) == entries[256 : 256 + min(count, 45)]
    tiles = TreeTiles(reader, head_of(reader))
    assert tiles.first_entries(1, count) == entries[256 : 256 + min(count, 45)]
    entries[256] += b"x"
    with pytest.raises(ReadError, match="entry 256 is not the one that the checkpoint covers"):
        tiles.first_entries(1, count)


def test_a_log_with_tiles_above_tiles_is_read_from_any_place() -> None:
    entries = some_entries(2 * WIDTH * WIDTH + 3 * WIDTH + 7)
    reader = MemoryReader(entries)
    head = head_of(reader)
    grown = CompactRange()
    for start in (0, 5, 600, WIDTH * WIDTH, WIDTH * WIDTH + 300, 2 * WIDTH * WIDTH + 700, len(entries)):
        grown.extend(map(leaf_hash, entries[grown.size : start]))
        assert list(read_entries(reader, grown, head)) == entries[start:]
    for path in ("tile/2/000.p/2", "tile/1/001", "tile/1/002.p/3"):
        other = MemoryReader([])
        other.files = reader.files | {path: bytes(len(reader.files[path]))}
        with pytest.raises(ReadError) as error:
            list(read_entries(other, CompactRange(), head))
        assert error.value.reason == "wrong-root"
