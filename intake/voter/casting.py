"""Casting ballots: each is encrypted, proved, signed and kept, handed in, found in the log, and its proof saved.

Many accounts at once, in one process: threads encrypt and hand in (the group's arithmetic runs outside of Python's
lock), while one loop looks for all leaves. The text is on disk before any intake sees it, and the same text is handed
in, here or at another intake, until W custodians hold it or the log refuses it: so a crash, or an intake that breaks
its word, never makes two ballots of one. Only where the log shows another ballot of the account that was recorded
before, the text can never be recorded, and the next is made with a higher revision; an intake's word is not enough.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf

from audit.log.reader import ReadError
from audit.protocol.ballot import make_ballot
from audit.protocol.contest import Draw
from audit.protocol.refused import Refused
from audit.record.admission import signer_of
from audit.record.entries import Entry, make_text, read_text
from infra.hand_in import OVERTAKEN, NoDoor, Receipt
from intake.voter.booth import Booth, History
from intake.voter.choices import Selections, of_class
from intake.voter.holder import Holder
from intake.voter.keeping import Keepsake
from intake.voter.opening import Opening
from intake.voter.sightings import Sightings


def ballot_text(opening: Opening, holder: Holder, selections: Selections, revision: int, draw: Draw) -> bytes:
    """The text that is handed in: three lines, signed by the pseudonym inside, with no intake's line yet. draw: a fresh
    scalar.
    """
    context = opening.ballot_context(holder.share_class)
    chosen = of_class(opening.manifest, selections, holder.share_class)
    body = make_ballot(context, holder.s, holder.E, chosen, revision, draw)
    return make_text("ballot", opening.manifest.origin, body)


@dataclass
class Ballot:
    """One account's ballot on its way; `text` gives what is handed in, the same each time until `anew` has been told
    which revision the next is to have at least. `entries`: what the log may hold of it, by leaf; `fate`: what is known
    of it so far; `deadline`: until when an intake's word is relied on, and `posted`: when one took it (both by
    `Booth.monotonic`); `turn`: how many intakes have been tried before.

    Entries may be several: each intake that took it put its own line on it, and only one of them will stand in the log.
    """

    kept: Keepsake
    pseudonym: bytes
    text: Callable[[], bytes]
    anew: Callable[[int], None]
    entries: dict[bytes, Entry] = field(default_factory=dict)
    fate: str = "no intake has answered yet"
    deadline: float = 0.0
    posted: float = 0.0
    turn: int = 0

    @property
    def identity(self) -> bytes:
        """Of a ballot that was posted, or found in the log."""
        return next(iter(self.entries.values())).identity

    def promised(self, receipt: Receipt, now: float, until: float) -> None:
        """Taken; what is not found by `until` is handed in again."""
        self.kept.keep_receipt(receipt)
        self.entries[receipt.leaf] = receipt.entry
        self.fate = f"{receipt.intake} took it: its receipt, kept, is evidence of that"
        self.deadline, self.posted = until, self.posted or now

    def recorded(self, entry: Entry) -> None:
        """It stands in the log as this entry: what remains is its proof."""
        self.entries, self.deadline = {entry.leaf: entry}, inf
        self.fate = "it stands in the log, only its proof is missing"

    def overtaken(self, revision: int) -> None:
        """Another of this revision is recorded: this text will never be, and the next is made afresh."""
        self.anew(revision + 1)
        self.entries, self.deadline, self.posted = {}, 0.0, 0.0
        self.fate = f"another ballot of this account with revision {revision} came first, and the next is not taken yet"

    def refused_by(self, refusals: Mapping[tuple[bytes, str, bytes], str]) -> str:
        """Why the log refuses it, "" if it does not: it must be refused, in the very bytes of the receipt, as every
        intake that took it handed it in, so that one which spoils it costs nothing where another is honest, and a thief
        of an intake's key nothing where it is."""
        found = [refusals.get((one.identity, signer_of(one), leaf), "") for leaf, one in self.entries.items()]
        return found[0] if all(found) else ""


@dataclass
class Tally:
    """What became of the ballots, by name: the entry of the log that each recorded one is, and why the others are not;
    what other ballots of an account were found in the log on the way; and the seconds from posting to proof of those
    posted.
    """

    places: dict[str, int] = field(default_factory=dict)
    others: dict[str, Sequence[tuple[int, Entry]]] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


