"""Simulated votes over the real holdings: who takes part, and what they vote, drawn at random by stated odds.

The odds are assumptions. Whoever takes part is drawn evenly from each class, so many accounts as the turnout says;
every ballot then votes on every item by itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import gcd
from random import Random

from intake.register.holdings import Account
from intake.register.privacy_agenda import Item

ABSENT = -1
"""The group of those who cast no ballot. Groups 0 to k - 1 of an item are its choices, group k is no vote on it."""

Row = tuple[int, ...] | None
"""What one account did: its group in each item, in agenda order, or None if it cast no ballot. In an item that is not
for its class the entry is 0 and means nothing.
"""


@dataclass(frozen=True)
class Electorate:
    """What everybody may know before the vote: the accounts of the register, and the items."""

    accounts: tuple[Account, ...]
    items: tuple[Item, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(account.share_class for account in self.accounts))

    @property
    def votes(self) -> int:
        return sum(account.weight for account in self.accounts)

    @property
    def unit(self) -> int:
        """The greatest number of which every weight is a multiple: totals can be counted in it."""
        return gcd(*(account.weight for account in self.accounts))

    def of_class(self, share_class: str) -> list[int]:
        """Places of the accounts of a class."""
        return [i for i, account in enumerate(self.accounts) if account.share_class == share_class]

    def largest(self, number: int) -> list[int]:
        """Places of the accounts with most votes, from the largest on; of equals, first those that stand first."""
        order = sorted(range(len(self.accounts)), key=lambda i: -self.accounts[i].weight)
        return order[:number]


@dataclass(frozen=True)
class Vote:
    """One vote, every account's row, with the totals that follow from it and are published. Of the classes in `hidden`
    the weight present is not.
    """

    electorate: Electorate
    rows: tuple[Row, ...]
    hidden: frozenset[str] = frozenset()

    def group(self, account: int, item: int) -> int:
        row = self.rows[account]
        return ABSENT if row is None else row[item]

    def ballots(self, share_class: str) -> int:
        return sum(self.rows[i] is not None for i in self.electorate.of_class(share_class))

    def weighed(self, item: int) -> bool:
        """Whether the weight present of all classes that the item asks is published."""
        return self.hidden.isdisjoint(self.electorate.items[item].classes)

    def present(self, share_class: str) -> int:
        """The weight present of a class."""
        accounts = self.electorate.accounts
        return sum(accounts[i].weight for i in self.electorate.of_class(share_class) if self.rows[i] is not None)

    def totals(self, item: int) -> list[int]:
        """The votes for each choice, as published, and last those present without a vote on the item: they follow if
        the weight present of all its classes is published.
        """
        asked = self.electorate.items[item]
        totals = [0] * (len(asked.choices) + 1)
        for account, row in zip(self.electorate.accounts, self.rows, strict=True):
            if row is not None and account.share_class in asked.classes:
                totals[row[item]] += account.weight
        return totals

    def over(self, items: Sequence[int]) -> Vote:
        """The same ballots on some of the items alone."""
        electorate = Electorate(self.electorate.accounts, tuple(self.electorate.items[j] for j in items))
        rows = tuple(row and tuple(row[j] for j in items) for row in self.rows)
        return replace(self, electorate=electorate, rows=rows)

    def weighing(self, electorate: Electorate) -> Vote:
        """The same ballots over other weights of the same accounts."""
        return replace(self, electorate=Electorate(electorate.accounts, self.electorate.items))


def ballots_at(electorate: Electorate, percent: int) -> dict[str, int]:
    """How many accounts of each class cast a ballot at a turnout in percent of the accounts, to the nearest."""
    sizes = {c: len(electorate.of_class(c)) for c in electorate.classes}
    return {c: (size * percent + 50) // 100 for c, size in sizes.items()}


def odds_of(item: Item, support: float) -> list[float]:
    """The odds of each choice, and last of no vote: `support` for the first choice; of what remains two thirds for the
    second, the last third evenly for all others. With no second choice all that remains is no vote.
    """
    rest = 1 - support
    if len(item.choices) == 1:
        return [support, rest]
    others = len(item.choices) - 1
    return [support, rest * 2 / 3, *[rest / 3 / others] * others]


def draw_vote(electorate: Electorate, percent: int, support: float, rng: Random) -> Vote:
    """One vote at this turnout."""
    present: set[int] = set()
    for share_class, ballots in ballots_at(electorate, percent).items():
        present.update(rng.sample(electorate.of_class(share_class), ballots))
    columns = [
        rng.choices(range(len(item.choices) + 1), odds_of(item, support), k=len(electorate.accounts))
        for item in electorate.items
    ]
    rows: list[Row] = [None] * len(electorate.accounts)
    for i in present:
        asked = [electorate.accounts[i].share_class in item.classes for item in electorate.items]
        rows[i] = tuple(column[i] if is_asked else 0 for column, is_asked in zip(columns, asked, strict=True))
    return Vote(electorate, tuple(rows))


def in_units(electorate: Electorate, unit: int) -> Electorate:
    """The accounts weighed in units of so many votes: to the nearest, at least one, so that nobody loses the vote."""
    accounts = [Account(a.id, a.share_class, max(1, (a.weight + unit // 2) // unit)) for a in electorate.accounts]
    return Electorate(tuple(accounts), electorate.items)


def merged(electorate: Electorate) -> list[int]:
    """One item for all that ask the same classes for the same choices: the first of each such block."""
    blocks: dict[tuple[tuple[str, ...], tuple[str, ...]], list[int]] = defaultdict(list)
    for j, item in enumerate(electorate.items):
        blocks[item.choices, item.classes].append(j)
    return [block[0] for block in blocks.values()]
