"""A bound that needs no simulation: there are at most as many votes that are the only ones with their totals as there
are totals.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, log2

from intake.register.privacy_published import Published
from intake.register.privacy_votes import Electorate


@dataclass(frozen=True)
class Bound:
    """How many votes there are with these numbers of ballots, and at most how many totals they can have; in bits."""

    votes: float
    totals: float

    @property
    def share(self) -> float:
        """At most this share of those votes is the only one with its totals."""
        return float(min(1.0, 2 ** min(0.0, self.totals - self.votes)))


def bound_of(electorate: Electorate, ballots: dict[str, int], shown: Published) -> Bound | None:
    """The counting bound for these numbers of ballots of each class and what is published of them; None if no item is.
    """
    items = [item for item in electorate.items if item.contest in shown.contests]
    if not items:
        return None
    votes = totals = 0.0
    heaviest: dict[str, int] = {}
    unit = electorate.unit
    for share_class, number in ballots.items():
        weights = sorted(electorate.accounts[i].weight // unit for i in electorate.of_class(share_class))
        heaviest[share_class] = sum(weights[len(weights) - number :])
        votes += log2(comb(len(weights), number))
        if share_class not in shown.hidden:
            totals += log2(heaviest[share_class] - sum(weights[:number]) + 1)
    for item in items:
        choices = len(item.choices)
        votes += log2(choices + 1) * sum(ballots.get(c, 0) for c in item.classes)
        # So many ways there are to write at most this weight as a sum of so many totals.
        totals += log2(comb(sum(heaviest.get(c, 0) for c in item.classes) + choices, choices))
    return Bound(votes, totals)
