"""A record: the whole log as a folder of static files, and the strict check of one.

A record holds `checkpoint` and exactly the tiles and bundles of its size, so that two records of one election are the
same bytes but for cosignatures. The folder can be served as it is: it is what any tlog-tiles client reads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from audit.log.checkpoint import LogPolicy
from audit.log.merkle import HASH_SIZE, CompactRange, leaf_hash
from audit.log.reader import (
    FolderReader,
    Head,
    Reader,
    ReadError,
    bundle_entries,
    open_head,
    read_entries,
    split_hashes,
    tile_root,
)
from audit.log.sources import CHECKPOINT
from audit.log.tiles import HEIGHT, MAX_BUNDLE, WIDTH, Tile, bundle_path, frame, tile_path, tiles_of, width_of


def export_record(reader: Reader, policy: LogPolicy, folder: Path) -> Head | None:
    """Writes the log up to the reader's newest checkpoint to a new or empty folder; None, and no files, if none is
    published.

    The tiles are computed from the verified entries, so that a record is right whatever the reader's tiles say. The
    checkpoint is written last, when all else is on disk: after a crash the folder has none, and is no record. ReadError
    as `open_head` and `read_entries`, and if the folder is not empty; OSError.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ReadError("is not an empty folder: a record is never written over anything", str(folder), "exists")
    head = open_head(reader, policy, exact=True)
    if head is None:
        return None
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    record = RecordFiles(lambda path, data: _write(folder / path, data))
    for entry in read_entries(reader, CompactRange(), head):
        record.add(entry)
    record.end()
    for place in (*(place.parent for place in new), *(Path(made) for made, _, _ in os.walk(folder))):
        _sync_folder(place)
    _write(folder / CHECKPOINT, head.note.raw)
    _sync_folder(folder)
    return head


