"""Follows the public log of one election: the only way in which anybody but tally learns the election's state.

A follower trusts no custodian it reads from. Entry 0 must be the manifest whose hash is pinned; the manifest names the log's and the
custodians' keys; a checkpoint counts only with the log's signatures and W cosignatures over it; and entries are handed on only once
they lead from the tree held here to that checkpoint's root. What is held is the frontier of the tree and the election, not the log.

What a follower's loss or capture buys an attacker: nothing; it starts again from entry 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Protocol

from audit.log.notes import parse_note
from audit.log.reader import Head, Reader, ReadError, open_head, read_entries
from audit.log.tiles import unframe
from audit.log.treehead import parse_checkpoint
from audit.protocol.refused import Refused
from audit.record.election import Election
from audit.record.entries import Entry, parse_entry
from audit.record.manifest import parse_manifest
from audit.record.seen import Seen

MOST = 256
"""Entries taken in by one `poll`, so that memory does not grow with the length of the log."""
BUNDLE = 256


class Index(Seen, Protocol):
    """A `Seen` that the follower fills as it goes."""

    def add(self, entry: Entry) -> None:
        """Remembers an admitted entry."""


class Unreadable(ReadError):
    """No custodian could be read; one sentence for each says why."""


class WrongLog(Exception):
    """The witnessed log holds an entry that the rules refuse. No other custodian can help: tally, or whoever held its key, is at fault."""

    def __init__(self, number: int, kind: str, refusal: Refused) -> None:
        super().__init__(f"entry {number} of the log ({kind}) is refused by the rules: {refusal}")
        self.number, self.kind, self.refusal = number, kind, refusal


class Follower:
    """The election as the witnessed log tells it, read from any of `readers`, pinned to the manifest's hash (32 bytes).

    `full` checks everything again, the proofs of every ballot included, as trustees and auditors must; otherwise the proofs of a
    ballot that W custodians have cosigned are taken as checked. Not for several threads at once: whoever shares `election` between
    threads locks around `apply`.
    """

    def __init__(self, readers: Sequence[Reader], manifest_hash: bytes, seen: Index, *, full: bool = False) -> None:
        if not readers:
            raise ValueError("a log is followed through at least one custodian")
        self.election = Election(manifest_hash)
        self.head: Head | None = None
        self.seen = seen
        self._readers = list(readers)
        self._full = full
        self._turn = 0
        self._source = 0

    @property
    def caught_up(self) -> bool:
        """Whether every entry of the newest checkpoint read has been applied."""
        return self.head is not None and self.election.size == self.head.checkpoint.size

    def poll(self) -> list[Entry]:
        """The next entries, at most 256, checked and applied; empty if the custodian asked has nothing new.

        A different custodian is asked each time, so that one that stands still cannot hold the follower back. Raises Unreadable if
        none can be read, WrongLog if the log breaks the rules.
        """
        entries = self.read()
        self.apply(entries, self.seen)
        return entries

    def catch_up(self) -> Iterator[list[Entry]]:
        """Polls until every custodian has been asked once in vain."""
        idle = 0
        while idle < len(self._readers):
            entries = self.poll()
            idle = 0 if entries else idle + 1
            if entries:
                yield entries

    def read(self) -> list[Entry]:
        """The next entries, verified against a witnessed checkpoint but not yet applied. The network half of `poll`."""
        faults: list[str] = []
        order = self._order()
        for place in order:
            reader = self._readers[place]
            try:
                self._ask(reader)
                raws = self._next_raws(reader)
            except (ReadError, Refused) as error:
                faults.append(str(error))
                continue
            self._source, self._turn = place, place + 1
            return [self._parsed(raw, number) for number, raw in enumerate(raws, start=self.election.size)]
        raise Unreadable("; ".join(faults))

    def apply(self, entries: Sequence[Entry], seen: Index) -> None:
        """Takes in what `read` returned. Raises WrongLog at the first entry that the rules refuse; those before it are applied."""
        for entry in entries:
            number = self.election.size
            try:
                self._admit(entry, seen)
            except Refused as refusal:
                raise WrongLog(number, entry.kind, refusal) from None
            self.election.apply(entry)
            seen.add(entry)

    def _admit(self, entry: Entry, seen: Index) -> None:
        if self._full or entry.kind != "ballot":
            self.election.check(entry)
            self.election.admit(entry, seen)

    def _order(self) -> Iterator[int]:
        # While entries of one checkpoint are still to be read, the custodian that gave it has them for certain.
        first = self._turn if self.head is None or self.caught_up else self._source
        for step in range(len(self._readers)):
            yield (first + step) % len(self._readers)

    def _ask(self, reader: Reader) -> None:
        """Takes the reader's checkpoint as the new head if it is witnessed and larger. Refused as `open_head`; `fork` for two trees."""
        if self.head is not None and not self.caught_up:
            return
        if self.election.size == 0:
            self._begin(reader)
            return
        head = open_head(reader, self.election.manifest.log)
        if head is None or self.head is None:
            return
        new, held = head.checkpoint, self.head.checkpoint
        if new.size == held.size and new.root != held.root:
            raise Refused("fork", f"two witnessed trees of {new.size} entries with different roots")
        if new.size > held.size:
            self.head = head

    def _begin(self, reader: Reader) -> None:
        """Finds the keys. The manifest's hash is pinned, so the first entry with that hash says whose signatures count."""
        raw = reader.checkpoint()
        if raw is None:
            return
        width = min(parse_checkpoint(parse_note(raw).text).size, BUNDLE)
        if not width:
            return
        first = parse_entry(next(iter(unframe(reader.bundle(0, width), BUNDLE)), b""))
        manifest = parse_manifest(first)
        self.election.admit_manifest(first)
        self.head = open_head(reader, manifest.log)

    def _next_raws(self, reader: Reader) -> list[bytes]:
        if self.head is None or self.caught_up:
            return []
        # Each entry is verified before it is yielded, so that stopping early leaves nothing unverified.
        with closing(read_entries(reader, self.election.head.copy(), self.head)) as entries:
            return list(islice(entries, MOST))

    def _parsed(self, raw: bytes, number: int) -> Entry:
        try:
            return parse_entry(raw)
        except Refused as refusal:
            raise WrongLog(number, "not an entry", refusal) from None
