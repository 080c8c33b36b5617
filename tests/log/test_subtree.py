"""Proofs that a range of a log is a part of its tree, each hash and number of them changed."""

from __future__ import annotations

import pytest

from audit.log.merkle import LeafHashes, consistency_proof, frontier, inclusion_proof, leaf_hash, subtree_hash
from audit.log.subtree import is_subtree, subtree_proof, verify_subtree
from audit.protocol.refused import Refused

SIZE = 33
LEAVES = [leaf_hash(bytes([i])) for i in range(SIZE)]
SOURCE = LeafHashes(LEAVES)


def subtrees(size: int) -> list[tuple[int, int]]:
    return [(start, end) for start in range(size) for end in range(start + 1, size + 1) if is_subtree(start, end)]


def root(size: int) -> bytes:
    return frontier(SOURCE, size).root()


def test_which_ranges_are_subtrees() -> None:
    assert is_subtree(0, 7)
    assert is_subtree(8, 13)
    assert is_subtree(12, 13)
    for start, end in ((4, 9), (2, 5), (3, 5), (1, 1), (2, 1), (-1, 0)):
        assert not is_subtree(start, end)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 13, 21, SIZE])
def test_every_subtree_of_a_tree_is_proven(size: int) -> None:
    for start, end in subtrees(size):
        proof = subtree_proof(SOURCE, start, end, size)
        verify_subtree(start, end, subtree_hash(SOURCE, start, end), size, root(size), proof)


def test_from_the_first_leaf_on_it_is_the_consistency_proof_and_of_one_leaf_its_inclusion() -> None:
    for size in range(1, SIZE + 1):
        for end in range(1, size + 1):
            assert subtree_proof(SOURCE, 0, end, size) == consistency_proof(SOURCE, end, size)
            assert subtree_proof(SOURCE, end - 1, end, size) == inclusion_proof(SOURCE, end - 1, size)


@pytest.mark.parametrize("size", [7, 13, 16])
def test_any_change_is_refused(size: int) -> None:
    other = leaf_hash(b"another")
    for start, end in subtrees(size):
        hash, proof = subtree_hash(SOURCE, start, end), subtree_proof(SOURCE, start, end, size)
        changes = [proof[:i] + [other] + proof[i + 1 :] for i in range(len(proof))]
        changes += [[*proof, other], *([proof[:-1]] if proof else []), [h[:-1] for h in proof] or [b""]]
        for changed in changes:
            with pytest.raises(Refused) as refused:
                verify_subtree(start, end, hash, size, root(size), changed)
            assert refused.value.reason == "bad-proof"
        for wrong in (
            (start, end, other, size, root(size)),
            (start, end, hash, size, other),
            (start, end, hash, end - 1, root(size)),
            (start + 1, end, hash, size, root(size)),
        ):
            with pytest.raises(Refused, match="subtree|proof"):
                verify_subtree(*wrong, proof)


def test_only_subtrees_have_proofs() -> None:
    for start, end, size in ((4, 9, 16), (0, 9, 8), (3, 3, 8)):
        with pytest.raises(ValueError, match="no subtree"):
            subtree_proof(SOURCE, start, end, size)
