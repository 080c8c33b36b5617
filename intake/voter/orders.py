"""What a voter orders, and whether a ballot kept from an earlier run is of that very order.

Nothing is handed in, and nothing is called recorded, unless it is of the account's own pseudonym and of the choices
ordered now. A ballot does not tell its choices, not even to who made it; so a mark is kept beside it: a MAC of its
identity and the choices, under the account's secret s. Without s it tells nothing, and whoever has s can make one for
any choices, so that it proves nothing to anybody else.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from audit.protocol.canonical import canonical
from audit.protocol.group import b64, scalar_bytes, wide_scalar
from audit.protocol.refused import Refused
from audit.receipts import Recorded, open_kept
from audit.record.entries import Entry, read_text
from audit.record.manifest import Manifest
from intake.voter.booth import Booth, History
from intake.voter.casting import Ballot, ballot_text
from intake.voter.choices import Selections, of_class
from intake.voter.holder import Holder, find_holder
from intake.voter.keeping import Keepsake
from intake.voter.opening import Opening

LABEL = b"psephos/v1 order\n"
AGAIN = "give another --out"


@dataclass(frozen=True)
class Order:
    """What the account `name` wants: its control numbers, its class if that is known, and its choices."""

    name: str
    codes: Sequence[str] = field(repr=False)
    share_class: str | None
    selections: Selections = field(repr=False)

    def holder(self, opening: Opening) -> Holder:
        """As `find_holder`."""
        return find_holder(opening, self.codes, self.share_class)

    def mark(self, manifest: Manifest, holder: Holder, ballot: Entry) -> bytes:
        """32 bytes that this order alone has for this ballot. Refused as `of_class`."""
        chosen = of_class(manifest, self.selections, holder.share_class)
        said = {"ballot": b64(ballot.identity), "choices": {id: list(votes) for id, votes in chosen.items()}}
        return hmac.digest(scalar_bytes(holder.s), LABEL + canonical(said), "sha256")


@dataclass
class Paper:
    """What becomes the ballot of an order: its text is made when it is handed in, with a revision of at least `least`.
    """

    booth: Booth
    order: Order
    holder: Holder
    kept: Keepsake
    least: int = 0

    def text(self) -> bytes:
        """The text to hand in: the one kept, or one made now. Refused `other-choices` if another process put its own
        there meanwhile.
        """
        text = self.kept.text(self._make)
        if not self.kept.bears(self.mark(read_text(text))):
            name = self.kept.ballot.name
            raise _not_cast("other-choices", f"{name} was made for another order at the same time; run again")
        return text

    def anew(self, least: int) -> None:
        """Puts the text kept aside, and what is made next has this revision at least."""
        if self.kept.ballot.exists():
            self.kept.set_aside()
        self.least = max(self.least, least)

    def mark(self, ballot: Entry) -> bytes:
        return self.order.mark(self.booth.manifest, self.holder, ballot)

    def _make(self) -> bytes:
        # One more than any set aside, whatever became of that; what else the log holds, intake knows and says.
        before = [ballot.fields["revision"] for ballot in self.kept.set_asides()]
        revision = max([self.least, *(n + 1 for n in before)])
        opening, selections = self.booth.opening, self.order.selections
        text = ballot_text(opening, self.holder, selections, revision, lambda: wide_scalar(os.urandom(64)))
        # Before the text is: a crash in between leaves a mark of no ballot, which is written over.
        self.kept.keep_mark(self.mark(read_text(text)))
        return text


def take_up(booth: Booth, order: Order, holder: Holder, kept: Keepsake, history: History) -> Ballot | None:
    """What is still to be cast for the order, given what is kept and, if anything is, what the log holds under its
    pseudonym; None if a ballot of it is recorded, and counts.

    A kept ballot of other choices that is not proved to be recorded is set aside, and the new one has a higher
    revision: so that whatever became of the old one, the new one counts. Refused `another-account`, `other-choices`,
    `revision-lower`, or as what is kept cannot be read: then nothing is cast, and nothing kept is touched.
    """
    paper = Paper(booth, order, holder, kept)
    if kept.done:
        _expect_recorded(paper, history)
        return None
    recorded = None
    if kept.ballot.exists():
        ballot = _read_ballot(kept)
        _expect_own(holder, ballot, kept.ballot.name)
        recorded = history.entry(ballot)
        if not kept.bears(paper.mark(ballot)):
            paper.anew(1 + max(ballot.fields["revision"], history.highest(holder.pseudonym.raw)))
            recorded = None
        elif recorded is not None:
            _expect_newest(holder, ballot, history)
    turn = booth.first_turn(kept.receipts)
    made = Ballot(kept, holder.pseudonym.raw, paper.text, paper.anew, turn=turn)
    if recorded is not None:
        made.recorded(recorded)
    return made


def _expect_recorded(paper: Paper, history: History) -> None:
    """Refused unless the proof kept is of a ballot of this order, the account's newest."""
    kept, holder = paper.kept, paper.holder
    name = kept.proof.name
    try:
        shown = open_kept(kept.proof.read_bytes(), paper.booth.manifest)
    except Refused as refusal:
        raise _not_cast(refusal.reason, f"{name} proves nothing in this election ({refusal}); {AGAIN}") from None
    if not isinstance(shown, Recorded) or shown.entry.kind != "ballot":
        raise _not_cast("unknown-kind", f"{name} is no proof of a ballot; {AGAIN}")
    _expect_own(holder, shown.entry, name)
    if not kept.bears(paper.mark(shown.entry)):
        text = f"the ballot that {name} proves to be recorded is not known to be of these choices"
        raise _not_cast("other-choices", f"{text}; to vote again, {AGAIN}")
    _expect_newest(holder, shown.entry, history)


def _read_ballot(kept: Keepsake) -> Entry:
    try:
        entry = read_text(kept.ballot.read_bytes())
    except Refused as refusal:
        raise _not_cast(refusal.reason, f"{kept.ballot.name} is no ballot ({refusal}); {AGAIN}") from None
    if entry.kind != "ballot":
        raise _not_cast("unknown-kind", f"{kept.ballot.name} is a {entry.kind}; {AGAIN}")
    return entry


def _expect_own(holder: Holder, ballot: Entry, name: str) -> None:
    if ballot.body["pseudonym"] != b64(holder.pseudonym.raw):
        raise _not_cast("another-account", f"{name} belongs to other control numbers than these; {AGAIN}")


def _expect_newest(holder: Holder, ballot: Entry, history: History) -> None:
    highest, revision = history.highest(holder.pseudonym.raw), ballot.fields["revision"]
    if highest > revision:
        text = f"the ballot kept here is recorded, but a later one of this account counts (revision {highest})"
        raise _not_cast("revision-lower", f"{text}; to vote again, {AGAIN}")


def _not_cast(reason: str, detail: str) -> Refused:
    return Refused(reason, f"NOT cast: {detail}")
