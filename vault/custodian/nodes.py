"""Which tiles a growing log completes: what a store keeps of them is the root, a hash of the level above."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from audit.log.merkle import CompactRange
from audit.log.tiles import HEIGHT, WIDTH
from vault.custodian.cosign import Head
from vault.custodian.storage import Damaged

Hashes = Callable[[int, int, int], list[bytes]]
"""(level, start, end) -> the stored hashes [start, end) of a tile level."""


def completed(old_size: int, size: int) -> Iterator[tuple[int, int]]:
    """(level, index) of the hashes, level 1 and above, lowest first, that a tree of `size` leaves has and one of
    `old_size` has not.
    """
    level = 1
    while size >> (HEIGHT * level):
        for index in range(old_size >> (HEIGHT * level), size >> (HEIGHT * level)):
            yield level, index
        level += 1


def new_nodes(
    hashes: Hashes, held: bytes, new: Head, first: int, leaves: Sequence[bytes]
) -> dict[tuple[int, int], bytes]:
    """By (level, index), lowest level first, the hashes that the new head completes; `held` is the frontier of the head
    before, and of the new one's entries those from `first` on are not stored yet, and have the hashes `leaves`.

    They are made of hashes that were stored before. So these are shown to be those of the tree that is held, or, if
    entries were stored before their head, to lead to the new root: what changed on the disk since is found before it
    gets into another tile, and before the head is signed. Damaged.
    """
    made: dict[tuple[int, int], bytes] = {}

    def below(level: int, start: int, end: int) -> list[bytes]:
        stored = first if level == 0 else new.old_size >> (HEIGHT * level)
        known = hashes(level, start, min(end, stored)) if start < stored else []
        if known and first == new.old_size:
            check_held(CompactRange.from_bytes(held), level, known)
        if level == 0:
            found = known + list(leaves[max(start - first, 0) : max(end - first, 0)])
        else:
            found = known + [made[level, index] for index in range(max(start, stored), end)]
        if len(found) != end - start:
            raise Damaged(f"{end - start - len(found)} hashes of a tile are missing")
        return found

    for level, index in completed(new.old_size, new.size):
        tile = CompactRange()
        tile.extend(below(level - 1, index * WIDTH, (index + 1) * WIDTH))
        made[level, index] = tile.root()
    if made and first != new.old_size and _edge(below, new.size).root() != new.root:
        raise Damaged("the stored hashes at the edge of the tree do not lead to the root of the new head")
    return made


def check_held(held: CompactRange, level: int, known: Sequence[bytes]) -> None:
    """The hashes in a level's last tile, if it is not full, make the subtrees of the frontier that lie there, or else
    Damaged.
    """
    bits = [bit for bit in reversed(range(held.size.bit_length())) if held.size >> bit & 1]
    there = [peak for bit, peak in zip(bits, held.hashes, strict=True) if bit // HEIGHT == level]
    tile = CompactRange()
    tile.extend(known)
    if list(tile.hashes) != there:
        raise Damaged("what is stored at the edge of the tree is not what the head that is held is made of")


def _edge(hashes: Hashes, size: int) -> CompactRange:
    """The tree of the hashes that no tile above covers, the largest subtrees first."""
    tree = CompactRange()
    for level in reversed(range(-(-size.bit_length() // HEIGHT))):
        count = size >> (HEIGHT * level)
        start = count // WIDTH * WIDTH
        for value in hashes(level, start, count) if start < count else ():
            tree.append(value, HEIGHT * level)
    return tree
