"""Which totals an election publishes, by how many of each class have voted: the rule by which trustees withhold sums.

How many voted, and in which class, is public, so what is withheld is known before anything is decrypted; and as a
simulated turnout fixes the number of ballots of each class, it is the same for all votes simulated at it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

from audit.record.manifest import Manifest
from audit.record.withholding import decrypted
from intake.register.privacy_agenda import Agenda
from intake.register.privacy_votes import Vote


@dataclass(frozen=True)
class Published:
    """`contests`: whose totals are published; `hidden`: the classes whose weight present is not. `withheld`: the ids of
    contests that somebody could vote on and whose totals are not published.
    """

    contests: tuple[str, ...]
    hidden: frozenset[str]
    withheld: tuple[str, ...]

    def of(self, vote: Vote) -> Vote:
        """The same ballots, of which no more than this is published."""
        items = [j for j, item in enumerate(vote.electorate.items) if item.contest in self.contests]
        return replace(vote.over(items), hidden=self.hidden)


def published(agenda: Agenda, ballots: Mapping[str, int], minimum: int | None = None) -> Published:
    """What is published of a vote with these numbers of ballots, by the agenda's minimum or by another."""
    if minimum is not None:
        agenda = replace(agenda, minimum_pseudonyms=minimum)
    # Of the manifest only classes, contests and the minimum are read.
    found = decrypted(cast("Manifest", agenda), ballots)
    voting = [c for c, number in ballots.items() if number]
    asked = [contest.id for contest in agenda.contests if any(c in voting for c in contest.classes)]
    withheld = tuple(contest for contest in asked if contest not in found.contests)
    return Published(found.contests, frozenset(c for c in voting if c not in found.classes), withheld)