class Caster:
    """Casts ballots at a booth; before entry `start` the log holds none of them. `recorded` is called after each proof
    saved.
    """

    def __init__(self, booth: Booth, start: int, threads: int, recorded: Callable[[], None]) -> None:
        self._booth = booth
        self._start = start
        self._sightings = Sightings(booth.log.readers, booth.manifest, start)
        self._threads = threads
        self._recorded = recorded
        self._todo: deque[Ballot] = deque()
        self._posting: dict[Future[Receipt], Ballot] = {}
        self._posted: dict[bytes, Ballot] = {}
        self._doubtful: list[Ballot] = []
        self._tally = Tally()
        self._moved = self._looked = 0.0
        self._unread = ""
        self._promised = False

    @property
    def _patience(self) -> float:
        return self._booth.patience_for(self._promised)

    def cast(self, ballots: Iterable[Ballot]) -> Tally:
        """Returns once every ballot is recorded or has failed. A ballot fails when the rules refuse it, or when for the
        booth's patience nothing has become of any.
        """
        self._todo.extend(ballots)
        self._moved = self._booth.monotonic()
        with ThreadPoolExecutor(self._threads, "voter") as pool:
            while self._todo or self._posting or self._posted or self._doubtful:
                self._submit(pool)
                self._collect()
                self._look()
                self._look_into_doubts()
                self._hand_in_again()
                if self._booth.monotonic() - self._moved > self._patience:
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
        return self._booth.hand_in(ballot.text(), ballot.turn)

    def _collect(self) -> None:
        """Waits for the next intake's answer, or for a pause."""
        if not self._posting:
            self._booth.sleep(self._booth.pause)
            return
        done, _ = wait(self._posting, self._booth.pause, FIRST_COMPLETED)
        for future in done:
            ballot = self._posting.pop(future)
            # Another receipt for what was promised before is no progress.
            moved = self._moved if ballot.posted else self._booth.monotonic()
            try:
                receipt, now = future.result(), self._booth.monotonic()
                patience = receipt.patience(self._booth.manifest, self._booth.clock())
                ballot.promised(receipt, now, now + patience)
            except Refused as refusal:
                if refusal.reason in OVERTAKEN:
                    ballot.fate = f"an intake says: {refusal}; the log does not show it"
                    self._doubtful.append(ballot)
                else:
                    self._fail(ballot, f"{refusal}; {ballot.fate}" if ballot.posted else str(refusal))
            except NoDoor as error:
                if not ballot.posted:
                    ballot.fate = str(error)
                self._todo.append(ballot)
                # An intake may have got another key meanwhile, and then its receipts do not hold: the log says so.
                self._refresh()
            else:
                self._posted[ballot.identity] = ballot
                self._moved, self._promised = moved, True

    def _refresh(self) -> None:
        with suppress(ReadError):
            self._booth.log.refresh()
            self._sightings.learn(self._booth.manifest)
        self._booth.sleep(self._booth.pause)

    def _look(self) -> None:
        """Looks for what is posted, at most once a pause, however fast intakes answer."""
        entries = [entry for ballot in self._posted.values() for entry in ballot.entries.values()]
        if not entries or self._booth.monotonic() < self._looked + self._booth.pause:
            return
        self._looked = self._booth.monotonic()
        try:
            found = self._sightings.look(entries)
            self._unread = ""
        except ReadError as error:
            # Some custodian will be back; patience ends the wait if none is.
            self._unread = f"; no custodian can be read: {error}"
            return
        for identity, proof in found.items():
            ballot = self._posted.pop(identity)
            ballot.kept.keep_proof(proof, self._sightings.rekeys.values())
            now = self._moved = self._booth.monotonic()
            self._tally.places[ballot.kept.name] = proof.index
            if ballot.posted:
                self._tally.waits.append(now - ballot.posted)
            self._recorded()

    def _look_into_doubts(self) -> None:
        """Of those said to be overtaken, once all others have been handed in, so that the log is read once for all."""
        if not self._doubtful or self._todo or self._posting:
            return
        doubtful, self._doubtful = self._doubtful, []
        history = self._history(doubtful, self._booth.opening.place + 1)
        for ballot in doubtful:
            try:
                if history is None or not self._settled(ballot, history):
                    ballot.turn += 1
            except Refused as refusal:
                self._fail(ballot, str(refusal))
            else:
                self._todo.append(ballot)
        if history is None or not any(history.of(ballot.pseudonym) for ballot in doubtful):
            self._booth.sleep(self._booth.pause)

    def _settled(self, ballot: Ballot, history: History) -> bool:
        """Whether the log shows why the ballot is not taken: it is there itself, or another is in its place."""
        mine = read_text(ballot.text())
        recorded, highest = history.entry(mine), history.highest(ballot.pseudonym)
        if recorded is not None:
            ballot.recorded(recorded)
        elif highest >= mine.fields["revision"]:
            self._tally.others[ballot.kept.name] = history.of(ballot.pseudonym)
            ballot.overtaken(highest)
            self._moved = self._booth.monotonic()
        else:
            return False
        return True

    def _history(self, ballots: Sequence[Ballot], start: int) -> History | None:
        """What the log holds of them from entry `start` on; None while no custodian can be read."""
        identities = [entry.identity for ballot in ballots for entry in ballot.entries.values()]
        try:
            return self._booth.history(start, {ballot.pseudonym for ballot in ballots}, identities)
        except ReadError as error:
            self._unread = f"; no custodian can be read: {error}"
            return None

    def _hand_in_again(self) -> None:
        """Of what is not found by its deadline: what stands in the log under a line that no receipt showed is looked
        for by that, what the log refuses has failed, and the rest is handed in again, at another intake first.
        """
        now = self._booth.monotonic()
        overdue = [ballot for ballot in self._posted.values() if now > ballot.deadline]
        # Handing in again tells nothing either while no custodian can be read.
        history = self._history(overdue, self._start) if overdue else None
        for ballot in overdue if history is not None else ():
            assert history is not None
            mine = next(iter(ballot.entries.values()))
            recorded, why = history.entry(mine), ballot.refused_by(history.refusals)
            if recorded is not None:
                ballot.recorded(recorded)
                continue
            del self._posted[ballot.identity]
            if history.highest(ballot.pseudonym) >= mine.fields["revision"]:
                self._doubtful.append(ballot)
            elif why:
                self._fail(ballot, f"the log refuses this ballot: {why}")
            else:
                ballot.turn += 1
                self._todo.append(ballot)

    def _fail(self, ballot: Ballot, why: str) -> None:
        self._tally.failed[ballot.kept.name] = why
        self._moved = self._booth.monotonic()

    def _give_up(self) -> None:
        """Everything that is left has failed; run again, the same texts are handed in."""
        why = f"not recorded, and nothing has moved for {self._patience:.0f} s; run again to go on"
        for future in self._posting:
            future.cancel()
        for ballot in (*self._posting.values(), *self._todo, *self._posted.values(), *self._doubtful):
            self._tally.failed[ballot.kept.name] = f"{why} ({ballot.fate}{self._unread})"
        self._todo.clear()
        self._posting.clear()
        self._posted.clear()
        self._doubtful.clear()
