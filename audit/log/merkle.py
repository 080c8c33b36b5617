"""The Merkle tree of RFC 6962: hashing, the frontier that lets a tree grow in logarithmic memory, and both proofs.

Proofs are read from a hash source, a function (level, index) -> hash of the complete subtree over leaves [index *
2^level, (index + 1) * 2^level). An in-memory list, a frontier with new leaves, or tiles can each be one, so that one
piece of code makes the proofs of all of them. Verifying takes nothing but hashes and raises on the first thing that is
wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from audit.protocol.refused import Refused

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()
MAX_PROOF = 63
"""Most hashes in a proof of a tree of at most 2^63 - 1 leaves, and the limit of tlog-witness."""

HashSource = Callable[[int, int], bytes]


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(0x00 || entry), 32 bytes (RFC 6962, section 2.1)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right), 32 bytes (RFC 6962, section 2.1)."""
    return sha256(b"\x01" + left + right).digest()


def fold(hashes: Sequence[bytes]) -> bytes:
    """The hash over adjacent subtrees of falling size, the rightmost pair first; the empty tree's for none."""
    if not hashes:
        return EMPTY_ROOT
    result = hashes[-1]
    for left in reversed(hashes[:-1]):
        result = node_hash(left, result)
    return result


class CompactRange:
    """The frontier of a growing tree: the hashes of its complete subtrees, largest first, one for each set bit of the
    size.
    """

    __slots__ = ("_hashes", "_size")

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        """The frontier of a tree of `size` leaves.

        Refused `wrong-length` if the hashes are not as many as the size demands.
        """
        self._size = size
        self._hashes = list(hashes)
        wanted = size.bit_count()
        if size < 0 or len(self._hashes) != wanted or any(len(h) != HASH_SIZE for h in self._hashes):
            raise Refused("wrong-length", f"a frontier of {size} leaves has {wanted} hashes of {HASH_SIZE} bytes")

    @property
    def size(self) -> int:
        return self._size

    @property
    def hashes(self) -> tuple[bytes, ...]:
        return tuple(self._hashes)

    def append(self, subtree: bytes, level: int = 0) -> None:
        """Grow by a leaf hash, or by the hash of a complete subtree over 2^level leaves.

        ValueError unless the subtree can begin here: the size must be a multiple of 2^level.
        """
        size = self._size >> level
        if size << level != self._size:
            raise ValueError(f"a subtree over {1 << level} leaves does not begin at leaf {self._size}")
        while size & 1:
            subtree = node_hash(self._hashes.pop(), subtree)
            size >>= 1
        self._hashes.append(subtree)
        self._size += 1 << level

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Grow by several leaf hashes, in order."""
        for leaf in leaves:
            self.append(leaf)

    def root(self) -> bytes:
        """The root of the tree, 32 bytes; of the empty tree, SHA-256 of nothing."""
        return fold(self._hashes)

    def copy(self) -> CompactRange:
        return CompactRange(self._size, self._hashes)

    def to_bytes(self) -> bytes:
        """8 bytes of size, big-endian, then the hashes, largest subtree first."""
        return self._size.to_bytes(8, "big") + b"".join(self._hashes)

    @classmethod
    def from_bytes(cls, raw: bytes) -> CompactRange:
        """The inverse of `to_bytes`. Refused `wrong-length`."""
        hashes = raw[8:]
        if len(raw) < 8 or len(hashes) % HASH_SIZE:
            raise Refused("wrong-length", "a frontier is 8 bytes of size and whole hashes")
        places = range(0, len(hashes), HASH_SIZE)
        return cls(int.from_bytes(raw[:8], "big"), (hashes[i : i + HASH_SIZE] for i in places))


class LeafHashes:
    """The hash source of a tree whose leaf hashes are held in memory; complete subtrees are hashed once."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._levels = [list(leaves)]
        while len(self._levels[-1]) > 1:
            below = self._levels[-1]
            self._levels.append([node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)])

    def __call__(self, level: int, index: int) -> bytes:
        return self._levels[level][index]


def complete_subtrees(start: int, end: int) -> list[tuple[int, int]]:
    """The (level, index) of the complete subtrees that make up leaves [start, end), left to right.

    `start` must be a multiple of the smallest power of two that is at least end - start, as it is for every node of an
    RFC 6962 tree.
    """
    found = []
    while start < end:
        level = (end - start).bit_length() - 1
        found.append((level, start >> level))
        start += 1 << level
    return found


def subtree_hash(source: HashSource, start: int, end: int) -> bytes:
    """MTH(D[start:end]) of RFC 6962, section 2.1, for a node of the tree (see `complete_subtrees`)."""
    return fold([source(level, index) for level, index in complete_subtrees(start, end)])


