"""The log as a voter reads it: a few bundles of it, each verified under a head that W custodians have cosigned.

No custodian is trusted, and none is needed: whatever one cannot give, or gives wrongly, another is asked for. What is
asked for tells which part of the log somebody is interested in, never which entry of a bundle.

One can still leave out what is new: a head, or that a key was replaced. So all are asked for both, and what one alone
shows counts. Who answers for all of them, the network say, can show an old head: its size, and when it was cosigned,
can be looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import lru_cache
from typing import TypeVar

from audit.log.checkpoint import open_note
from audit.log.notes import verified_lines
from audit.log.proving import TreeTiles
from audit.log.reader import Head, Reader, ReadError
from audit.log.sources import CHECKPOINT
from audit.log.tiles import WIDTH
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.entries import Entry, parse_entry
from audit.record.heads import is_rekey, open_head, succeed
from audit.record.manifest import Manifest
from infra.follow import KEYS_OVER, Unreadable, WrongLog

CACHED_BUNDLES = 4
"""Of up to 16 MiB each; those of a mix have about 4."""
CLOSE = b"psephos/v1 close\n"
_NAMES = re.compile(rb'"(?:identity|pseudonym)":"([A-Za-z0-9_-]{43})"')
"""Whom an entry speaks of. Within a string of canonical JSON a quotation mark bears a backslash."""

T = TypeVar("T")


class WitnessedLog:
    """A log under `head`, which the first of `readers` has shown, its signatures believed by the keys of `manifest`.
    That is the election's, from now on with the keys that count over the head as far as anybody shows them. `faults`
    says of each custodian that could not be asked last time why. Not for several threads at once.
    """

    def __init__(self, readers: Sequence[Reader], head: Head, manifest: Manifest) -> None:
        self.readers = list(readers)
        self.manifest = manifest
        self.faults: list[str] = []
        self._rekeys = {rekey.index: rekey.raw for rekey in manifest.rekeys}
        self._see(head)

    @property
    def size(self) -> int:
        return self.head.size

    @property
    def bundles(self) -> int:
        return -(-self.size // WIDTH)

    @property
    def cosigned(self) -> int:
        """The time (POSIX seconds, by their own clocks) at which, or after which, W custodians have signed the head."""
        log = self.manifest.at(self.size).log
        times = verified_lines(self.head.note, log.verifiers)
        signed = (min(times.get(key, 0) for key in keys) for _, keys in log.custodians)
        return sorted(signed, reverse=True)[log.W - 1]

    def refresh(self) -> None:
        """Takes the newest head of all custodians, so that none can hide what came after by standing still, and every
        rekey that one of them shows, so that none can hide it by leaving it out.

        Unreadable if none can be read, or the rekeys shown do not follow each other; Refused `fork` for two witnessed
        trees of one size; WrongLog if all show heads signed with keys that do not count any more.
        """
        faults: list[str] = []
        readable: list[Reader] = []
        for reader in self.readers:
            try:
                self._take(reader)
                readable.append(reader)
            except ReadError as error:
                faults.append(str(error))
        for reader in readable:
            try:
                self._learn(reader)
            except ReadError as error:
                faults.append(str(error))
        self.faults = faults
        if not readable:
            raise Unreadable("; ".join(faults))
        self._change_keys()

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

    def _take(self, reader: Reader) -> None:
        found = open_head(reader, self.manifest)
        if found is None:
            text = f"shows no checkpoint, and others one over {self.size} entries"
            raise ReadError(text, f"{reader}/{CHECKPOINT}", "not-found")
        new, manifest = found
        if new.size > self.size:
            TreeTiles(reader, new).consistency(self.size, self.head.root)
            self.manifest = manifest
            self._rekeys |= {rekey.index: rekey.raw for rekey in manifest.rekeys}
            self._see(new)
        elif new.size == self.size and new.root != self.head.root:
            text = f"{reader}: two witnessed trees of {new.size} entries have different roots"
            raise Refused("fork", text)

    def _learn(self, reader: Reader) -> None:
        """Notes the rekeys under the head of which this one says where they stand; any may give them."""
        for index in reader.rekeys() or ():
            if index in self._rekeys or not 0 < index < self.size:
                continue
            raw = self.entries(index // WIDTH)[index % WIDTH]
            if not is_rekey(raw):
                # One false number is enough: each costs a bundle.
                raise ReadError(f"says that entry {index} is a rekey, which it is not", str(reader), "unknown-kind")
            self._rekeys[index] = raw

    def _change_keys(self) -> None:
        """Applies all rekeys noted, from the first on: one that was left out before may stand between others."""
        if len(self._rekeys) == len(self.manifest.rekeys):
            return
        manifest = self.manifest.history[0]
        for index, raw in sorted(self._rekeys.items()):
            try:
                manifest = succeed(manifest, raw, index)
            except Refused as refusal:
                raise Unreadable(f"a rekey before entry {index} is shown by nobody: {refusal}") from None
        try:
            open_note(self.head.note, manifest.at(self.size).log)
        except Refused as refusal:
            # Who showed it may be a custodian that was replaced: the others show one by the keys that count.
            self._see(self._head_by(manifest, refusal))
        self.manifest = manifest

    def _head_by(self, manifest: Manifest, refusal: Refused) -> Head:
        """A head by these keys in the place of one that is refused. Unreadable if nobody has one as large; WrongLog if
        all show one by keys that are over.
        """
        over = 0
        for reader in self.readers:
            try:
                found = open_head(reader, manifest)
                if found is not None and found[0].size >= self.size:
                    TreeTiles(reader, found[0]).consistency(self.size, self.head.root)
                    return found[0]
            except ReadError as error:
                over += error.reason in KEYS_OVER
        if over == len(self.readers):
            raise WrongLog(max(self._rekeys), "rekey", refusal)
        raise Unreadable(f"a checkpoint over {self.size} entries by the keys that count is shown by nobody: {refusal}")

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
