"""The figures of a real shareholder meeting as its company published them, which the demo must reach to the share.

They are those of CoreCivic, Inc., Form 8-K, Item 5.07, meeting of May 16, 2019: the nine nominee rows available, names
replaced.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files

CHOICES = ("for", "against", "abstain")
FILE = "corecivic-2019.json"


class DoesNotFoot(ValueError):
    """Published figures that contradict one another; the message names the row."""


@dataclass(frozen=True)
class Nominee:
    """One row: `id` is the contest's, `votes` the shares for, against and abstaining, in this order."""

    id: str
    name: str
    votes: tuple[int, ...]

    @property
    def elected(self) -> bool:
        """Whether the majority of votes cast is for the nominee: abstentions are not votes cast."""
        return self.votes[0] > self.votes[1]


@dataclass(frozen=True)
class Published:
    """A meeting's figures, in shares. DoesNotFoot if a row does not add up to the shares present."""

    source: str
    outstanding: int
    present: int
    broker_non_votes: int
    nominees: tuple[Nominee, ...]

    def __post_init__(self) -> None:
        for nominee in self.nominees:
            if sum(nominee.votes) + self.broker_non_votes != self.present:
                raise DoesNotFoot(f"{nominee.name}: votes and broker non-votes are not the {self.present} present")
        if not 0 < self.voting <= self.present <= self.outstanding:
            raise DoesNotFoot(f"{self.present} shares cannot be present of {self.outstanding}")

    @property
    def voting(self) -> int:
        """Shares that vote on the nominees, if only to abstain."""
        return self.present - self.broker_non_votes

    @property
    def absent(self) -> int:
        return self.outstanding - self.present

    @property
    def result(self) -> dict[str, dict[str, int]]:
        """The figures in the form of a result's `contests`."""
        return {nominee.id: dict(zip(CHOICES, nominee.votes, strict=True)) for nominee in self.nominees}


def published() -> Published:
    """The meeting that the demo votes again."""
    table = json.loads(files("infra.demo").joinpath(FILE).read_text(encoding="utf-8"))
    non_votes = {row["broker_non_votes"] for row in table["rows"]}
    if len(non_votes) != 1:
        raise DoesNotFoot("the rows name different broker non-votes")
    return Published(
        source=table["source"],
        outstanding=table["shares_outstanding"],
        present=table["shares_present"],
        broker_non_votes=non_votes.pop(),
        nominees=tuple(nominee_of(row) for row in table["rows"]),
    )


def nominee_of(row: dict[str, object]) -> Nominee:
    name = str(row["nominee"])
    return Nominee(name.lower().replace(" ", "-"), name, tuple(int(str(row[choice])) for choice in CHOICES))
