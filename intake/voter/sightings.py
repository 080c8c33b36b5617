"""Finding one's leaf in the log without telling anybody which it is: whole tiles are read, from the size seen when
posting on.

The tiles are claims by whoever serves them; a leaf counts as found once an inclusion proof leads from it to a head with
the log's signatures and W cosignatures, which is what the voter keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from audit.log.proof import Proof
from audit.log.proving import TreeTiles
from audit.log.reader import Reader, ReadError
from audit.log.sources import CHECKPOINT
from audit.receipts import prove_recorded
from audit.record.entries import Entry
from audit.record.heads import open_head
from audit.record.manifest import Manifest


class Sightings:
    """The leaves of a log from number `start` on, as custodians show them; each is asked in turn, so that none can hold
    us back.
    """

    def __init__(self, readers: Sequence[Reader], manifest: Manifest, start: int) -> None:
        self._readers = list(readers)
        self._manifest = manifest
        self._turn = 0
        self._start = self._next = start
        self._places: dict[bytes, int] = {}
        self.rekeys: dict[int, Proof] = {}
        """Proofs of the entries that have changed keys before what was found: needed to check its proof."""

    def learn(self, manifest: Manifest) -> None:
        """Goes on by these keys, if no more of those that changed are known here."""
        if len(manifest.rekeys) >= len(self._manifest.rekeys):
            self._manifest = manifest

    def look(self, entries: Iterable[Entry]) -> dict[bytes, Proof]:
        """Proofs, by identity, of those of the entries that are recorded by now. ReadError if no custodian can be read.
        """
        fault = ReadError("no custodian was asked")
        for _ in self._readers:
            reader = self._readers[self._turn]
            self._turn = (self._turn + 1) % len(self._readers)
            try:
                return self._look(reader, entries)
            except ReadError as error:
                fault = error
                if error.reason == "bad-proof":
                    # Somebody lied about a place; which of those asked so far, nobody knows.
                    self._places.clear()
                    self._next = self._start
        raise fault

    def _look(self, reader: Reader, entries: Iterable[Entry]) -> dict[bytes, Proof]:
        others = [other for other in self._readers if other is not reader]
        shown = open_head(reader, self._manifest, every=True, others=others)
        if shown is None:
            raise ReadError("shows no checkpoint, and there was one before", f"{reader}/{CHECKPOINT}", "not-found")
        head, self._manifest = shown
        tiles = TreeTiles(reader, head)
        for index, leaf in tiles.leaves(self._next) if head.size > self._next else ():
            self._places.setdefault(leaf, index)
        self._next = max(self._next, head.size)
        found: dict[bytes, Proof] = {}
        for entry in entries:
            place = self._places.get(entry.leaf)
            if place is not None and place < head.size:
                found[entry.identity] = prove_recorded(tiles, place, entry.raw)
        if found:
            self.rekeys |= {
                rekey.index: prove_recorded(tiles, rekey.index, rekey.raw)
                for rekey in self._manifest.at(head.size).rekeys
                if rekey.index not in self.rekeys
            }
        return found
