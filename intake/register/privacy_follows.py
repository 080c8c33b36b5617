"""What follows from the totals of one vote, for who knows the register and reads the log.

Known are every account's weight; of every class, how many ballots were cast and, unless it is withheld, the weight
present; of every item that is not withheld, the votes for each choice. Where the weight present is withheld, so are the
votes of those present who chose nothing, but to one who knows who they were. What an account did *follows* if it did
the same in every vote of these accounts that has these totals, and is *open* if in two such votes it did different
things. Up to about 40 accounts all such votes are searched: every set of accounts that could have been present, and for
each item every division of it into the choices. Accounts of equal weight are alike, so one that did another thing than
its equal is open.

Given who was present, the items have nothing to do with each other: the votes that have all totals are then all
combinations of those that have each item's. So the search is first made for who was really present, which also shows
what follows for somebody who knows that already; only for others that could have been present must all items be asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import combinations

from intake.register.privacy_sums import Kinds, OutOfWork, Way, Work, parts, ways
from intake.register.privacy_votes import ABSENT, Vote

STEPS = 3_000_000
"""The work on one item given who was present; three times that on all others that could have been, but where the weight
present is withheld a thirtieth: of more than two dozen accounts there are then too many to look at all of them.
"""


class Verdict(StrEnum):
    """Both others are proven; undecided is what was neither, because the search was given up."""

    FOLLOWS = "follows"
    OPEN = "open"
    UNDECIDED = "undecided"


@dataclass
class Findings:
    """`votes[account][item]` for judged accounts that cast a ballot and the items of their class, `absences[account]`
    for those that cast none, `everything`: whether all ballots' votes follow.
    """

    votes: dict[int, dict[int, Verdict]] = field(default_factory=dict)
    absences: dict[int, Verdict] = field(default_factory=dict)
    everything: Verdict = Verdict.UNDECIDED

    def exposed(self, account: int) -> Verdict:
        """Whether the account's vote follows on at least one item."""
        verdicts = self.votes[account].values()
        if Verdict.FOLLOWS in verdicts:
            return Verdict.FOLLOWS
        return Verdict.UNDECIDED if Verdict.UNDECIDED in verdicts else Verdict.OPEN


@dataclass(frozen=True)
class Judgement:
    """What follows from the totals alone, and what for somebody who also knows who was present."""

    alone: Findings
    attended: Findings