def frontier(source: HashSource, size: int) -> CompactRange:
    """The frontier of the first `size` leaves of a hash source."""
    return CompactRange(size, (source(level, index) for level, index in complete_subtrees(0, size)))


def _split(start: int, end: int) -> int:
    # RFC 6962, section 2.1: k is the largest power of two smaller than n.
    return start + (1 << ((end - start - 1).bit_length() - 1))


def inclusion_proof(source: HashSource, index: int, size: int) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962, section 2.1.1, from the leaf's sibling up. ValueError unless index < size."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    start, end, proof = 0, size, []
    while end - start > 1:
        middle = _split(start, end)
        if index < middle:
            proof.append(subtree_hash(source, middle, end))
            end = middle
        else:
            proof.append(subtree_hash(source, start, middle))
            start = middle
    return proof[::-1]


def consistency_proof(source: HashSource, m: int, n: int) -> list[bytes]:
    """PROOF(m, D[n]) of RFC 6962, section 2.1.2; empty for m = 0 (as in tlog-witness) and m = n.

    ValueError if m > n.
    """
    if not 0 <= m <= n:
        raise ValueError(f"no tree of {m} leaves grows into one of {n}")
    if m in (0, n):
        return []
    start, end, proof = 0, n, []
    while end != m:
        middle = _split(start, end)
        if m <= middle:
            proof.append(subtree_hash(source, middle, end))
            end = middle
        else:
            proof.append(subtree_hash(source, start, middle))
            start = middle
    if start > 0:
        proof.append(subtree_hash(source, start, m))
    return proof[::-1]


def consistency_from(frontier_at_m: CompactRange, new_leaf_hashes: Sequence[bytes]) -> list[bytes]:
    """PROOF(m, D[n]) from the frontier at m and the leaf hashes m..n alone (RFC 6962, section 2.1.2)."""
    m = frontier_at_m.size
    old = dict(zip(complete_subtrees(0, m), frontier_at_m.hashes, strict=True))

    def source(level: int, index: int) -> bytes:
        start = index << level
        if start < m:
            # Every node of the proof left of m is complete in the tree of m leaves, hence on its frontier.
            return old[level, index]
        grown = CompactRange()
        grown.extend(new_leaf_hashes[start - m : start - m + (1 << level)])
        return grown.root()

    return consistency_proof(source, m, m + len(new_leaf_hashes))


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Leaf hash `leaf` is number `index` of the tree of `size` leaves under `root` (RFC 9162, section 2.1.3.2).

    Refused `bad-proof`.
    """
    if not 0 <= index < size:
        raise Refused("bad-proof", f"leaf {index} is not in a tree of {size}")
    _check_hashes([leaf, root, *proof])
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        if sn == 0:
            raise Refused("bad-proof", "the inclusion proof has too many hashes")
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise Refused("bad-proof", "the inclusion proof has too few hashes")
    if r != root:
        raise Refused("bad-proof", f"the inclusion proof of leaf {index} does not lead to the root of size {size}")


def verify_consistency(m: int, root_m: bytes, n: int, root_n: bytes, proof: Sequence[bytes]) -> None:
    """The tree of m leaves is a beginning of the one of n (RFC 9162, section 2.1.4.2.

    The empty tree as in tlog-witness). Refused `bad-proof`.
    """
    if not 0 <= m <= n:
        raise Refused("bad-proof", f"no tree of {m} leaves grows into one of {n}")
    _check_hashes([root_m, root_n, *proof])
    if m in (0, n):
        _check_trivial(m, root_m, n, root_n, proof)
        return
    if not proof:
        raise Refused("bad-proof", "the consistency proof is empty")
    path = list(proof) if m & (m - 1) else [root_m, *proof]
    fn, sn = m - 1, n - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            raise Refused("bad-proof", "the consistency proof has too many hashes")
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise Refused("bad-proof", "the consistency proof has too few hashes")
    if fr != root_m or sr != root_n:
        raise Refused("bad-proof", f"the consistency proof does not lead from the root of size {m} to that of size {n}")


def _check_trivial(m: int, root_m: bytes, n: int, root_n: bytes, proof: Sequence[bytes]) -> None:
    if proof:
        raise Refused("bad-proof", f"the consistency proof from {m} to {n} must be empty")
    if m == 0 and root_m != EMPTY_ROOT:
        raise Refused("bad-proof", "the root of size 0 is not that of the empty tree")
    if m == n and root_m != root_n:
        raise Refused("bad-proof", f"two roots of size {n}")


def _check_hashes(hashes: Sequence[bytes]) -> None:
    if any(len(h) != HASH_SIZE for h in hashes):
        raise Refused("bad-proof", f"a hash has not {HASH_SIZE} bytes")
