"""A reissue: some accounts have lost their numbers, so every issuer draws them new ones, and the roll of their class is
published once more with its revision raised. All other numbers stay good.

Only before the mixing: afterwards nobody can tell which row of the anonymous roll is whose, so none can be replaced,
and a lost number is sent again as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from audit.protocol.refused import Refused
from audit.record.admission import rule_for
from audit.record.election import Election
from audit.record.mixing import expect_unmixed
from intake.register.numbers import Number
from intake.register.openings import Opening, classes_of


def next_revision(election: Election, share_class: str, issuer: str) -> int:
    """With which revision this issuer publishes the roll of this class next: one that another has begun, or a new one,
    even if one in which it has published is not complete.

    Refused `wrong-phase` once voting is open, `mixed` once a mix of it has begun, `not-complete` before there is one.
    """
    try:
        rule_for(election.phase, "roll")
        expect_unmixed(election, share_class)
    except Refused as refusal:
        text = f"{refusal.detail}; a number that is lost now is sent again as it is"
        raise Refused(refusal.reason, text, refusal.field) from None
    due = due_revision(election, share_class, issuer)
    if not due:
        raise Refused("not-complete", f"the roll of {share_class} is not published yet: there is nothing to reissue")
    return due


def due_revision(election: Election, share_class: str, issuer: str) -> int:
    """With which revision this issuer publishes a roll that is not mixed next; 0 if nothing of it is published."""
    if share_class in election.rolls:
        return election.rolls[share_class].revision + 1
    begun = election.assemblies[share_class]
    return begun.revision + 1 if begun.begun_by(issuer) else begun.revision


def revisions_of(lost: Sequence[str], numbers: Mapping[str, Number], classes: Mapping[str, str]) -> dict[str, int]:
    """The classes of the accounts lost, each with the revision that their new numbers were drawn for. classes: by
    account.
    """
    return {classes[id]: numbers[id].revision for id in sorted(lost, key=lambda id: (classes[id], id))}


def expect_same_lost(path: Path, opened: Sequence[Opening], lost: Sequence[str], revisions: Mapping[str, int]) -> None:
    """Refuses openings by which the first issuer renews the numbers of other accounts, or for another revision."""
    if classes_of(opened) != dict(revisions):
        told = ", ".join(f"{name} with revision {revision}" for name, revision in sorted(classes_of(opened).items()))
        raise Refused("another-roll", f"{path} opens {told}; these numbers are for another reissue")
    theirs = {o.account.id for o in opened if o.revision == revisions[o.account.share_class]}
    if theirs != set(lost):
        only = {"renewed by the first issuer only": theirs - set(lost), "lost by this list only": set(lost) - theirs}
        said = "; ".join(f"{what}: {', '.join(sorted(names))}" for what, names in only.items() if names)
        raise Refused("another-register", f"{path}: all issuers renew the numbers of the same accounts; {said}")
