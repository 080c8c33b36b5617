"""Follows the public log of one election: the only way in which anybody but tally learns the election's state.

A follower trusts no custodian it reads from. Entry 0 must be the manifest whose hash is pinned; the manifest names the
log's and the custodians' keys; a checkpoint counts only with the log's signatures and W cosignatures over it; and
entries are handed on only once they lead from the tree held here to that checkpoint's root. Keys that the officials
replace are followed, as `audit.record.heads` says; a checkpoint that was believed by keys which an entry under it turns
out to have replaced is dropped there, and the others are asked for one. What is held is the frontier of the tree and
the election, not the log.

What a follower's loss or capture buys an attacker: nothing; it starts again from entry 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from time import monotonic
from typing import Protocol

from audit.log.checkpoint import open_note
from audit.log.reader import Head, Reader, ReadError, read_entries, unverified_first_entry
from audit.protocol.refused import Refused
from audit.record.election import Election
from audit.record.entries import Entry, parse_entry
from audit.record.heads import is_rekey, open_head
from audit.record.manifest import Manifest, open_manifest
from audit.record.seen import MemorySeen, Seen
from infra import log

MOST = 256
"""Entries taken in by one `poll`, so that memory does not grow with the length of the log."""
SLOW_SECONDS = 2.0
"""A custodian that took longer for a `poll`, whatever came of it, is left out for REST times as long, unless no other
can be read: else one that is slow, or means to be, would hold it up at every bundle, or whenever its turn comes.
"""
REST = 10.0


class Index(Seen, Protocol):
    """A `Seen` that the follower fills as it goes."""

    def add(self, entry: Entry) -> None:
        """Remembers an admitted entry."""


class Unreadable(ReadError):
    """No custodian could be read; the detail says of each why."""


KEYS_OVER = frozenset(("wrong-signers", "not-witnessed"))
"""Why a checkpoint is refused whose keys do not count any more."""


class WrongLog(Exception):
    """The witnessed log holds an entry that the rules refuse, or every custodian shows it signed with keys that a rekey
    in it has replaced. No other custodian can help: tally, or whoever has its key, is at fault.
    """

    def __init__(self, number: int, kind: str, refusal: Refused) -> None:
        super().__init__(f"entry {number} of the log ({kind}) is refused by the rules: {refusal}")
        self.number, self.kind, self.refusal = number, kind, refusal


class Follower:
    """The election as the witnessed log tells it, read from any of `readers`, pinned to the manifest's hash (32 bytes).

    `full` checks and admits everything again, the proofs of every ballot included, as trustees must; otherwise what
    needs the whole log is believed as `Election.apply_recorded` says. `seen` is filled as entries are applied. Not for
    several threads at once: whoever shares `election` between threads locks around `apply`.
    """

    def __init__(
        self,
        readers: Sequence[Reader],
        manifest_hash: bytes,
        seen: Index | None = None,
        *,
        full: bool = False,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        if not readers:
            raise ValueError("a log is followed through at least one custodian")
        self.election = Election(manifest_hash)
        self.head: Head | None = None
        self.seen: Index = MemorySeen() if seen is None else seen
        self._readers = list(readers)
        self._pinned = manifest_hash
        self._manifest: Manifest | None = None  # with the keys that count at the head
        self._dropped: tuple[int, Refused] | None = None  # a head, by this rekey, and what was wrong with it
        self._full, self._clock = full, clock
        self._turn = 0
        self._source = 0
        self._rested = dict[int, float]()  # who was too slow, by its place, and till when it is left out

    @property
    def caught_up(self) -> bool:
        """Whether every entry of the newest checkpoint read has been applied."""
        return self.head is not None and self.election.size == self.head.size

    def poll(self) -> list[Entry]:
        """The next entries, at most 256, checked and applied; empty if the custodian asked has nothing new.

        A different custodian is asked each time, so that one that stands still cannot hold the follower back; one that
        is slow more seldom. Raises Unreadable if none can be read, WrongLog if the log breaks the rules.
        """
        entries = self.read()
        self.apply(entries, self.seen)
        return entries

    def catch_up(self) -> Iterator[list[Entry]]:
        """What `poll` gives, until it gave nothing as often as there are custodians."""
        idle = 0
        while idle < len(self._readers):
            entries = self.poll()
            idle = 0 if entries else idle + 1
            if entries:
                yield entries

    def read(self) -> list[Entry]:
        """The next entries, verified against a witnessed checkpoint but not yet applied: the network half of `poll`.

        None beyond a rekey: by the keys that it names the checkpoint is judged first. Unreadable, WrongLog.
        """
        faults: list[str] = []
        over = 0
        for place in self._order():
            reader, begun = self._readers[place], self._clock()
            try:
                self._ask(reader)
                raws = self._next_raws(reader)
            except (ReadError, Refused) as error:
                faults.append(str(error))
                over += isinstance(error, ReadError) and error.reason in KEYS_OVER
                continue
            except Exception as error:
                # What a stranger shows is looked at, and nothing else: what nobody foresaw in it leaves the others.
                log.failure(error)
                faults.append(f"{reader}: {type(error).__name__}")
                continue
            finally:
                if (took := self._clock() - begun) > SLOW_SECONDS:
                    self._rested[place] = begun + took * (1 + REST)
            self._turn = (place + 1) % len(self._readers)
            self._source = place
            return [_parsed(raw, number) for number, raw in enumerate(raws, start=self.election.size)]
        if self._dropped is not None and self.head is None and over == len(self._readers):
            number, refusal = self._dropped
            raise WrongLog(number, "rekey", refusal)
        raise Unreadable("; ".join(faults))

    def apply(self, entries: Sequence[Entry], seen: Index) -> None:
        """Takes in what `read` returned. WrongLog at the first entry that the rules refuse; those before it are
        applied.
        """
        for entry in entries:
            number = self.election.size
            try:
                if self._full:
                    self.election.take(entry, seen)
                else:
                    self.election.apply_recorded(entry)
            except Refused as refusal:
                raise WrongLog(number, entry.kind, refusal) from None
            seen.add(entry)
        self._check_keys()

    def _check_keys(self) -> None:
        """The head was believed by the keys that count there, none of which an entry under it that is applied by now
        has replaced. Otherwise it is dropped: who showed it may be one of those that are over.
        """
        if self.head is None or self._manifest is None or not self.election.size:
            return
        manifest = self.election.manifest
        if manifest.log != self._manifest.at(self.election.size).log:
            self._manifest = manifest
            try:
                open_note(self.head.note, manifest.log)
            except Refused as refusal:
                assert manifest.rekey is not None
                self.head, self._dropped = None, (manifest.rekey.index, refusal)
        elif self.caught_up:
            self._manifest = manifest

    def _order(self) -> list[int]:
        # While entries of one checkpoint are still to be read, the custodian that gave it has them for certain.
        first, now = self._turn if self.head is None or self.caught_up else self._source, self._clock()
        order = [(first + step) % len(self._readers) for step in range(len(self._readers))]
        return sorted(order, key=lambda place: self._rested.get(place, now) > now)

    def _ask(self, reader: Reader) -> None:
        """Takes the reader's checkpoint as the head if it is larger. ReadError; Refused `fork` for two witnessed trees
        of one size, `stale` for one that does not reach what was read under a head that was dropped.
        """
        if self.head is not None and not self.caught_up:
            return
        if self._manifest is None and not self._find_manifest(reader):
            return
        assert self._manifest is not None
        if self.head is not None and reader.checkpoint() == self.head.note.raw:
            # The very note that was verified before: most of the time there is nothing new.
            return
        found = open_head(reader, self._manifest)
        held = self.election.head
        if found is None:
            if held.size and self.head is None:
                raise Refused("stale", f"{reader}: shows nothing, and {held.size} entries were read before")
            return
        new, manifest = found
        if new.size < held.size and self.head is None:
            raise Refused("stale", f"{reader}: shows {new.size} entries, and {held.size} were read before")
        if new.size == held.size and new.root != held.root():
            raise Refused("fork", f"{reader}: two witnessed trees of {new.size} entries have different roots")
        if self.head is None or new.size > self.head.size:
            self.head, self._manifest = new, manifest

    def _find_manifest(self, reader: Reader) -> bool:
        """Whether the reader has the manifest. What it gives is unverified but for its hash, which is pinned."""
        raw = unverified_first_entry(reader)
        if raw is None:
            return False
        self._manifest, _ = open_manifest(raw, self._pinned)
        return True

    def _next_raws(self, reader: Reader) -> list[bytes]:
        if self.head is None or self.caught_up:
            return []
        # Every entry is verified before it is yielded, so that stopping early leaves nothing unverified.
        raws: list[bytes] = []
        for raw in islice(read_entries(reader, self.election.head, self.head), MOST):
            raws.append(raw)
            if is_rekey(raw):
                break
        return raws


def _parsed(raw: bytes, number: int) -> Entry:
    try:
        return parse_entry(raw)
    except Refused as refusal:
        raise WrongLog(number, "no entry", refusal) from None
