"""tlog-scales: its reader takes our tiles, and its verifier our ML-DSA-44 signatures (type 0x06)."""

from __future__ import annotations

import dataclasses

import pytest
from tlog_scales.backend import make_backend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import MLDSA44CosignatureSigner, Vkey, VkeySet
from tlog_scales.tiles import leaf_hash

from audit.log.checkpoint import open_checkpoint
from audit.log.keys import ML_DSA_44, Signer
from audit.log.notes import parse_note, verify_note
from audit.protocol.refused import Refused
from tests.judges.conftest import SIZE
from tests.log.sample import CUSTODIANS, LOG, POLICY


@pytest.fixture
def reader(record):
    return TilesReader(make_backend(str(record.folder)))


def test_all_signatures_of_a_checkpoint_hold(reader):
    checkpoint = reader.get_checkpoint()
    keys = [Vkey.from_string(key.vkey) for key in (*LOG, *CUSTODIANS[0], *CUSTODIANS[1])]
    assert {key.sig_type for key in keys} == {1, 4, 6}
    verified = VkeySet(*keys).verify(checkpoint.signatures, checkpoint)
    assert {(key.name, key.sig_type) for key, _ in verified} == {(key.name, key.sig_type) for key in keys}


def test_a_signature_over_another_size_does_not(reader):
    checkpoint = dataclasses.replace(reader.get_checkpoint(), size=SIZE - 1)
    assert VkeySet(Vkey.from_string(LOG[1].vkey)).verify(checkpoint.signatures, checkpoint) == set()


def test_the_tiles_lead_to_the_root(reader):
    assert reader.get_checkpoint().root_hash == reader.calculate_root_hash()


@pytest.mark.parametrize("index", [0, 256, 65_536, SIZE - 1])
def test_entries_are_included(reader, record, index):
    root = reader.get_checkpoint().root_hash
    entry = reader.get_entry(index)
    assert entry == record.entries[index]
    reader.get_inclusion_proof(index, SIZE).check(leaf_hash(entry), root)


def test_its_own_line_is_taken_here(reader, record):
    """A cosignature that it makes is verified by our keys."""
    seed = bytes(range(32))
    theirs = MLDSA44CosignatureSigner("scales.example", seed)
    line = theirs.sign(reader.get_checkpoint()).serialize()
    note = parse_note((record.folder / "checkpoint").read_bytes() + line.encode() + b"\n")
    ours = Signer("scales.example", ML_DSA_44, seed).verifier
    assert verify_note(note, [ours]) == ["scales.example"]
    # But it is nobody's in this log: an exported record may not bear it.
    assert open_checkpoint(note.raw, POLICY).size == SIZE
    with pytest.raises(Refused):
        open_checkpoint(note.raw, POLICY, exact=True)
