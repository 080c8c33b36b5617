"""What an agenda says of the totals that will be published: its classes, its contests and the least number of ballots
behind a total.

Only these are read, for the estimate is wanted while keys and times are still being settled. They are judged by the
manifest's own rules; `psephos election create` judges all the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.protocol.refused import Refused
from audit.record.agenda import Contest, ShareClass, check_agenda, class_of, contest_of
from audit.record.manifest_shape import CONTEST, share_class
from audit.record.shapes import array, inside, integer, record
from infra.config import ConfigError, read_toml

PARTS = ("classes", "contests", "minimum")
READ = record(
    classes=array(share_class, 1, 50),
    contests=array(CONTEST, 1, 500),
    minimum=record(pseudonyms=integer(1, 1_000_000), roll=integer(1, 1_000_000)),
)


@dataclass(frozen=True)
class Item:
    """One question to which every account of `classes` gives one of `choices` or none; `contest` is where it stands on
    the agenda.
    """

    id: str
    contest: str
    choices: tuple[str, ...]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Agenda:
    """`minimum_pseudonyms`: of how many voters a total, and what follows from several, must tell at least. `items`: the
    questions in `contests`. `skipped`: contests of a form that the estimate does not know.
    """

    classes: tuple[ShareClass, ...]
    contests: tuple[Contest, ...]
    items: tuple[Item, ...]
    minimum_pseudonyms: int
    skipped: tuple[str, ...]


def read_agenda(path: Path) -> Agenda:
    """The agenda in a TOML file, with the defaults of `election create`. ConfigError naming the field at fault."""
    _, agenda = read_toml(path)
    try:
        body = READ(_with_defaults(agenda), "")
        classes = tuple(map(class_of, body["classes"]))
        contests = tuple(contest_of(c, inside("contests", i)) for i, c in enumerate(body["contests"]))
        check_agenda(classes, contests)
    except Refused as refusal:
        raise ConfigError(path, [f"{refusal.field or 'the agenda'}: {refusal.detail}"]) from None
    items = tuple(item for contest in contests for item in items_of(contest))
    skipped = tuple(contest.id for contest in contests if not items_of(contest))
    if not items:
        raise ConfigError(path, ["contests: all are cumulative, whose totals this estimate does not know"])
    return Agenda(classes, contests, items, body["minimum"]["pseudonyms"], skipped)


def items_of(contest: Contest) -> tuple[Item, ...]:
    """The questions in a contest: one, or where several may be chosen one for each choice. Of cumulative ones, none.

    That choices of one contest limit each other is left out, so more may follow from the totals than is found here.
    """
    if contest.form.form == "choose-one":
        return (Item(contest.id, contest.id, contest.choices, contest.classes),)
    if contest.form.form == "choose-up-to":
        return tuple(Item(f"{contest.id}/{c}", contest.id, (c,), contest.classes) for c in contest.choices)
    return ()


def _with_defaults(agenda: dict[str, Any]) -> dict[str, Any]:
    """The fields that are read, with the defaults that `psephos election create` gives them."""
    body = {name: agenda[name] for name in PARTS if name in agenda}
    classes, contests = body.get("classes"), body.get("contests")
    if isinstance(classes, list) and isinstance(contests, list):
        ids = [c.get("id") for c in classes if isinstance(c, dict)]
        body["contests"] = [{"limit": 1, "classes": ids, **c} if isinstance(c, dict) else c for c in contests]
    return body
