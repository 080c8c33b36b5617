"""Custodians to pull from, in memory: what they show of a growing log may be changed."""

from __future__ import annotations

from dataclasses import dataclass, field

from audit.log.merkle import LeafHashes
from audit.log.reader import ReadError
from audit.log.tiles import HEIGHT, WIDTH, Tile, frame
from tests.vault.conftest import Growing


@dataclass
class Shown:
    """Shows `log` up to what was its size when `show` was called last. `instead` holds other bytes for a path; a
    path in `gone` is not found; with `down`, nothing is.
    """

    log: Growing
    name: str = "http://source.example:8011/x"
    note: bytes | None = None
    instead: dict[str, bytes] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    down: bool = False
    asked: list[str] = field(default_factory=list)
    _made: tuple[tuple[bytes, ...], LeafHashes] | None = None

    def __str__(self) -> str:
        return self.name

    def show(self, size: int | None = None, custodians: int = 2) -> Shown:
        self.note = self.log.witnessed(size, custodians)
        return self

    def rekeys(self) -> None:
        return None

    def checkpoint(self) -> bytes | None:
        self._reach("checkpoint")
        return self.note

    def tile(self, level: int, index: int, width: int) -> bytes:
        places = range(index * WIDTH, index * WIDTH + width)
        source = self._source()
        return self._file(Tile(level, index, width), lambda: b"".join(source(HEIGHT * level, i) for i in places))

    def bundle(self, index: int, width: int) -> bytes:
        start = index * WIDTH
        return self._file(Tile(None, index, width), lambda: frame(self.log.entries[start : start + width]))

    def _source(self) -> LeafHashes:
        entries = tuple(self.log.entries)
        if self._made is None or self._made[0] != entries:
            self._made = entries, self.log.source
        return self._made[1]

    def _file(self, tile: Tile, make) -> bytes:
        self._reach(tile.path)
        if tile.path in self.gone:
            raise ReadError("is missing", f"{self}/{tile.path}", "not-found")
        return self.instead[tile.path] if tile.path in self.instead else make()

    def _reach(self, path: str) -> None:
        self.asked.append(path)
        if self.down:
            raise ReadError("cannot be reached", f"{self}/{path}", "unreachable")
