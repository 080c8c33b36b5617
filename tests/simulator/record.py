"""The log of a simulated election as files: what a custodian serves, and what an exported record holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from audit.log.merkle import CompactRange, LeafHashes, leaf_hash
from audit.log.notes import Note
from audit.log.reader import ReadError
from audit.log.sources import parse_rekeys
from audit.log.tiles import HEIGHT, WIDTH, Tile, frame, tiles_of
from audit.log.treehead import Checkpoint
from tests.simulator.parties import Parties

TIME = 1_780_000_000


def checkpoint_of(entries: Sequence[bytes], parties: Parties, origin: str, custodians: int = 2) -> bytes:
    """The note over these entries, signed by the log and by the first custodians."""
    tree = CompactRange()
    tree.extend(leaf_hash(entry) for entry in entries)
    text = Checkpoint(origin, tree.size, tree.root()).text
    signers = [*parties.log, *(key for keys in parties.custodians[:custodians] for key in keys)]
    return Note(text, tuple(key.sign(text, TIME) for key in signers)).raw


def files_of(entries: Sequence[bytes], parties: Parties, origin: str) -> dict[str, bytes]:
    """Path and content of every file of a record, signed anew: as log and custodians would, if they all agreed to
    cheat.
    """
    files = {"checkpoint": checkpoint_of(entries, parties, origin)}
    source = LeafHashes([leaf_hash(entry) for entry in entries])
    for tile in tiles_of(len(entries)):
        places = range(tile.index * WIDTH, tile.index * WIDTH + tile.width)
        if tile.level is None:
            files[tile.path] = frame(entries[i] for i in places)
        else:
            files[tile.path] = b"".join(source(HEIGHT * tile.level, i) for i in places)
    return files


def write(files: Mapping[str, bytes], folder: Path) -> Path:
    for path, content in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return folder


class MemoryReader:
    """A custodian that serves these files."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)

    def __str__(self) -> str:
        return "memory"

    def checkpoint(self) -> bytes | None:
        return self.files.get("checkpoint")

    def rekeys(self) -> list[int] | None:
        return parse_rekeys(self.files["rekeys"], "memory/rekeys") if "rekeys" in self.files else None

    def tile(self, level: int, index: int, width: int) -> bytes:
        return self._file(Tile(level, index, width))

    def bundle(self, index: int, width: int) -> bytes:
        return self._file(Tile(None, index, width))

    def _file(self, tile: Tile) -> bytes:
        if tile.path not in self.files:
            raise ReadError("is missing", f"memory/{tile.path}", "not-found")
        return self.files[tile.path]
