"""Small logs for tests: keys from fixed seeds, three custodians of which two must sign, and a reader in memory."""

from __future__ import annotations

from collections.abc import Sequence

from audit.log.checkpoint import LogPolicy
from audit.log.keys import COSIGNATURE, ED25519, ML_DSA_44, Signer
from audit.log.merkle import CompactRange, LeafHashes, leaf_hash
from audit.log.notes import Note
from audit.log.sources import ReadError
from audit.log.tiles import HEIGHT, WIDTH, Tile, frame, tiles_of
from audit.log.treehead import Checkpoint

ORIGIN = "vote.example/meeting"
TIME = 1_750_000_000


def signer(name: str, kind: int = ED25519, seed: int = 1) -> Signer:
    return Signer(name, kind, bytes([seed]) * 32)


LOG = (signer("log.example", ED25519, 1), signer("log.example", ML_DSA_44, 2))
CUSTODIANS = tuple(
    (signer(f"{name}.example", COSIGNATURE, 10 + i), signer(f"{name}.example", ML_DSA_44, 20 + i))
    for i, name in enumerate(("alpha", "beta", "gamma"))
)
POLICY = LogPolicy(
    ORIGIN,
    tuple(key.verifier for key in LOG),
    tuple((keys[0].name, tuple(key.verifier for key in keys)) for keys in CUSTODIANS),
    2,
)


def some_entries(count: int) -> list[bytes]:
    """Entries of different lengths, none equal to another."""
    return [b"entry %d " % i + b"x" * (i % 7) for i in range(count)]


def root_of(entries: Sequence[bytes]) -> bytes:
    tree = CompactRange()
    tree.extend(map(leaf_hash, entries))
    return tree.root()


def cosigned(checkpoint: Checkpoint, custodians: int = 2, time: int = TIME) -> Note:
    """The checkpoint signed by the log and the first custodians."""
    text = checkpoint.text
    signers = [*LOG, *(key for keys in CUSTODIANS[:custodians] for key in keys)]
    return Note(text, tuple(key.sign(text, time) for key in signers))


class MemoryReader:
    """A log in memory; `files` may be tampered with."""

    def __init__(self, entries: Sequence[bytes], checkpoint: bytes | None = None) -> None:
        head = Checkpoint(ORIGIN, len(entries), root_of(entries))
        self.files = {"checkpoint": checkpoint or cosigned(head).raw}
        source = LeafHashes([leaf_hash(entry) for entry in entries])
        for tile in tiles_of(len(entries)):
            places = range(tile.index * WIDTH, tile.index * WIDTH + tile.width)
            if tile.level is None:
                self.files[tile.path] = frame(entries[i] for i in places)
            else:
                self.files[tile.path] = b"".join(source(HEIGHT * tile.level, i) for i in places)

    def __str__(self) -> str:
        return "memory"

    def checkpoint(self) -> bytes | None:
        return self.files.get("checkpoint")

    def rekeys(self) -> None:
        return None

    def tile(self, level: int, index: int, width: int) -> bytes:
        return self._file(Tile(level, index, width))

    def bundle(self, index: int, width: int) -> bytes:
        return self._file(Tile(None, index, width))

    def _file(self, tile: Tile) -> bytes:
        if tile.path not in self.files:
            raise ReadError("is missing", f"memory/{tile.path}", "not-found")
        return self.files[tile.path]
