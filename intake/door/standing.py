"""What the door knows of the election: the log as read so far, and the revisions of ballots it has accepted itself.

Only the public log changes the phase. Under every pseudonym one number is kept, the highest revision seen, for the
whole roll from the moment voting opens: so checking a ballot's place costs no query, and memory stays the same however
many ballots come. A ballot accepted here counts at once, before the log holds it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from audit.protocol.elgamal import Ciphertext
from audit.protocol.refused import Refused
from audit.record.admission import rule_for
from audit.record.checker import BallotChecker
from audit.record.election import Election
from audit.record.entries import Entry
from infra.http import Problem

NONE = -1
"""The revision before the first."""
MOST_BALLOTS = 1_000_000
"""Ballots that may wait to be recorded: some 3 GB, of an electorate that has come while tally stood still."""
MOST_OTHERS = 50_000
"""Other entries that may: more than the chunks of any roll and its mixes."""


class Standing:
    """Read by requests, written by the watch. Who admits to the election, or applies, holds `lock`."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        # Apart, for claiming a revision must not wait for a long look at the election.
        self._claims = threading.Lock()
        self.ready = False
        self.broken = False
        self.ended = False
        self.full = False
        self.full_of_others = False
        self.election = Election()
        self._revisions: dict[bytes, int] = {}

    def begin(self, election: Election) -> None:
        """Starts again from the beginning of the log; the door is not ready until the log has been read to its end.

        What was accepted here stays known.
        """
        self.ready = False
        self.election = election

    def end(self) -> None:
        """A part of this intake has ended: it cannot keep a promise any more, and is ready no more."""
        self.ended = True

    def learn(self, entries: Iterable[Entry]) -> None:
        """Takes in ballots that the log holds, or that stand in the outbox from before a restart."""
        for entry in entries:
            with self._claims:
                if entry.kind == "open":
                    rolls = self.election.rolls.values()
                    unseen = {pseudonym: NONE for roll in rolls for pseudonym in roll.rows}
                    self._revisions = unseen | self._revisions
                if entry.kind == "ballot":
                    pseudonym = entry.fields["pseudonym"]
                    self._revisions[pseudonym] = max(self.highest(pseudonym), entry.fields["revision"])

    def check_phase(self) -> None:
        """Refuses a ballot unless voting is open: `not-open`, `closed`. While intakes drain, none is accepted."""
        if self.election.phase == "closing":
            raise Refused("closed", "voting is closed: this ballot came too late", "type")
        rule_for(self.election.phase, "ballot")

    def check_room(self, kind: str) -> None:
        """Problem 503 `full` while as many ballots, or other entries, wait as may. One office that hands in without end
        so keeps other offices out, but no voter.
        """
        if self.full if kind == "ballot" else self.full_of_others:
            text = "as many entries wait to be recorded as this intake can keep; please hand it in again, here or there"
            raise Problem(503, "full", text)

    def weight(self, ballot: Entry) -> Ciphertext:
        """The encrypted weight of the ballot's row. Refused `unknown-roll`, `unknown-pseudonym`."""
        return self.election.weight(ballot.fields["roll"], ballot.fields["pseudonym"])

    def check_revision(self, ballot: Entry) -> None:
        """Refused `revision-lower` or `revision-repeated` if a ballot of a higher revision or the same one is known."""
        highest, revision = self.highest(ballot.fields["pseudonym"]), ballot.fields["revision"]
        if revision < highest:
            text = f"a ballot with revision {highest} has been handed in, this one has {revision}"
            raise Refused("revision-lower", text, "revision")
        if revision == highest:
            text = f"another ballot with revision {revision} has been handed in"
            raise Refused("revision-repeated", text, "revision")

    def highest(self, pseudonym: bytes) -> int:
        return self._revisions.get(pseudonym, NONE)

    def reserve(self, ballot: Entry) -> int:
        """Claims the ballot's revision before it is stored; returns what `release` needs. Refused as
        `check_revision`.
        """
        with self._claims:
            self.check_revision(ballot)
            before = self.highest(ballot.fields["pseudonym"])
            self._revisions[ballot.fields["pseudonym"]] = ballot.fields["revision"]
            return before

    def release(self, ballot: Entry, before: int) -> None:
        """Gives the claim back, when it is not known that the ballot was stored."""
        with self._claims:
            if self.highest(ballot.fields["pseudonym"]) == ballot.fields["revision"]:
                self._revisions[ballot.fields["pseudonym"]] = before

    def checker(self) -> BallotChecker:
        """The stateless half of checking, for worker processes. Refused `not-complete` before all rolls are there."""
        return self.election.checker()
