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
from infra.desk import Desk
from intake.voter.casting import Ballot, ballot_text
from intake.voter.choices import Selections, of_class
from intake.voter.holder import Holder, find_holder
from intake.voter.keeping import Keepsake

LABEL = b"psephos/v1 order\n"
AGAIN = "give another --out"


@dataclass(frozen=True)
class Order:
    """What the account `name` wants: its control numbers, its class if that is known, and its choices."""

    name: str
    codes: Sequence[str] = field(repr=False)
    share_class: str | None
    selections: Selections = field(repr=False)

    def holder(self, desk: Desk) -> Holder:
        """Refused as `find_holder`."""
        return find_holder(desk.election, self.codes, self.share_class)

    def mark(self, desk: Desk, holder: Holder, ballot: Entry) -> bytes:
        """32 bytes that this order alone has for this ballot. Refused as `of_class`."""
        chosen = of_class(desk.manifest, self.selections, holder.share_class)
        said = {"ballot": b64(ballot.identity), "choices": {id: list(votes) for id, votes in chosen.items()}}
        return hmac.digest(scalar_bytes(holder.s), LABEL + canonical(said), "sha256")


def take_up(desk: Desk, order: Order, kept: Keepsake) -> Ballot | None:
    """What is still to be cast for the order, given what is kept; None if a ballot of it is recorded, and counts.

    A kept ballot of other choices that is not proved to be recorded is set aside, and the new one has a higher
    revision: so that whatever became of the old one, the new one counts. Refused `another-account`, `other-choices`,
    `revision-lower`, or as what is kept cannot be read: then nothing is cast, and nothing kept is touched.
    """
    if kept.done:
        _expect_recorded(desk, order, kept)
        return None
    least = 0
    if kept.ballot.exists():
        holder = order.holder(desk)
        ballot = _read_ballot(kept)
        _expect_own(holder, ballot, kept.ballot.name)
        if not kept.bears(order.mark(desk, holder, ballot)):
            least = ballot.fields["revision"] + 1
            kept.set_aside()
        elif desk.follower.seen.recorded(ballot.identity) is not None:
            _expect_newest(desk, holder, ballot)
    return Ballot(kept, lambda: text_of(desk, order, kept, least))


def text_of(desk: Desk, order: Order, kept: Keepsake, least: int = 0) -> bytes:
    """The text to hand in for the order: the one kept, or one made now, with one revision more than the log holds under
    its pseudonym, but no less than `least`. Refused `other-choices` if another process put its own there meanwhile.
    """
    holder = order.holder(desk)

    def make() -> bytes:
        highest = desk.follower.seen.revision(holder.pseudonym.raw)
        revision = max(least, 0 if highest is None else highest + 1)
        text = ballot_text(desk.election, holder, order.selections, revision, lambda: wide_scalar(os.urandom(64)))
        # Before the text is: a crash in between leaves a mark of no ballot, which is written over.
        kept.keep_mark(order.mark(desk, holder, read_text(text)))
        return text

    text = kept.text(make)
    if not kept.bears(order.mark(desk, holder, read_text(text))):
        raise _not_cast("other-choices", f"{kept.ballot.name} was made for another order at the same time; run again")
    return text


def _expect_recorded(desk: Desk, order: Order, kept: Keepsake) -> None:
    """Refused unless the proof kept is of a ballot of this order, the account's newest."""
    name = kept.proof.name
    try:
        shown = open_kept(kept.proof.read_bytes(), desk.manifest)
    except Refused as refusal:
        raise _not_cast(refusal.reason, f"{name} proves nothing in this election ({refusal}); {AGAIN}") from None
    if not isinstance(shown, Recorded) or shown.entry.kind != "ballot":
        raise _not_cast("unknown-kind", f"{name} is no proof of a ballot; {AGAIN}")
    holder = order.holder(desk)
    _expect_own(holder, shown.entry, name)
    if not kept.bears(order.mark(desk, holder, shown.entry)):
        text = f"the ballot that {name} proves to be recorded is not known to be of these choices"
        raise _not_cast("other-choices", f"{text}; to vote again, {AGAIN}")
    _expect_newest(desk, holder, shown.entry)


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


def _expect_newest(desk: Desk, holder: Holder, ballot: Entry) -> None:
    highest, revision = desk.follower.seen.revision(holder.pseudonym.raw), ballot.fields["revision"]
    if highest is not None and highest > revision:
        text = f"the ballot kept here is recorded, but a later one of this account counts (revision {highest})"
        raise _not_cast("revision-lower", f"{text}; to vote again, {AGAIN}")


def _not_cast(reason: str, detail: str) -> Refused:
    return Refused(reason, f"NOT cast: {detail}")
