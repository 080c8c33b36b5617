"""What is voted on, by whom, and how it is counted: the contests and share classes of a manifest, with the rules they
must keep.

Sums of ballots are decrypted by searching for the total, so no total may reach 2^40; and a ballot must fit into one
entry of the log, so an agenda whose largest ballot could be over 60,000 bytes is refused before the election begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from audit.protocol.ballot import ContestForm
from audit.protocol.refused import Refused
from audit.record.shapes import distinct, inside

TOTAL_BOUND = 1 << 40


@dataclass(frozen=True)
class Contest:
    """One agenda item: its form says what a ballot may hold, its rule what the totals mean."""

    id: str
    title: str
    text: str
    kind: str  # "director" or "resolution"
    form: ContestForm
    choices: tuple[str, ...]
    classes: tuple[str, ...]
    rule: dict[str, Any]


@dataclass(frozen=True)
class ShareClass:
    """A class of shares, voting by a roll of its own; `votes` is the sum of all weights on that roll, in units of the
    last of the `decimals` places to which shares are counted.
    """

    id: str
    votes: int
    votes_per_share: int
    decimals: int = 0


def contest_of(fields: dict[str, Any], path: str) -> Contest:
    """The contest in its parsed fields. Refused `duplicate` for a choice or class that stands there twice."""
    distinct(fields["choices"], inside(path, "choices"))
    distinct(fields["classes"], inside(path, "classes"))
    form = ContestForm(fields["id"], fields["form"], len(fields["choices"]), fields["limit"])
    kind, choices, classes = fields["kind"], fields["choices"], fields["classes"]
    return Contest(fields["id"], fields["title"], fields["text"], kind, form, choices, classes, fields["rule"])


def class_of(fields: dict[str, Any]) -> ShareClass:
    """The share class in its parsed fields."""
    return ShareClass(fields["id"], fields["votes"], fields["votes_per_share"], fields.get("decimals", 0))


def contests_of(contests: tuple[Contest, ...], share_class: str) -> tuple[Contest, ...]:
    """The contests that a ballot of this class votes on, in agenda order."""
    return tuple(contest for contest in contests if share_class in contest.classes)


def votes_on(contest: Contest, classes: tuple[ShareClass, ...]) -> int:
    """All votes that could be given to one choice of this contest."""
    q = contest.form.limit if contest.form.form == "cumulative" else 1
    return q * sum(c.votes for c in classes if c.id in contest.classes)


def check_agenda(classes: tuple[ShareClass, ...], contests: tuple[Contest, ...]) -> None:
    """Refuses an agenda that could not be voted on or counted, with the path of the field."""
    distinct(classes, "classes", lambda c: c.id)
    distinct(contests, "contests", lambda c: c.id)
    known = {c.id for c in classes}
    for i, contest in enumerate(contests):
        check_contest(contest, classes, known, inside("contests", i))
    for i, share_class in enumerate(classes):
        path = inside("classes", i)
        if not contests_of(contests, share_class.id):
            raise Refused("missing-contest", "this class votes on nothing", path)
        if share_class.decimals != classes[0].decimals:
            text = f"votes of all classes are in one unit; {classes[0].id} has {classes[0].decimals} decimal places"
            raise Refused("out-of-range", text, inside(path, "decimals"))
        if share_class.votes % share_class.votes_per_share:
            raise Refused("out-of-range", "not a whole number of shares times votes per share", inside(path, "votes"))


def check_contest(contest: Contest, classes: tuple[ShareClass, ...], known: set[str], path: str) -> None:
    for i, share_class in enumerate(contest.classes):
        if share_class not in known:
            raise Refused("unknown-roll", f"there is no class {share_class}", inside(inside(path, "classes"), i))
    if contest.form.form == "choose-one" and contest.form.limit != 1:
        raise Refused("out-of-range", "choose-one has limit 1", inside(path, "limit"))
    if contest.form.form == "choose-up-to" and contest.form.limit > len(contest.choices):
        raise Refused("out-of-range", "more may be chosen than there are choices", inside(path, "limit"))
    if votes_on(contest, classes) >= TOTAL_BOUND:
        raise Refused("out-of-range", "votes per share times all votes must stay below 2^40", inside(path, "limit"))
    check_rule(contest, inside(path, "rule"))


def check_rule(contest: Contest, path: str) -> None:
    if contest.rule["name"] == "plurality":
        if contest.rule["seats"] > len(contest.choices):
            raise Refused("out-of-range", "more seats than choices", inside(path, "seats"))
        return
    numerator, denominator = contest.rule["threshold"]
    if not {"for", "against"} <= set(contest.choices):
        raise Refused("missing-field", "a majority is counted between choices for and against", inside(path, "name"))
    if contest.form.form != "choose-one":
        raise Refused("syntax", "a majority is counted over choose-one", inside(path, "name"))
    if numerator > denominator:
        raise Refused("out-of-range", "the threshold is at most 1", inside(path, "threshold"))
