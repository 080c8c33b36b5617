"""Subtrees of a log and their consistency with its head: MTH(D[start:end]) is a part of the tree of n leaves.

A range of leaves is a subtree if `start` is a multiple of the smallest power of two that is at least its length (Merkle
tree certificates, draft-ietf-plants-merkle-tree-certs-03, section 4; C2SP tlog-mirror). A mirror checks entries with
this, a tile's worth at a time, before it has the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from audit.log.merkle import HASH_SIZE, HashSource, node_hash, subtree_hash
from audit.protocol.refused import Refused


def is_subtree(start: int, end: int) -> bool:
    """Whether [start, end) is a subtree of any log that has so many leaves (section 4.1)."""
    return 0 <= start < end and start % (1 << (end - start - 1).bit_length()) == 0


def subtree_proof(source: HashSource, start: int, end: int, size: int) -> list[bytes]:
    """SUBTREE_PROOF(start, end, D[size]) (section 4.4.1). ValueError unless it is a subtree of a tree of `size`."""
    if not is_subtree(start, end) or end > size:
        raise ValueError(f"[{start}, {end}) is no subtree of a tree of {size}")
    return _subproof(source, start, end, 0, size, known=True)


def verify_subtree(start: int, end: int, hash: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """`hash` is that of the subtree [start, end) of the tree of `size` leaves under `root` (section 4.4.3).

    Refused `bad-proof`.
    """
    if not is_subtree(start, end) or end > size:
        raise Refused("bad-proof", f"[{start}, {end}) is no subtree of a tree of {size}")
    if any(len(h) != HASH_SIZE for h in (hash, root, *proof)):
        raise Refused("bad-proof", f"a hash has not {HASH_SIZE} bytes")
    rest = iter(proof)
    try:
        found, whole = _rebuild(rest, hash, start, end, 0, size, known=True)
    except StopIteration:
        raise Refused("bad-proof", "the subtree's proof has too few hashes") from None
    if next(rest, None) is not None:
        raise Refused("bad-proof", "the subtree's proof has too many hashes")
    if (found, whole) != (hash, root):
        raise Refused("bad-proof", f"the proof of [{start}, {end}) does not lead to the root of size {size}")


# Both recursions walk the tree over leaves [low, high) as SUBTREE_SUBPROOF does, `known` being its last argument: that
# the verifier has the hash of the subtree, while this node is a part of it or holds it.


def _subproof(source: HashSource, start: int, end: int, low: int, high: int, known: bool) -> list[bytes]:
    if (start, end) == (low, high):
        return [] if known else [subtree_hash(source, low, high)]
    middle = _middle(low, high)
    if end <= middle:
        return [*_subproof(source, start, end, low, middle, known), subtree_hash(source, middle, high)]
    if middle <= start:
        return [*_subproof(source, start, end, middle, high, known), subtree_hash(source, low, middle)]
    return [*_subproof(source, middle, end, middle, high, known=False), subtree_hash(source, low, middle)]


def _rebuild(
    proof: Iterator[bytes], hash: bytes, start: int, end: int, low: int, high: int, known: bool
) -> tuple[bytes, bytes]:
    """What the proof says MTH(D[start:end]) and MTH(D[low:high]) are. StopIteration if it is too short."""
    if (start, end) == (low, high):
        there = hash if known else next(proof)
        return there, there
    middle = _middle(low, high)
    if end <= middle:
        part, left = _rebuild(proof, hash, start, end, low, middle, known)
        return part, node_hash(left, next(proof))
    if middle <= start:
        part, right = _rebuild(proof, hash, start, end, middle, high, known)
        return part, node_hash(next(proof), right)
    part, right = _rebuild(proof, hash, middle, end, middle, high, known=False)
    left = next(proof)
    return node_hash(left, part), node_hash(left, right)


def _middle(low: int, high: int) -> int:
    # RFC 6962, section 2.1: the left part is the largest power of two smaller than the whole.
    return low + (1 << ((high - low - 1).bit_length() - 1))
