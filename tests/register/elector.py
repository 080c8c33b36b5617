"""Votes small enough to try every other one, to say what follows from their totals by looking at all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

from hypothesis import strategies as st

from audit.protocol.contest import ContestForm
from audit.record.agenda import Contest, ShareClass
from intake.register.holdings import Account
from intake.register.privacy_agenda import Agenda, Item
from intake.register.privacy_follows import Findings, Verdict
from intake.register.privacy_votes import Electorate, Row, Vote

FOR, AGAINST, ABSTAIN, NONE = range(4)


def item(id: str = "item-1", choices: str = "for against abstain", classes: str = "common") -> Item:
    return Item(id, id, tuple(choices.split()), tuple(classes.split()))


def electorate(*weights: int, items: tuple[Item, ...] | None = None) -> Electorate:
    """Accounts A1, A2 ... of the class common with these weights, asked one item unless others are given."""
    accounts = (Account(f"A{number}", "common", weight) for number, weight in enumerate(weights, 1))
    return Electorate(tuple(accounts), (item(),) if items is None else items)


def form_of(asked: Item) -> ContestForm:
    return ContestForm(asked.contest, "choose-one", len(asked.choices), 1)


def agenda(voters: Electorate, minimum: int = 1) -> Agenda:
    """The agenda that asks these items, each a contest of its own."""
    classes = tuple(ShareClass(c, 1, 1) for c in voters.classes)
    contests = tuple(
        Contest(i.contest, "", "", "resolution", form_of(i), i.choices, i.classes, rule={}) for i in voters.items
    )
    return Agenda(classes, contests, voters.items, minimum, ())


def vote(weights: tuple[int, ...], did: tuple[int | None, ...]) -> Vote:
    """One item, and what each account did on it; None if it cast no ballot."""
    return Vote(electorate(*weights), tuple(None if group is None else (group,) for group in did))


def published(made: Vote) -> Any:
    """All that is known of a vote: by class ballots and weight present, by item the totals; less what is withheld."""
    voters, hidden = made.electorate, made.hidden
    return [(made.ballots(c), None if c in hidden else made.present(c)) for c in voters.classes], [
        made.totals(j) if hidden.isdisjoint(asked.classes) else made.totals(j)[:-1]
        for j, asked in enumerate(voters.items)
    ]


def rows_of(account: Account, items: tuple[Item, ...]) -> Iterator[Row]:
    yield None
    yield from product(*(range(len(i.choices) + 1) if account.share_class in i.classes else [0] for i in items))


def fitting(made: Vote, attended: bool) -> list[tuple[Row, ...]]:
    """The rows of every vote with the same totals; if `attended`, of those in which the same accounts were present."""
    voters = made.electorate
    every = product(*(rows_of(account, voters.items) for account in voters.accounts))
    known = published(made)
    here = [row is None for row in made.rows]
    fits = (rows for rows in every if not attended or [row is None for row in rows] == here)
    return [rows for rows in fits if published(replace(made, rows=rows)) == known]


def by_trying(made: Vote, attended: bool) -> Findings:
    """What follows, by trying every vote."""
    fits = fitting(made, attended)
    found = Findings()
    for i, (row, account) in enumerate(zip(made.rows, made.electorate.accounts, strict=True)):
        if row is None:
            found.absences[i] = verdict(all(rows[i] is None for rows in fits))
            continue
        found.votes[i] = {
            j: verdict(all((other := rows[i]) is not None and other[j] == row[j] for rows in fits))
            for j, asked in enumerate(made.electorate.items)
            if account.share_class in asked.classes
        }
    found.everything = verdict(all(Verdict.OPEN not in verdicts.values() for verdicts in found.votes.values()))
    return found


def verdict(follows: bool) -> Verdict:
    return Verdict.FOLLOWS if follows else Verdict.OPEN


@st.composite
def small_votes(draw: st.DrawFn) -> Vote:
    """Up to two classes, two items and five accounts, with holdings that are often equal or add up to each other;
    of some classes the weight present is not published.
    """
    classes = draw(st.sampled_from([("a",), ("a", "b")]))
    asked = st.sampled_from(["a", "b", "a b"] if len(classes) > 1 else ["a"])
    items = tuple(
        item(f"item-{j}", draw(st.sampled_from(["for", "for against"])), draw(asked))
        for j in range(draw(st.integers(1, 2)))
    )
    weights = st.one_of(st.integers(1, 4), st.sampled_from([1, 2, 4, 8, 16]), st.integers(1, 30).map(lambda w: 3 * w))
    size = draw(st.integers(1, 5 if len(items) == 1 else 4))
    accounts = tuple(Account(f"A{i}", draw(st.sampled_from(classes)), draw(weights)) for i in range(size))
    rows = tuple(draw(st.sampled_from(list(rows_of(account, items)))) for account in accounts)
    hidden = draw(st.frozensets(st.sampled_from(classes)))
    return Vote(Electorate(accounts, items), rows, hidden)
