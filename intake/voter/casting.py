"""Casting ballots: each is encrypted, proved, signed and kept, handed in, found in the log, and its proof saved.

Many accounts at once, in one process: threads encrypt and hand in (the group's arithmetic runs outside of Python's
lock), while one loop looks for all leaves. The text is on disk before any intake sees it, and the same text is handed
in until it is recorded: so a crash, or an intake that breaks its word, never makes two ballots of one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from math import inf

from audit.log.reader import ReadError
from audit.protocol.ballot import make_ballot
from audit.protocol.contest import Draw
from audit.protocol.refused import Refused
from audit.record.election import Election
from audit.record.entries import Entry, make_text
from infra.desk import Desk
from infra.hand_in import NoDoor, Receipt, hand_in
from intake.voter.choices import Selections, of_class
from intake.voter.holder import Holder
from intake.voter.keeping import Keepsake
from intake.voter.sightings import Sightings


def ballot_text(election: Election, holder: Holder, selections: Selections, revision: int, draw: Draw) -> bytes:
    """The text that is handed in: three lines, signed by the pseudonym inside, with no intake's line yet. draw: a fresh
    scalar.
    """
    context = election.ballot_context(holder.share_class)
    chosen = of_class(election.manifest, selections, holder.share_class)
    body = make_ballot(context, holder.s, holder.E, chosen, revision, draw)
    return make_text("ballot", election.manifest.origin, body)


OVERTAKEN = frozenset({"revision-lower", "revision-repeated"})
"""Another ballot of the account came first: this text will never be recorded, and the next is made afresh."""


@dataclass
class Ballot:
    """One account's ballot on its way; `text` gives what is handed in, the same each time. `entries`: what the log may
    hold of it, by leaf; `fate`: what is known of it so far.

    Entries may be several: each intake that took it put its own line on it, and only one of them will stand in the log.
    """

    kept: Keepsake
    text: Callable[[], bytes]
    entries: dict[bytes, Entry] = field(default_factory=dict)
    fate: str = "no intake has answered yet"
    deadline: float = 0.0
    posted: float = 0.0

    @property
    def identity(self) -> bytes:
        """Of a ballot that was posted, or found in the log."""
        return next(iter(self.entries.values())).identity

    def promised(self, receipt: Receipt, now: float) -> None:
        self.kept.keep_receipt(receipt)
        self.entries[receipt.leaf] = receipt.entry
        self.fate = f"{receipt.intake} took it: its receipt, kept, is evidence of that"
        self.deadline, self.posted = receipt.deadline, self.posted or now

    def recorded(self, entry: Entry) -> None:
        """It stands in the log as this entry: what remains is its proof."""
        self.entries, self.deadline = {entry.leaf: entry}, inf
        self.fate = "it stands in the log, only its proof is missing"


@dataclass
class Tally:
    """What became of the ballots, by name: the entry of the log that each recorded one is, and why the others are not;
    and the seconds from posting to proof of those posted.
    """

    places: dict[str, int] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


class Caster:
    """Casts ballots at a desk that has read the log. `recorded` is called after each proof saved."""

    def __init__(self, desk: Desk, sightings: Sightings, threads: int, recorded: Callable[[], None]) -> None:
        self._desk = desk
        self._sightings = sightings
        self._threads = threads
        self._recorded = recorded
        self._todo: deque[Ballot] = deque()
        self._posting: dict[Future[Receipt], Ballot] = {}
        self._posted: dict[bytes, Ballot] = {}
        self._tally = Tally()
        self._moved = self._looked = 0.0
        self._unread = ""

    def cast(self, ballots: Iterable[Ballot]) -> Tally:
        """Returns once every ballot is recorded or has failed. A ballot fails when the rules refuse it, or when for the
        desk's patience nothing has become of any.
        """
        self._todo.extend(ballots)
        self._moved = self._desk.clock()
        with ThreadPoolExecutor(self._threads, "voter") as pool:
            while self._todo or self._posting or self._posted:
                self._submit(pool)
                self._collect()
                self._look()
                self._hand_in_again()
                if self._desk.clock() - self._moved > self._desk.patience:
                    self._give_up()
        return self._tally

    def _submit(self, pool: ThreadPoolExecutor) -> None:
        # Few more than there are threads, so that a queue of ballots does not hold memory.
        while self._todo and len(self._posting) < 2 * self._threads:
            ballot = self._todo.popleft()
            if ballot.deadline == inf:
                self._posted[ballot.identity] = ballot
            else:
                self._posting[pool.submit(self._post, ballot)] = ballot

    def _post(self, ballot: Ballot) -> Receipt:
        """In a thread of its own."""
        return hand_in(self._desk.card, self._desk.manifest, ballot.text(), self._desk.client)

    def _collect(self) -> None:
        """Waits for the next intake's answer, or for a pause."""
        if not self._posting:
            self._desk.sleep(self._desk.pause)
            return
        done, _ = wait(self._posting, self._desk.pause, FIRST_COMPLETED)
        for future in done:
            ballot = self._posting.pop(future)
            # Another receipt for what was promised before is no progress.
            moved = self._moved if ballot.posted else self._desk.clock()
            try:
                ballot.promised(future.result(), self._desk.clock())
            except Refused as refusal:
                if refusal.reason in OVERTAKEN:
                    ballot.kept.set_aside()
                self._fail(ballot, str(refusal))
            except NoDoor as error:
                if not ballot.posted:
                    ballot.fate = str(error)
                self._todo.append(ballot)
                self._desk.sleep(self._desk.pause)
            else:
                self._posted[ballot.identity] = ballot
                self._moved = moved

    def _look(self) -> None:
        """Looks for what is posted, at most once a pause, however fast intakes answer."""
        entries = [entry for ballot in self._posted.values() for entry in ballot.entries.values()]
        if not entries or self._desk.clock() < self._looked + self._desk.pause:
            return
        self._looked = self._desk.clock()
        try:
            found = self._sightings.look(entries)
            self._unread = ""
        except ReadError as error:
            # Some custodian will be back; patience ends the wait if none is.
            self._unread = f"; no custodian can be read: {error}"
            return
        for identity, proof in found.items():
            ballot = self._posted.pop(identity)
            ballot.kept.keep_proof(proof)
            now = self._moved = self._desk.clock()
            self._tally.places[ballot.kept.name] = proof.index
            if ballot.posted:
                self._tally.waits.append(now - ballot.posted)
            self._recorded()

    def _hand_in_again(self) -> None:
        """Of what is not found by its deadline: what stands in the log under a line that no receipt showed is looked
        for by that, what the log refuses has failed, and the rest is handed in again.
        """
        now = self._desk.clock()
        overdue = [ballot for ballot in self._posted.values() if now > ballot.deadline]
        if not overdue:
            return
        try:
            refusals = self._refusals(self._desk.read())
            recorded = self._desk.find({ballot.identity for ballot in overdue})
        except ReadError:
            # Handing in again tells nothing either while no custodian can be read.
            return
        for ballot in overdue:
            if ballot.identity in recorded:
                ballot.recorded(recorded[ballot.identity])
                continue
            del self._posted[ballot.identity]
            if ballot.identity in refusals:
                self._fail(ballot, f"the log refuses this ballot: {refusals[ballot.identity]}")
            else:
                self._todo.append(ballot)

    def _refusals(self, new: Sequence[Entry]) -> dict[bytes, str]:
        """Why the log refuses ballots, by identity."""
        return {entry.fields["identity"]: entry.fields["detail"] for entry in new if entry.kind == "refusal"}

    def _fail(self, ballot: Ballot, why: str) -> None:
        self._tally.failed[ballot.kept.name] = why
        self._moved = self._desk.clock()

    def _give_up(self) -> None:
        """Everything that is left has failed; run again, the same texts are handed in."""
        why = f"not recorded, and nothing has moved for {self._desk.patience:.0f} s; run again to go on"
        for future in self._posting:
            future.cancel()
        for ballot in (*self._posting.values(), *self._todo, *self._posted.values()):
            self._tally.failed[ballot.kept.name] = f"{why} ({ballot.fate}{self._unread})"
        self._todo.clear()
        self._posting.clear()
        self._posted.clear()
