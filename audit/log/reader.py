"""Reading a log that anybody may serve. A reader fetches bytes and is trusted with nothing: these functions give
verified things.

A reader that lies is met with the same `ReadError` as one that cannot be reached: it names the file that is wrong, and
another custodian can be asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from audit.log.checkpoint import Checkpoint, LogPolicy, open_note
from audit.log.merkle import HASH_SIZE, CompactRange, complete_subtrees, leaf_hash
from audit.log.notes import Note, parse_note
from audit.log.sources import CHECKPOINT, FolderReader, HttpReader, Reader, ReadError, open_reader
from audit.log.tiles import HEIGHT, MAX_HEIGHT, WIDTH, bundle_path, tile_path, unframe, width_of
from audit.log.treehead import parse_checkpoint
from audit.protocol.refused import Refused

__all__ = [
    "FolderReader",
    "Head",
    "HttpReader",
    "ReadError",
    "Reader",
    "bundle_entries",
    "first_entries",
    "open_head",
    "open_reader",
    "read_entries",
    "split_hashes",
    "tile_root",
    "unverified_first_entry",
]


@dataclass(frozen=True, slots=True)
class Head:
    """A checkpoint that satisfied a policy, and the note that says so."""

    checkpoint: Checkpoint
    note: Note

    @property
    def size(self) -> int:
        return self.checkpoint.size

    @property
    def root(self) -> bytes:
        return self.checkpoint.root


def open_head(reader: Reader, policy: LogPolicy, exact: bool = False) -> Head | None:
    """The reader's newest checkpoint, signed by the log and witnessed by W custodians; None if nothing has been
    published.

    ReadError naming the checkpoint, with the reason of `open_note`; `exact` refuses a line by a key that is not the
    policy's, and any other order of the lines.
    """
    raw = reader.checkpoint()
    if raw is None:
        return None
    try:
        note = parse_note(raw)
        return Head(open_note(note, policy, exact=exact), note)
    except Refused as refusal:
        raise ReadError(str(refusal), f"{reader}/{CHECKPOINT}", refusal.reason) from None


def unverified_first_entry(reader: Reader) -> bytes | None:
    """What the reader gives as entry 0, None if nothing has been published: the manifest, if it has the hash that is
    pinned.

    Nothing is verified: this is how a reader who knows only that hash learns whose signatures count. ReadError.
    """
    raw = reader.checkpoint()
    if raw is None:
        return None
    try:
        size = parse_checkpoint(parse_note(raw).text).size
    except Refused as refusal:
        raise ReadError(str(refusal), f"{reader}/{CHECKPOINT}", refusal.reason) from None
    return bundle_entries(reader, 0, width_of(size, 0, 0))[0] if size else None


def read_entries(reader: Reader, start: CompactRange, head: Head) -> Iterator[bytes]:
    """The entries from `start`, the frontier of those read before, up to a head, each shown to be under its root before
    it is yielded.

    Before the first one, the tree is shown to continue the one of `start`: that takes the tiles at its right edge,
    seven however large it says it is, and those on the way to where `start` ends. From there each tile is compared
    with the one above it, and each bundle with its tile, as they come: so a source that has no such tree ends it at
    once, and it is safe to stop at any entry. `start` is not changed. At most three bundles and two tiles a level are
    held.
    ReadError: `stale` if the head is smaller than `start`; `wrong-root` if the tiles do not lead to the head's root, or
    do not continue `start`; `wrong-entry` naming the entry or the bundle that is not the one the root covers.
    """
    old, size = start.size, head.size
    if size < old:
        raise ReadError(f"has {size} entries, fewer than the {old} read before", f"{reader}/{CHECKPOINT}", "stale")
    grown = start.copy()
    first = _unaligned(reader, grown, size)
    if grown.size == size:
        if grown.root() != head.root:
            raise _wrong_root(reader, size, old)
        yield from first
        return
    bundles = _Bundles(reader, head)
    if grown.hashes != tuple(bundles(level, index) for level, index in complete_subtrees(0, grown.size)):
        raise _wrong_root(reader, size, old)
    yield from first
    for index in range(grown.size >> HEIGHT, size >> HEIGHT):
        yield from _checked_bundle(reader, index, bundles(HEIGHT, index))
    yield from bundles.last


class _Bundles:
    """The hashes of the full bundles of a tree, and of the complete subtrees over them: a hash source for levels from
    HEIGHT on, each shown to be under the head's root before it is given. `last`: the entries after them. ReadError.
    """

    def __init__(self, reader: Reader, head: Head) -> None:
        self._reader, size = reader, head.size
        # By level: the tile that was read last, and the one at the right edge, if it is not full.
        self._read: dict[int, tuple[int, list[bytes]]] = {}
        self._edges: dict[int, tuple[int, list[bytes]]] = {}
        grown = CompactRange()
        for level in range(MAX_HEIGHT, 0, -1):
            index, width = divmod(size >> (HEIGHT * level), WIDTH)
            if width:
                edge = split_hashes(reader.tile(level, index, width))
                self._edges[level] = index, edge
                for subtree in edge:
                    grown.append(subtree, HEIGHT * level)
        self.last = _unaligned(reader, grown, size)
        if grown.root() != head.root:
            raise _wrong_root(reader, size)

    def __call__(self, level: int, index: int) -> bytes:
        height, below = divmod(level, HEIGHT)
        place, offset = divmod(index << below, WIDTH)
        return tile_root(self._tile(height, place)[offset : offset + (1 << below)])

    def _tile(self, level: int, index: int) -> list[bytes]:
        for place, hashes in (self._edges.get(level, (None, [])), self._read.get(level, (None, []))):
            if place == index:
                return hashes
        expected = self(HEIGHT * (level + 1), index)
        hashes = split_hashes(self._reader.tile(level, index, WIDTH))
        if tile_root(hashes) != expected:
            where = f"{self._reader}/{tile_path(level, index)}"
            raise ReadError("is not the tile that the checkpoint covers", where, "wrong-root")
        self._read[level] = index, hashes
        return hashes


def _wrong_root(reader: Reader, size: int, old: int = 0) -> ReadError:
    held = f" continue the {old} entries read before and" if old else ""
    return ReadError(
        f"entries and tiles up to {size} do not{held} lead to the root of its checkpoint", str(reader), "wrong-root"
    )


def _unaligned(reader: Reader, grown: CompactRange, size: int) -> list[bytes]:
    """The entries by which `grown` gets to the end of a bundle begun, or to a last bundle that is not full.

    Often none.
    """
    index, begun = divmod(grown.size, WIDTH)
    width = width_of(size, 0, index)
    if width <= begun or (not begun and width == WIDTH):
        return []
    entries = bundle_entries(reader, index, width)[begun:]
    grown.extend(map(leaf_hash, entries))
    return entries


def _checked_bundle(reader: Reader, index: int, subtree: bytes) -> list[bytes]:
    entries = bundle_entries(reader, index, WIDTH)
    leaves = [leaf_hash(entry) for entry in entries]
    if tile_root(leaves) != subtree:
        raise ReadError(_blame(reader, index, leaves, subtree), f"{reader}/{bundle_path(index)}", "wrong-entry")
    return entries


def _blame(reader: Reader, index: int, leaves: list[bytes], subtree: bytes) -> str:
    """Which entry is wrong, if the tile of the leaf hashes is right."""
    try:
        expected = split_hashes(reader.tile(0, index, WIDTH))
    except ReadError:
        expected = []
    if tile_root(expected) == subtree:
        number = next(i for i, leaf in enumerate(leaves) if leaf != expected[i])
        return f"entry {index * WIDTH + number} is not the one that the checkpoint covers"
    return f"the entries from {index * WIDTH} on are not those that the checkpoint covers"


def bundle_entries(reader: Reader, index: int, width: int) -> list[bytes]:
    """The claimed first `width` entries of a bundle. ReadError, also for a bundle that does not hold exactly these."""
    try:
        entries = list(unframe(reader.bundle(index, width)))
    except Refused as refusal:
        raise ReadError(refusal.detail, f"{reader}/{bundle_path(index, width)}", refusal.reason) from None
    if len(entries) != width:
        where = f"{reader}/{bundle_path(index, width)}"
        raise ReadError(f"has {len(entries)} entries, not {width}", where, "wrong-length")
    return entries


def first_entries(reader: Reader, index: int, count: int, width: int) -> list[bytes]:
    """The claimed first `count` entries of a bundle of `width`, or all if it has fewer. ReadError.

    They are asked for as a narrower bundle: who computes bundles when they are read, as our custodians do, reads and
    sends no more than that. Elsewhere there may be none of this width (C2SP tlog-tiles), and all is read.
    """
    if count < width:
        with suppress(ReadError):
            return bundle_entries(reader, index, count)
    return bundle_entries(reader, index, width)[:count]


def split_hashes(raw: bytes) -> list[bytes]:
    """The 32-byte hashes in a tile."""
    return [raw[i : i + HASH_SIZE] for i in range(0, len(raw), HASH_SIZE)]


def tile_root(hashes: list[bytes]) -> bytes:
    """The root over the hashes of a tile: of a full one, what the level above holds of it."""
    tile = CompactRange()
    tile.extend(hashes)
    return tile.root()
