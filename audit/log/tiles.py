"""Tiles (C2SP tlog-tiles): a log as static files, their names, and how entries lie in them.

Tile `index` of `level` holds up to 256 hashes of complete subtrees over 256^level leaves each; an entry bundle holds
the entries of a level-0 tile. The last tile of a level may be partial, and then its name says its width, so that no
file ever changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from audit.log.encoding import MAX_NUMBER
from audit.protocol.refused import Refused

WIDTH = 256
HEIGHT = 8
"""A full tile is 2^HEIGHT = WIDTH hashes wide."""
MAX_HEIGHT = 7
"""The highest level at which a tree of at most 2^63 - 1 leaves has tiles."""
MAX_LEVEL = 63
MAX_DATA = 65_535
"""Bytes of an entry: its length in a bundle is two bytes."""
MAX_BUNDLE = WIDTH * (2 + MAX_DATA)

_NAME = re.compile(r"tile/(entries|[0-9]|[1-5][0-9]|6[0-3])/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


@dataclass(frozen=True, slots=True)
class Tile:
    """The name of a tile, or of an entry bundle if `level` is None; `width` is 256 for a full one, else 1 to 255."""

    level: int | None
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """`tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]`."""
        if self.level is None:
            return bundle_path(self.index, self.width)
        return tile_path(self.level, self.index, self.width)


def tile_path(level: int, index: int, width: int = WIDTH) -> str:
    """`tile/<L>/<N>[.p/<W>]`. ValueError for what no log has: a level above 63, a width not from 1 to 256."""
    if not 0 <= level <= MAX_LEVEL:
        raise ValueError(f"there is no level {level}")
    return f"tile/{level}/{_place(index, width)}"


def bundle_path(index: int, width: int = WIDTH) -> str:
    """`tile/entries/<N>[.p/<W>]`. ValueError as `tile_path`."""
    return f"tile/entries/{_place(index, width)}"


def _place(index: int, width: int) -> str:
    if not (0 <= index <= MAX_NUMBER and 0 < width <= WIDTH):
        raise ValueError(f"there is no tile {index} of width {width}")
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03d}")
    return "/".join(reversed(groups)) + ("" if width == WIDTH else f".p/{width}")


def parse_path(path: str) -> Tile:
    """The tile or bundle of a path, as `Tile.path` writes it. Refused `syntax` for any other way to write it."""
    found = _NAME.fullmatch(path)
    if found is not None:
        level, groups, width = found.groups()
        index = int(groups.replace("x", "").replace("/", ""))
        tile = Tile(None if level == "entries" else int(level), index, int(width or WIDTH))
        # The comparison refuses x000 in front, and .p/256, which would be a second name.
        if index <= MAX_NUMBER and tile.width <= WIDTH and tile.path == path:
            return tile
    raise Refused("syntax", f"{path[:100]!r} is not the path of a tile or an entry bundle")


def width_of(size: int, level: int, index: int) -> int:
    """How many hashes tile `index` of `level` holds in a tree of `size` leaves, 0 if it has no such tile.

    A bundle is as wide as the level-0 tile of its index.
    """
    return max(0, min(WIDTH, (size >> (HEIGHT * level)) - index * WIDTH))


def tiles_of(size: int) -> Iterator[Tile]:
    """Every bundle, then every tile, lowest level first, of a tree of `size` leaves: what an exported record holds."""
    level: int | None = None
    count = size
    while count:
        full, rest = divmod(count, WIDTH)
        for index in range(full):
            yield Tile(level, index)
        if rest:
            yield Tile(level, full, rest)
        # The bundles and level 0 are of the same leaves; above that each level counts the full tiles of the one below.
        level, count = (0, count) if level is None else (level + 1, full)


def frame(entries: Iterable[bytes]) -> bytes:
    """The entries, each after its big-endian u16 length: a bundle, or the end of an append. Refused `too-long`."""
    parts: list[bytes] = []
    for entry in entries:
        if len(entry) > MAX_DATA:
            raise Refused("too-long", f"an entry holds at most {MAX_DATA} bytes, this one {len(entry)}")
        parts += (len(entry).to_bytes(2, "big"), entry)
    return b"".join(parts)


def unframe(raw: bytes, most: int = WIDTH) -> Iterator[bytes]:
    """The inverse of `frame`.

    Refused `syntax` if `raw` ends within an entry, `too-long` for more than `most` entries.
    """
    start = found = 0
    while start < len(raw):
        end = start + 2 + int.from_bytes(raw[start : start + 2], "big")
        if start + 2 > len(raw) or end > len(raw):
            raise Refused("syntax", "the bytes end within an entry")
        found += 1
        if found > most:
            raise Refused("too-long", f"at most {most} entries may stand here")
        yield raw[start + 2 : end]
        start = end