class Judge:
    """Searches all votes that have the totals of one. Kind t is of class `classes[t]` and holds `kinds.values[t]`
    votes.
    """

    def __init__(self, vote: Vote, steps: int = STEPS) -> None:
        self.vote, self.steps = vote, steps
        accounts = vote.electorate.accounts
        unit = vote.electorate.unit
        alike = sorted({(a.weight // unit, a.share_class) for a in accounts}, reverse=True)
        self.kind = [alike.index((a.weight // unit, a.share_class)) for a in accounts]
        self.classes = [share_class for _, share_class in alike]
        size = [self.kind.count(t) for t in range(len(alike))]
        self.kinds = Kinds(tuple(weight for weight, _ in alike), max(size).bit_length())
        self.all = self._vector(range(len(accounts)))
        self.present = self._vector(i for i, row in enumerate(vote.rows) if row is not None)
        self.items = range(len(vote.electorate.items))
        self.totals = [[total // unit for total in vote.totals(j)] for j in self.items]
        self.asked = [self._asked(j) for j in self.items]
        self.absent = {c: self._sum_of(c, self.all - self.present) for c in vote.electorate.classes}
        # Kinds whose present accounts all did the same on the item, with what they did.
        self.same = [self._same(j) for j in self.items]

    def judge(self) -> Judgement:
        """Both judgements. Nothing raised: what cannot be searched in `steps` is undecided."""
        fixed = [self._given_attendance(j) for j in self.items]
        return Judgement(self._attendance_open(fixed), self._attended(fixed))

    def attended(self) -> Findings:
        """What follows for one who knows who was present: searched also where many were not."""
        return self._attended([self._given_attendance(j) for j in self.items])

    def _attended(self, fixed: list[tuple[set[int], bool]]) -> Findings:
        return self._findings([still for still, _ in fixed], [done for _, done in fixed])

    def _given_attendance(self, j: int) -> tuple[set[int], bool]:
        """The kinds whose vote on item j was not shown to be open, given who was present, and whether that proves that
        it follows.
        """
        still = set(self.same[j])
        work = Work(self.steps)
        within = self.present & self.asked[j]
        try:
            for way in self._exchanges(j, within, work):
                self._strike(j, way, self.present, still)
            for way in self._ways(j, self.present, work):
                if not still:
                    break
                self._strike(j, way, self.present, still)
        except OutOfWork:
            return still, False
        return still, True

    def _attendance_open(self, fixed: list[tuple[set[int], bool]]) -> Findings:
        """What follows if it is not known who was present. What is open for one who knows that is open here."""
        whole = {t for t in range(len(self.classes)) if self._number(self.all, t) == self._number(self.present, t)}
        still = [{t for t in kept if t in whole} for kept, _ in fixed]
        gone = {t for t in range(len(self.classes)) if self._number(self.present, t) == 0}
        listed = True
        work = Work(self.steps // 30 if self.vote.hidden else 3 * self.steps)
        try:
            for present in self._attendances(work):
                if not gone and not any(still):
                    break
                if present != self.present:
                    self._search(present, still, gone, work)
        except OutOfWork:
            listed = False
        return self._findings(still, [listed and done for _, done in fixed], gone, listed)

    def _search(self, present: int, still: list[set[int]], gone: set[int], work: Work) -> None:
        """Strikes out what is open because `present` could have been those present, if every item's totals allow it."""
        if any(next(self._ways(j, present, work), None) is None for j in self.items):
            return
        gone -= {t for t in gone if self._number(present, t)}
        for j in self.items:
            for way in self._ways(j, present, work):
                self._strike(j, way, present, still[j])
                if not still[j]:
                    break

    def _strike(self, j: int, way: Way, present: int, still: set[int]) -> None:
        """Strikes out the kinds that a division of those present moves."""
        for t in [*still]:
            number = self._number(self.all if present != self.present else present, t)
            if not way.keeps(t, self.same[j][t], number):
                still.remove(t)

    def _ways(self, j: int, present: int, work: Work) -> Iterator[Way]:
        totals, within = self.totals[j], present & self.asked[j]
        if present != self.present and not self.vote.weighed(j):
            # Who else could have been present may weigh more or less: as much less or more then chose nothing.
            chosen = totals[:-1]
            totals = [*chosen, self.kinds.total(within) - sum(chosen)]
        return ways(self.kinds, within, totals, work) if totals[-1] >= 0 else iter(())

    def _exchanges(self, j: int, within: int, work: Work) -> Iterator[Way]:
        """Divisions in which only two groups exchange accounts: found soon where there are many."""
        vectors = [self._vector(self._in_group(j, group)) for group in range(len(self.totals[j]))]
        for one, other in combinations(range(len(vectors)), 2):
            smaller = min(one, other, key=lambda group: self.totals[j][group])
            both = vectors[one] + vectors[other]
            found = parts(self.kinds, both, self.totals[j][smaller], work)
            fixed = {group: vector for group, vector in enumerate(vectors) if group not in (one, other)}
            yield Way(self.kinds, fixed, smaller, found.always, found.ever, both)

    def _attendances(self, work: Work) -> Iterator[int]:
        """Every set of accounts that could have been present, by the ballots of each class and the weight present of
        each whose weight is published.
        """
        # Weights and numbers, class by class, are added up in one integer.
        low = len(self.kind).bit_length()
        room = self.kinds.total(self.all).bit_length() + low
        place = {c: i * room for i, c in enumerate(self.absent)}
        weights = [0 if c in self.vote.hidden else v for v, c in zip(self.kinds.values, self.classes, strict=True)]
        values = [(weight << low) + 1 << place[c] for weight, c in zip(weights, self.classes, strict=True)]
        kinds = Kinds(tuple(values), self.kinds.width)
        # The lighter side has fewer sets of its weight.
        side = min(self.present, self.all - self.present, key=kinds.total)
        for other in parts(kinds, self.all, kinds.total(side), work):
            work.spend(1)
            yield other if side == self.present else self.all - other

    def _findings(
        self, still: list[set[int]], done: list[bool], gone: set[int] | None = None, listed: bool = True
    ) -> Findings:
        """`gone`: the kinds whose absence was not shown to be open; None if who was absent is known."""
        findings = Findings()
        known = gone is None
        for i, row in enumerate(self.vote.rows):
            t = self.kind[i]
            if row is None:
                kept = gone is None or t in gone
                findings.absences[i] = self._verdict(kept, known or listed or self._absence_by_size(t))
            else:
                findings.votes[i] = {
                    j: self._verdict(t in still[j], done[j] or self._by_size(j, t, known))
                    for j in self.items
                    if self.classes[t] in self.vote.electorate.items[j].classes
                }
        findings.everything = everything(findings)
        return findings

    @staticmethod
    def _verdict(kept: bool, proven: bool) -> Verdict:
        if not kept:
            return Verdict.OPEN
        return Verdict.FOLLOWS if proven else Verdict.UNDECIDED

    def _by_size(self, j: int, t: int, known: bool) -> bool:
        """Whether kind t weighs more than every group but its own, and so cannot stand in another."""
        value, group = self.kinds.values[t], self.same[j].get(t)
        here = known or (self.vote.weighed(j) and value > self.absent[self.classes[t]][0])
        return here and all(value > total for g, total in enumerate(self.totals[j]) if g != group)

    def _absence_by_size(self, t: int) -> bool:
        """Whether kind t weighs more than every group of some item of its class."""
        asked = [j for j in self.items if self.classes[t] in self.vote.electorate.items[j].classes]
        return any(self.vote.weighed(j) and self.kinds.values[t] > max(self.totals[j]) for j in asked)

    def _same(self, j: int) -> dict[int, int]:
        did: dict[int, set[int]] = {}
        for i, row in enumerate(self.vote.rows):
            if row is not None and self.classes[self.kind[i]] in self.vote.electorate.items[j].classes:
                did.setdefault(self.kind[i], set()).add(self.vote.group(i, j))
        return {t: groups.pop() for t, groups in did.items() if len(groups) == 1}

    def _in_group(self, j: int, group: int) -> Iterator[int]:
        asked = self.vote.electorate.items[j].classes
        for i in range(len(self.kind)):
            if self.vote.group(i, j) == group != ABSENT and self.classes[self.kind[i]] in asked:
                yield i

    def _asked(self, j: int) -> int:
        """All bits of the kinds that item j asks."""
        full = (1 << self.kinds.width) - 1
        asked = self.vote.electorate.items[j].classes
        return sum(full * self.kinds.one(t) for t, c in enumerate(self.classes) if c in asked)

    def _sum_of(self, share_class: str, vector: int) -> tuple[int, int]:
        """The weight and the number of a class's accounts in a vector."""
        numbers = [(t, self._number(vector, t)) for t, c in enumerate(self.classes) if c == share_class]
        return sum(self.kinds.values[t] * number for t, number in numbers), sum(number for _, number in numbers)

    def _vector(self, accounts: Iterable[int]) -> int:
        return sum(self.kinds.one(self.kind[i]) for i in accounts)

    def _number(self, vector: int, t: int) -> int:
        return self.kinds.number(vector, t)


def everything(findings: Findings) -> Verdict:
    """Whether the votes of all judged accounts on all items whose totals are published follow."""
    verdicts = {verdict for items in findings.votes.values() for verdict in items.values()}
    if Verdict.OPEN in verdicts:
        return Verdict.OPEN
    return Verdict.UNDECIDED if Verdict.UNDECIDED in verdicts else Verdict.FOLLOWS
