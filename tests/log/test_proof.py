"""The proof a voter keeps: made from tiles, verified offline, refused with anything in it changed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.log.checkpoint import open_note
from audit.log.merkle import leaf_hash
from audit.log.proof import MAX_EXTRA, MAX_FILE, Proof, open_proof, parse_proof
from audit.log.proving import TreeTiles
from audit.log.reader import ReadError, open_head
from audit.protocol.refused import Refused
from tests.log.sample import POLICY, MemoryReader, root_of, some_entries

SIZE = 600
ENTRIES = some_entries(SIZE)


def tiles_of_log(reader: MemoryReader) -> TreeTiles:
    head = open_head(reader, POLICY)
    assert head is not None
    return TreeTiles(reader, head)


TILES = tiles_of_log(MemoryReader(ENTRIES))


def proof_of(index: int) -> Proof:
    return Proof(index, tuple(TILES.inclusion(index, leaf_hash(ENTRIES[index]))), TILES.head.note, ENTRIES[index])


def refused(proof: Proof, leaf: bytes) -> Refused:
    with pytest.raises(Refused) as error:
        open_proof(proof, leaf, POLICY)
    return error.value


@given(st.integers(0, SIZE - 1))
@settings(max_examples=40, deadline=None)
def test_every_leaf_is_proved(index: int) -> None:
    proof = parse_proof(proof_of(index).raw)
    assert proof == proof_of(index)
    assert open_proof(proof, leaf_hash(ENTRIES[index]), POLICY) == open_note(TILES.head.note, POLICY)


@given(st.integers(0, SIZE))
@settings(max_examples=40, deadline=None)
def test_every_earlier_tree_is_proved(size: int) -> None:
    TILES.consistency(size, root_of(ENTRIES[:size]))


def test_a_tree_of_three_levels() -> None:
    entries = some_entries(65_536 + 300)
    tiles = tiles_of_log(MemoryReader(entries))
    for index in (0, 255, 256, 65_535, 65_536, 65_835):
        tiles.inclusion(index, leaf_hash(entries[index]))
    for size in (1, 256, 65_535, 65_536, 65_537):
        tiles.consistency(size, root_of(entries[:size]))


def test_another_leaf_is_not_proved() -> None:
    with pytest.raises(ReadError) as error:
        TILES.inclusion(7, leaf_hash(ENTRIES[8]))
    assert error.value.reason == "bad-proof"


def test_another_tree_is_not_proved() -> None:
    with pytest.raises(ReadError) as error:
        TILES.consistency(7, root_of(ENTRIES[1:8]))
    assert error.value.reason == "bad-proof"


def test_tiles_that_lie_prove_nothing() -> None:
    reader = MemoryReader(ENTRIES)
    reader.files["tile/1/000.p/2"] = bytes(64)
    with pytest.raises(ReadError) as error:
        tiles_of_log(reader).inclusion(599, leaf_hash(ENTRIES[599]))
    assert error.value.reason == "bad-proof"


@pytest.mark.parametrize("start", [0, 5, 255, 256, 300, 599, 600])
def test_scanning_reads_whole_tiles_only(start: int) -> None:
    assert list(TILES.leaves(start)) == [(i, leaf_hash(ENTRIES[i])) for i in range(start, SIZE)]


@given(st.integers(0, SIZE - 1), st.data())
@settings(max_examples=150, deadline=None)
def test_any_byte_changed_is_refused(index: int, data: st.DataObject) -> None:
    proof = proof_of(index)
    raw = bytearray(Proof(proof.index, proof.hashes, proof.note).raw)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Refused):
        open_proof(parse_proof(bytes(raw)), leaf_hash(ENTRIES[index]), POLICY)


@pytest.mark.parametrize("index", [0, 1, 254, 599])
def test_another_index(index: int) -> None:
    proof = proof_of(index)
    for other in {0, index ^ 1, index + 1, SIZE, 2**63 - 1} - {index}:
        assert refused(Proof(other, proof.hashes, proof.note), leaf_hash(ENTRIES[index])).reason == "bad-proof"


def test_hashes_missing_surplus_or_in_another_order() -> None:
    proof, leaf = proof_of(255), leaf_hash(ENTRIES[255])
    for hashes in (proof.hashes[1:], proof.hashes[:-1], (*proof.hashes, bytes(32)), proof.hashes[::-1], ()):
        assert refused(Proof(255, hashes, proof.note), leaf).reason == "bad-proof"


def test_another_entry() -> None:
    assert refused(proof_of(7), leaf_hash(b"another")).reason == "bad-proof"


def test_no_witness() -> None:
    proof = proof_of(7)
    note = type(proof.note)(proof.note.text, proof.note.signatures[:4])
    assert refused(Proof(7, proof.hashes, note), leaf_hash(ENTRIES[7])).reason == "not-witnessed"


def test_the_extra_data_is_not_authenticated_and_not_needed() -> None:
    proof = proof_of(7)
    open_proof(Proof(7, proof.hashes, proof.note, b"anything"), leaf_hash(ENTRIES[7]), POLICY)


def test_the_largest_entry_fits_and_no_larger_one() -> None:
    proof = Proof(7, proof_of(7).hashes, TILES.head.note, bytes(MAX_EXTRA))
    assert parse_proof(proof.raw).extra == bytes(MAX_EXTRA)
    for size, reason in ((MAX_EXTRA + 1, "wrong-length"), (MAX_FILE, "too-long")):
        with pytest.raises(Refused) as error:
            parse_proof(Proof(7, proof.hashes, proof.note, bytes(size)).raw)
        assert error.value.reason == reason
