"""What all runs under faults come to: how many there were, what befell the zones, how many acknowledged entries were
looked for, and how many were not found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass

KEY = "faults"
"""Under which a test's report carries its part."""


@dataclass(frozen=True)
class Totals:
    """`entries` were acknowledged, and each was looked for in every custodian's log; `lost` were not there."""

    runs: int = 0
    faults: int = 0
    entries: int = 0
    lost: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))

    def __str__(self) -> str:
        return f"{self.runs} runs, {self.faults} faults, {self.entries} entries acknowledged, {self.lost} lost"

    def as_list(self) -> list[int]:
        return list(astuple(self))


def total(properties: Iterable[tuple[str, object]]) -> Totals:
    """The sum over the properties of all reports."""
    sum_of_all = Totals()
    for key, value in properties:
        if key == KEY and isinstance(value, Sequence):
            sum_of_all += Totals(*map(int, value))
    return sum_of_all
