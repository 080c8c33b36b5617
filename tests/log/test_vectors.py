"""The vectors of tests/vectors/log: made by others where others have made them, the rest one fault each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from audit.log.encoding import decode_base64
from audit.log.keys import parse_vkey
from audit.log.merkle import (
    EMPTY_ROOT,
    CompactRange,
    LeafHashes,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from audit.log.notes import parse_note, verified_lines, verify_note
from audit.log.proof import parse_proof
from audit.log.tiles import WIDTH, Tile, frame, parse_path, tiles_of, unframe, width_of
from audit.protocol.refused import Refused
from tests.log.vectors import RUN

VECTORS = Path(__file__).parents[1] / "vectors" / "log"


def vectors(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text())
    return loaded


NOTES = vectors("notes")["vectors"]
KEYS = vectors("keys")["vectors"]
PROOFS = vectors("proofs")["vectors"]
MERKLE = vectors("merkle")
TILES = vectors("tiles")
LEAVES = [leaf_hash(bytes.fromhex(entry)) for entry in MERKLE["entries"]]
ROOTS = [bytes.fromhex(root) for root in MERKLE["roots"]]


def hashes(texts: list[str]) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


@pytest.mark.parametrize("vector", [v for v in NOTES if "signed" in v], ids=lambda v: v["name"])
def test_a_note_is_verified(vector: dict[str, Any]) -> None:
    note = parse_note(vector["note"].encode())
    assert note.raw == vector["note"].encode()
    times = verified_lines(note, [parse_vkey(key) for key in vector["keys"]])
    assert {key.name: time for key, time in times.items()} == vector["signed"]
    assert set(verify_note(note, [parse_vkey(key) for key in vector["keys"]])) == set(vector["signed"])


@pytest.mark.parametrize("vector", [v for v in NOTES if "error" in v], ids=lambda v: v["name"])
def test_a_note_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        verify_note(parse_note(vector["note"].encode()), [parse_vkey(key) for key in vector["keys"]])
    assert refused.value.reason == vector["error"]


@pytest.mark.parametrize("vector", KEYS, ids=lambda v: v.get("error", v.get("id")))
def test_a_verifier_key(vector: dict[str, Any]) -> None:
    if "error" in vector:
        with pytest.raises(Refused) as refused:
            parse_vkey(vector["vkey"])
        assert refused.value.reason == vector["error"]
        return
    key = parse_vkey(vector["vkey"])
    assert (key.name, key.type, key.key_id.hex()) == (vector["name"], vector["type"], vector["id"])
    assert key.vkey == vector["vkey"]


def test_roots() -> None:
    tree = CompactRange()
    assert tree.root() == EMPTY_ROOT == bytes.fromhex(MERKLE["empty"])
    for leaf, root in zip(LEAVES, ROOTS, strict=True):
        tree.append(leaf)
        assert tree.root() == root


@pytest.mark.parametrize("vector", MERKLE["inclusion"], ids=lambda v: f"{v['index']} of {v['size']}")
def test_inclusion(vector: dict[str, Any]) -> None:
    index, size, proof = vector["index"], vector["size"], hashes(vector["proof"])
    assert inclusion_proof(LeafHashes(LEAVES), index, size) == proof
    verify_inclusion(LEAVES[index], index, size, proof, ROOTS[size - 1])


@pytest.mark.parametrize("vector", MERKLE["consistency"], ids=lambda v: f"{v['old']} to {v['size']}")
def test_consistency(vector: dict[str, Any]) -> None:
    old, size, proof = vector["old"], vector["size"], hashes(vector["proof"])
    assert consistency_proof(LeafHashes(LEAVES), old, size) == proof
    verify_consistency(old, ROOTS[old - 1], size, ROOTS[size - 1], proof)


@pytest.mark.parametrize("vector", MERKLE["no_inclusion"], ids=lambda v: v["what"])
def test_no_inclusion(vector: dict[str, Any]) -> None:
    index, size = vector["index"], vector["size"]
    leaf = bytes.fromhex(vector["leaf"]) if "leaf" in vector else LEAVES[min(max(index, 0), 7)]
    root = bytes.fromhex(vector["root"]) if "root" in vector else root_of(size)
    with pytest.raises(Refused) as refused:
        verify_inclusion(leaf, index, size, hashes(vector["proof"]), root)
    assert refused.value.reason == vector["error"]


@pytest.mark.parametrize("vector", MERKLE["no_consistency"], ids=lambda v: v["what"])
def test_no_consistency(vector: dict[str, Any]) -> None:
    old, size = vector["old"], vector["size"]
    old_root = bytes.fromhex(vector["old_root"]) if "old_root" in vector else root_of(old)
    root = bytes.fromhex(vector["root"]) if "root" in vector else root_of(size)
    with pytest.raises(Refused) as refused:
        verify_consistency(old, old_root, size, root, hashes(vector["proof"]))
    assert refused.value.reason == vector["error"]


def root_of(size: int) -> bytes:
    return ROOTS[size - 1] if size > 0 else EMPTY_ROOT


CASES = [(name, vectors(name), case) for name in RUN for case in vectors(name)["cases"]]


@pytest.mark.parametrize(("name", "shared", "case"), CASES, ids=[f"{name}: {case['what']}" for name, _, case in CASES])
def test_a_case(name: str, shared: dict[str, Any], case: dict[str, Any]) -> None:
    if "output" in case:
        assert RUN[name](shared, case) == case["output"]
        return
    with pytest.raises(Refused) as refused:
        RUN[name](shared, case)
    assert refused.value.reason == case["reason"]


def test_every_file_is_run_and_holds_valid_and_invalid_cases() -> None:
    assert {path.stem for path in VECTORS.iterdir()} == {*RUN, "keys", "merkle", "notes", "proofs", "tiles"}
    for name in RUN:
        assert {"output" in case for of, _, case in CASES if of == name} == {True, False}


@pytest.mark.parametrize("vector", PROOFS, ids=lambda v: v["name"])
def test_a_proof_file(vector: dict[str, Any]) -> None:
    raw = vector["file"].encode()
    if "error" in vector:
        with pytest.raises(Refused) as refused:
            parse_proof(raw)
        assert refused.value.reason == vector["error"]
        return
    proof = parse_proof(raw)
    assert proof.raw == raw
    assert (proof.index, proof.extra) == (vector["index"], decode_base64(vector["extra"], "extra"))
    assert list(proof.hashes) == [decode_base64(text, "hash") for text in vector["hashes"]]


@pytest.mark.parametrize("vector", TILES["paths"], ids=lambda v: v["path"])
def test_a_path(vector: dict[str, Any]) -> None:
    tile = Tile(vector["level"], vector["index"], vector["width"])
    assert tile.path == vector["path"]
    assert parse_path(vector["path"]) == tile


@pytest.mark.parametrize("vector", TILES["no_paths"], ids=lambda v: v["path"])
def test_no_path(vector: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        parse_path(vector["path"])
    assert refused.value.reason == vector["error"]


@pytest.mark.parametrize("vector", TILES["bundles"], ids=lambda v: v["what"])
def test_a_bundle(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["bytes"])
    if "error" in vector:
        with pytest.raises(Refused) as refused:
            list(unframe(raw))
        assert refused.value.reason == vector["error"]
        return
    entries = hashes(vector["entries"])
    assert list(unframe(raw)) == entries
    assert frame(entries) == raw


@pytest.mark.parametrize("tree", TILES["trees"], ids=lambda v: str(v["size"]))
def test_the_tiles_of_a_tree(tree: dict[str, Any]) -> None:
    tiles = list(tiles_of(tree["size"]))
    assert [tile.path for tile in tiles if tile.width < WIDTH] == tree["partial"]
    assert sum(tile.width == WIDTH for tile in tiles) == tree["full"]
    assert all(width_of(tree["size"], tile.level or 0, tile.index) == tile.width for tile in tiles)
