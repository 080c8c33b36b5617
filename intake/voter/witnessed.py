"""The log as a voter reads it: a few bundles of it, each verified under a head that W custodians have cosigned.

No custodian is trusted, and none is needed: whatever one cannot give, or gives wrongly, another is asked for. What is
asked for tells which part of the log somebody is interested in, never which entry of a bundle.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import lru_cache
from typing import TypeVar

from audit.log.proving import TreeTiles
from audit.log.reader import Head, Reader, ReadError
from audit.log.tiles import WIDTH
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.entries import Entry, parse_entry
from audit.record.heads import open_head
from audit.record.manifest import Manifest
from infra.follow import Unreadable, WrongLog

CACHED_BUNDLES = 4
"""Of up to 16 MiB each; those of a mix have about 4."""
CLOSE = b"psephos/v1 close\n"
_NAMES = re.compile(rb'"(?:identity|pseudonym)":"([A-Za-z0-9_-]{43})"')
"""Whom an entry speaks of. Within a string of canonical JSON a quotation mark bears a backslash."""

T = TypeVar("T")


class WitnessedLog:
    """A log under `head`, which the first of `readers` has shown. `manifest` is the election's, with the keys that
    count over this head. Not for several threads at once.
    """

    def __init__(self, readers: Sequence[Reader], head: Head, manifest: Manifest) -> None:
        self.readers = list(readers)
        self.manifest = manifest
        self._see(head)

    @property
    def size(self) -> int:
        return self.head.size

    @property
    def bundles(self) -> int:
        return -(-self.size // WIDTH)

    def refresh(self) -> None:
        """Takes the newest head of all custodians, so that none can hide what came after by standing still. Unreadable
        if none can be read; Refused `fork` for two witnessed trees of one size."""
        faults = []
        for reader in self.readers:
            try:
                found = open_head(reader, self.manifest, every=True)
                if found is not None:
                    self._take(reader, *found)
            except ReadError as error:
                faults.append(str(error))
        if len(faults) == len(self.readers):
            raise Unreadable("; ".join(faults))

    def entries(self, place: int) -> list[bytes]:
        """All entries of bundle `place`. Unreadable."""
        return self._bundle(place)

    def first_entries(self, place: int, count: int) -> list[bytes]:
        """The first `count` entries of bundle `place`, or as many as it has. Unreadable."""
        return self._ask(lambda tiles: tiles.first_entries(place, count))

    def raws(self, start: int) -> Iterator[tuple[int, bytes]]:
        """Every entry from number `start` on. Unreadable."""
        for place in range(start // WIDTH, self.bundles):
            for number, raw in enumerate(self._read(place), start=place * WIDTH):
                if number >= start:
                    yield number, raw

    def search(self, start: int, wanted: Collection[bytes]) -> Iterator[tuple[int, Entry]]:
        """The entries from number `start` on that name one of these (32 bytes each) as pseudonym or identity, ballots
        and refusals; and the close. Unreadable; WrongLog."""
        names = {b64(name).encode() for name in wanted}
        for number, raw in self.raws(start):
            if not names.isdisjoint(_NAMES.findall(raw)) or raw.startswith(CLOSE):
                yield number, parsed(raw, number)

    def _take(self, reader: Reader, new: Head, manifest: Manifest) -> None:
        if new.size > self.size:
            TreeTiles(reader, new).consistency(self.size, self.head.root)
            self.manifest = manifest
            self._see(new)
        elif new.size == self.size and new.root != self.head.root:
            text = f"{reader}: two witnessed trees of {new.size} entries have different roots"
            raise Refused("fork", text)

    def _see(self, head: Head) -> None:
        self.head = head
        self._trees = [TreeTiles(reader, head) for reader in self.readers]
        self._bundle = lru_cache(CACHED_BUNDLES)(self._read)

    def _read(self, place: int) -> list[bytes]:
        return self._ask(lambda tiles: tiles.entries(place))

    def _ask(self, read: Callable[[TreeTiles], T]) -> T:
        """What the first custodian gives that can; it is asked first from now on."""
        faults = []
        for tiles in list(self._trees):
            try:
                return read(tiles)
            except ReadError as error:
                faults.append(str(error))
                self._trees.remove(tiles)
                self._trees.append(tiles)
        raise Unreadable("; ".join(faults))


def parsed(raw: bytes, number: int) -> Entry:
    """The entry. WrongLog if a witnessed log holds what is none."""
    try:
        return parse_entry(raw)
    except Refused as refusal:
        raise WrongLog(number, "no entry", refusal) from None
