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
from audit.log.merkle import HASH_SIZE, CompactRange, leaf_hash
from audit.log.notes import Note, parse_note
from audit.log.sources import CHECKPOINT, FolderReader, HttpReader, Reader, ReadError, open_reader
from audit.log.tiles import HEIGHT, WIDTH, bundle_path, unframe, width_of
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
    """The entries from `start`, the frontier of those read before, up to a verified head.

    Before the first entry is yielded, the claimed hashes of all full bundles and the first and last bundle are shown to
    lead, from `start`, to the head's root; so the new tree continues the old one. Each bundle between is hashed and
    compared before any of it is yielded. It is safe to stop at any entry. `start` is not changed. At most two bundles,
    and 32 bytes for every 256 entries, are held. ReadError: `stale` if the head is smaller than `start`, `wrong-root`
    if the whole does not lead to the head's root, `wrong-entry` naming the entry or the bundle that is not the one the
    root covers.
    """
    old, size = start.size, head.size
    if size < old:
        raise ReadError(f"has {size} entries, fewer than the {old} read before", f"{reader}/{CHECKPOINT}", "stale")
    grown = start.copy()
    first = _unaligned(reader, grown, size)
    full = _subtrees(reader, grown.size >> HEIGHT, size >> HEIGHT)
    for subtree in full:
        grown.append(subtree, HEIGHT)
    last = _unaligned(reader, grown, size)
    if grown.root() != head.root:
        held = f" continue the {old} entries read before and" if old else ""
        what = f"entries and tiles up to {size} do not{held} lead to the root of its checkpoint"
        raise ReadError(what, str(reader), "wrong-root")
    yield from first
    middle = (old + WIDTH - 1) >> HEIGHT
    for index, subtree in enumerate(full, start=middle):
        yield from _checked_bundle(reader, index, subtree)
    yield from last


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


def _subtrees(reader: Reader, start: int, end: int) -> list[bytes]:
    """The claimed hashes of the full bundles [start, end), from tiles of level 1."""
    hashes: list[bytes] = []
    for index in range(start // WIDTH, -(-end // WIDTH)):
        raw = reader.tile(1, index, min(WIDTH, end - index * WIDTH))
        skip = max(0, start - index * WIDTH)
        hashes += split_hashes(raw)[skip:]
    return hashes


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
