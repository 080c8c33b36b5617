"""Proofs made from the tiles of a log, for readers who hold no tree. Each is verified before it is given."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from audit.log.merkle import consistency_proof, inclusion_proof, leaf_hash, verify_consistency, verify_inclusion
from audit.log.reader import Head, Reader, ReadError, bundle_entries, first_entries, split_hashes, tile_root
from audit.log.tiles import HEIGHT, WIDTH, bundle_path, width_of
from audit.protocol.refused import Refused

CACHED_TILES = 256


class TreeTiles:
    """The tree of a verified head, read from tiles as they are needed; up to 256 tiles (2 MiB) are kept.

    As a function it is a hash source, whose hashes are claims; only what its methods return is verified.
    """

    def __init__(self, reader: Reader, head: Head) -> None:
        self._reader = reader
        self.head = head
        self._tile = lru_cache(CACHED_TILES)(self._read_tile)
        self._leaves = lru_cache(CACHED_TILES)(self._read_leaves)

    def __call__(self, level: int, index: int) -> bytes:
        """The claimed hash of the complete subtree over leaves [index * 2^level, (index + 1) * 2^level). ReadError."""
        height, below = divmod(level, HEIGHT)
        place, offset = divmod(index << below, WIDTH)
        return tile_root(self._tile(height, place)[offset : offset + (1 << below)])

    def inclusion(self, index: int, leaf: bytes) -> list[bytes]:
        """The proof that leaf hash `leaf` is number `index` under the head, from its sibling up.

        ReadError `bad-proof` if the tiles do not prove it. ValueError unless index is below the head's size.
        """
        proof = inclusion_proof(self, index, self.head.size)
        try:
            verify_inclusion(leaf, index, self.head.size, proof, self.head.root)
        except Refused as refusal:
            raise ReadError(refusal.detail, str(self._reader), refusal.reason) from None
        return proof

    def consistency(self, size: int, root: bytes) -> list[bytes]:
        """The proof that the tree of `size` leaves under `root` is a beginning of the head's; empty for size 0 or equal
        size.

        ReadError `bad-proof` if the tiles do not prove it. ValueError if size is above the head's.
        """
        proof = consistency_proof(self, size, self.head.size)
        try:
            verify_consistency(size, root, self.head.size, self.head.root, proof)
        except Refused as refusal:
            raise ReadError(refusal.detail, str(self._reader), refusal.reason) from None
        return proof

    def leaves(self, start: int) -> Iterator[tuple[int, bytes]]:
        """Number and claimed leaf hash of every leaf from `start` on; `inclusion` verifies the one that is sought.

        Whole tiles are read, so that who serves them does not learn which leaf that is. ReadError.
        """
        for place in range(start // WIDTH, -(-self.head.size // WIDTH)):
            for offset, leaf in enumerate(self._tile(0, place)):
                if (index := place * WIDTH + offset) >= start:
                    yield index, leaf

    def entries(self, place: int) -> list[bytes]:
        """All entries of bundle `place`, each the one that the head covers. ReadError."""
        entries = bundle_entries(self._reader, place, width_of(self.head.size, 0, place))
        self._expect(place, entries)
        return entries

    def first_entries(self, place: int, count: int) -> list[bytes]:
        """The first `count` entries of bundle `place`, or all if it has fewer, as the head covers them. ReadError."""
        entries = first_entries(self._reader, place, count, width_of(self.head.size, 0, place))
        self._expect(place, entries)
        return entries

    def _expect(self, place: int, entries: list[bytes]) -> None:
        leaves = self._leaves(place)
        for offset, entry in enumerate(entries):
            if leaf_hash(entry) != leaves[offset]:
                text = f"entry {place * WIDTH + offset} is not the one that the checkpoint covers"
                raise ReadError(text, f"{self._reader}/{bundle_path(place)}", "wrong-entry")

    def _read_leaves(self, place: int) -> list[bytes]:
        """The leaf hashes of a bundle, verified: the proof of the first is computed from all the others."""
        leaves = self._tile(0, place)
        self.inclusion(place * WIDTH, leaves[0])
        return leaves

    def _read_tile(self, level: int, index: int) -> list[bytes]:
        return split_hashes(self._reader.tile(level, index, width_of(self.head.size, level, index)))
