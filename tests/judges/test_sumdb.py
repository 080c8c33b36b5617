"""Go's golang.org/x/mod/sumdb: note opens our checkpoints, tlog reads our tiles and checks our proofs."""

from __future__ import annotations

import shutil

import pytest

from audit.log.encoding import encode_base64
from audit.log.merkle import inclusion_proof
from audit.log.proof import Proof
from audit.log.tiles import bundle_path, tile_path
from tests.judges.conftest import SIZE
from tests.log.sample import LOG, cosigned, signer

KEY = LOG[0].vkey


def test_every_entry_is_in_the_tree_of_the_tiles(record, sumdb):
    assert sumdb(record.folder, KEY) == str(SIZE)


@pytest.mark.parametrize("size", [1, 255, 256, 257, 65_536, 65_999, SIZE])
def test_a_smaller_tree_is_a_beginning(record, sumdb, size):
    root = encode_base64(record.head(size).root)
    assert sumdb(record.folder, KEY, str(size), root) == str(SIZE)


def test_another_tree_is_not(record, sumdb):
    with pytest.raises(RuntimeError, match="invalid transparency proof"):
        sumdb(record.folder, KEY, "300", encode_base64(record.head(301).root))


@pytest.mark.parametrize("index", [0, 255, 256, 65_535, SIZE - 1])
def test_a_kept_proof_holds(record, sumdb, tmp_path, index):
    assert sumdb(record.folder, KEY, kept(record, tmp_path, index)) == str(SIZE)


def test_a_proof_of_another_leaf_does_not(record, sumdb, tmp_path):
    with pytest.raises(RuntimeError, match="invalid transparency proof"):
        sumdb(record.folder, KEY, kept(record, tmp_path, 4, entry=5))


def test_another_key_opens_nothing(record, sumdb):
    with pytest.raises(RuntimeError, match="no verifiable signatures"):
        sumdb(record.folder, signer("log.example", seed=99).vkey)


@pytest.mark.parametrize(
    "path", [tile_path(0, 3, 256), tile_path(1, 0, 256), tile_path(0, SIZE // 256, SIZE % 256), bundle_path(7, 256)]
)
def test_one_flipped_bit_is_found(record, sumdb, tmp_path, path):
    folder = tmp_path / "record"
    shutil.copytree(record.folder, folder)
    raw = bytearray((folder / path).read_bytes())
    raw[40] ^= 1
    (folder / path).write_bytes(raw)
    with pytest.raises(RuntimeError, match=r"inconsistent tile|invalid transparency proof|does not match"):
        sumdb(folder, KEY)


def kept(record, tmp_path, index, entry=None):
    hashes = tuple(inclusion_proof(record.leaves, index, SIZE))
    extra = record.entries[index if entry is None else entry]
    file = tmp_path / "one.tlog-proof"
    file.write_bytes(Proof(index, hashes, cosigned(record.head(SIZE)), extra).raw)
    return file
