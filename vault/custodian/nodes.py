"""Which tiles a growing log completes: what a store keeps of them is the root, a hash of the level above."""

from __future__ import annotations

from collections.abc import Iterator

from audit.log.tiles import HEIGHT


def completed(old_size: int, size: int) -> Iterator[tuple[int, int]]:
    """(level, index) of the hashes, level 1 and above, lowest first, that a tree of `size` leaves has and one of
    `old_size` has not.
    """
    level = 1
    while size >> (HEIGHT * level):
        for index in range(old_size >> (HEIGHT * level), size >> (HEIGHT * level)):
            yield level, index
        level += 1