class RecordFiles:
    """Makes the tiles and bundles of a growing log, each given once to `write` with its path; holds one bundle and one
    tile of each level.
    """

    def __init__(self, write: Callable[[str, bytes], None]) -> None:
        self._write = write
        self._entries: list[bytes] = []
        self._levels: list[list[bytes]] = [[]]
        self._size = 0

    @property
    def size(self) -> int:
        """Entries added so far."""
        return self._size

    def root(self) -> bytes:
        """The root over the entries added so far, 32 bytes."""
        return _fold_levels(self._levels)

    def add(self, entry: bytes) -> None:
        """The next entry of the log."""
        self._entries.append(entry)
        self._size += 1
        if len(self._entries) == WIDTH:
            self._write(bundle_path(self._size // WIDTH - 1), frame(self._entries))
            self._entries.clear()
        self._add_hash(0, leaf_hash(entry))

    def _add_hash(self, level: int, value: bytes) -> None:
        if level == len(self._levels):
            self._levels.append([])
        hashes = self._levels[level]
        hashes.append(value)
        if len(hashes) == WIDTH:
            index = (self._size >> (HEIGHT * (level + 1))) - 1
            self._write(tile_path(level, index), b"".join(hashes))
            root = tile_root(hashes)
            hashes.clear()
            self._add_hash(level + 1, root)

    def end(self) -> None:
        """Writes the partial tiles and the partial bundle."""
        if self._entries:
            self._write(bundle_path(self._size // WIDTH, len(self._entries)), frame(self._entries))
        for level, hashes in enumerate(self._levels):
            if hashes:
                index = self._size >> (HEIGHT * (level + 1))
                self._write(tile_path(level, index, len(hashes)), b"".join(hashes))


def _write(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """When it returns the names in this folder are on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_folder(folder: Path, policy: LogPolicy) -> Head:
    """The head of a record that is whole to the byte: no file too many or too few, every tile and entry under the root.

    `policy` is the manifest's, and no line of the checkpoint may be by another key. ReadError naming the first file
    that is wrong, and the entry, with the reason of `open_head` and `check_tiles`, or `unexpected-file`, `not-found`,
    `wrong-length`.
    """
    reader = FolderReader(folder)
    head = open_head(reader, policy, exact=True)
    if head is None:
        raise ReadError("is missing: the folder is no record", str(folder / CHECKPOINT), "not-found")
    expected = {CHECKPOINT: None, **{tile.path: tile for tile in tiles_of(head.size)}}
    for path, file in _files(folder):
        if file.is_dir(follow_symlinks=False) and any(wanted.startswith(f"{path}/") for wanted in expected):
            continue  # Empty where a file is missing: that file is named below.
        if path not in expected:
            detail = f"does not belong to a record of {head.size} entries"
            raise ReadError(detail, str(folder / path), "unexpected-file")
        _check_file(file, expected.pop(path))
    for path in expected:
        raise ReadError("is missing", str(folder / path), "not-found")
    check_tiles(reader, head)
    return head


def _files(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Path (with slashes) and directory entry of all that is not a folder, in order of name.

    An empty folder counts as a file.
    """
    found = sorted(os.scandir(folder), key=lambda entry: entry.name)
    for entry in found:
        if entry.is_dir(follow_symlinks=False) and any(os.scandir(entry.path)):
            for path, file in _files(Path(entry.path)):
                yield f"{entry.name}/{path}", file
        else:
            yield entry.name, entry


def _check_file(file: os.DirEntry[str], tile: Tile | None) -> None:
    if not file.is_file(follow_symlinks=False):
        raise ReadError("is not a regular file", file.path, "unexpected-file")
    length = file.stat().st_size
    if tile is not None and tile.level is not None and length != tile.width * HASH_SIZE:
        raise ReadError(f"has {length} bytes, not {tile.width * HASH_SIZE}", file.path, "wrong-length")
    if length > MAX_BUNDLE:
        raise ReadError(f"is longer than the {MAX_BUNDLE} bytes it may have", file.path, "wrong-length")


def check_tiles(reader: Reader, head: Head) -> None:
    """Every tile and every entry that the reader has of a verified head is the one under its root.

    From the root down, so that the file named is the one that is wrong: the partial tiles together make the root, each
    full tile makes a hash in the one above, each entry a hash in a tile of level 0. One tile of each level is held.
    ReadError `wrong-tile`, `wrong-entry`, or `wrong-root` if the files agree with each other but not with the
    checkpoint.
    """
    if _edge_root(reader, head.size) != head.root:
        _blame_edge(reader, head)
    for index, leaves in enumerate(_checked_tiles(reader, head.size, 0)):
        for offset, entry in enumerate(bundle_entries(reader, index, len(leaves))):
            if leaf_hash(entry) != leaves[offset]:
                number = index * WIDTH + offset
                where = f"{reader}/{bundle_path(index, len(leaves))}"
                raise ReadError(f"entry {number} is not the one that the checkpoint covers", where, "wrong-entry")


def _levels(size: int) -> int:
    return -(-size.bit_length() // HEIGHT)


def _edge_root(reader: Reader, size: int) -> bytes:
    """The root by the partial tiles alone: the subtrees that no tile above covers, largest first."""
    return _fold_levels([_partial(reader, size, level) for level in range(_levels(size))])


def _fold_levels(levels: Sequence[Iterable[bytes]]) -> bytes:
    """The root over the hashes of each level that no tile above covers, lowest level first."""
    tree = CompactRange()
    for level in reversed(range(len(levels))):
        for value in levels[level]:
            tree.append(value, HEIGHT * level)
    return tree.root()


def _partial(reader: Reader, size: int, level: int) -> list[bytes]:
    index, width = divmod(size >> (HEIGHT * level), WIDTH)
    return split_hashes(reader.tile(level, index, width)) if width else []


def _checked_tiles(reader: Reader, size: int, level: int) -> Iterator[list[bytes]]:
    """The hashes of each tile of a level, in order; of the partial tiles nothing is checked here."""
    count = size >> (HEIGHT * level)
    above = (value for hashes in _checked_tiles(reader, size, level + 1) for value in hashes) if count else iter(())
    for index in range(-(-count // WIDTH)):
        width = width_of(size, level, index)
        hashes = split_hashes(reader.tile(level, index, width))
        if width == WIDTH and tile_root(hashes) != next(above):
            where = f"{reader}/{tile_path(level, index)}"
            raise ReadError("does not hold the hashes that the checkpoint covers", where, "wrong-tile")
        yield hashes


def _blame_edge(reader: Reader, head: Head) -> None:
    """Names the partial tile that is not what the files below it make.

    If there is none, the checkpoint is of another log.
    """
    for level in range(_levels(head.size)):
        hashes = _partial(reader, head.size, level)
        index = head.size >> (HEIGHT * (level + 1))
        if hashes and hashes != list(_made_of_below(reader, level, index, len(hashes))):
            where = f"{reader}/{tile_path(level, index, len(hashes))}"
            raise ReadError("does not hold the hashes that the checkpoint covers", where, "wrong-tile")
    raise ReadError("its root is not that of the tiles and entries", f"{reader}/{CHECKPOINT}", "wrong-root")


def _made_of_below(reader: Reader, level: int, index: int, width: int) -> Iterator[bytes]:
    if level == 0:
        yield from map(leaf_hash, bundle_entries(reader, index, width))
        return
    for place in range(index * WIDTH, index * WIDTH + width):
        yield tile_root(split_hashes(reader.tile(level - 1, place, WIDTH)))
