"""What can be said of registers too large to search: that a vote follows because of its size, or that it is open.

Size: an account that weighs more than each of the other groups, the absent included, can stand in its own alone. That
is proven. Another vote with the same totals, in which the account did another thing, proves that it is open; such votes
are looked for by moving the account, then moving others, largest first, towards the old totals, and last by dividing
two dozen of the smaller accounts so that the totals come out exactly. Not finding one proves nothing: sampling shows
that votes are open, never that they follow. The weight present is kept even where it is withheld, for what is open so
is open; by size something then follows only for one who knows who took part.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import islice
from random import Random

from intake.register.privacy_follows import Findings, Judgement, Verdict, everything
from intake.register.privacy_sums import Kinds, Work, parts
from intake.register.privacy_votes import ABSENT, Vote

TAIL = 24
"""Accounts whose division is searched, so that 2^24 sums are tried."""
TRIES = 3
"""How often, for every account judged and twice more, another vote is looked for."""


class Sampler:
    """Looks for other votes with the same totals in which the accounts `judged` did other things."""

    def __init__(self, vote: Vote, judged: Sequence[int], rng: Random) -> None:
        self.vote, self.rng, self.judged = vote, rng, judged
        self.accounts = vote.electorate.accounts
        unit = vote.electorate.unit
        self.weights = [account.weight // unit for account in self.accounts]
        self.items = range(len(vote.electorate.items))
        self.totals = [[total // unit for total in vote.totals(j)] for j in self.items]
        self.members = {c: vote.electorate.of_class(c) for c in vote.electorate.classes}
        self.absent = {c: sum(self.weights[i] for i in self.members[c] if vote.rows[i] is None) for c in self.members}
        alike: dict[tuple[str, int], list[int]] = {}
        for i, account in enumerate(self.accounts):
            alike.setdefault((account.share_class, account.weight), []).append(i)
        self.alike = [alike[account.share_class, account.weight] for account in self.accounts]

    def judge(self) -> Judgement:
        """Both judgements, of the accounts judged."""
        given = [self._open_given_attendance(j) for j in self.items]
        moved = self._open_by_attendance(given)
        return Judgement(self._findings(given, moved, False), self._findings(given, set(), True))

    def _asked(self, account: int) -> list[int]:
        share_class = self.accounts[account].share_class
        return [j for j in self.items if share_class in self.vote.electorate.items[j].classes]

    def _by_size(self, account: int, j: int, attended: bool) -> bool:
        weight, group = self.weights[account], self.vote.group(account, j)
        here = attended or (self.vote.weighed(j) and weight > self.absent[self.accounts[account].share_class])
        return here and all(weight > total for g, total in enumerate(self.totals[j]) if g != group)

    def _absence_by_size(self, account: int) -> bool:
        asked = [j for j in self._asked(account) if self.vote.weighed(j)]
        return any(self.weights[account] > max(self.totals[j]) for j in asked)

    def _open_given_attendance(self, j: int) -> set[int]:
        """Judged accounts whose vote on item j is open even to one who knows who was present."""
        groups = {i: self.vote.group(i, j) for i in range(len(self.accounts)) if j in self._asked(i)}
        here = [i for i, group in groups.items() if group != ABSENT]
        found = {i for i in self.judged if i in here and len({groups[k] for k in self.alike[i]} - {ABSENT}) > 1}
        wanted = [i for i in self.judged if i in here and i not in found and not self._by_size(i, j, True)]
        for _ in range(TRIES * (len(wanted) + 2)):
            if not (pending := [i for i in wanted if i not in found]):
                break
            moving = self.rng.choice(pending)
            others = [g for g, total in enumerate(self.totals[j]) if g != groups[moving] and total]
            if not others:
                break
            pair = (groups[moving], self.rng.choice(others))
            pool = [i for i in here if groups[i] in pair]
            inside = {i for i in pool if groups[i] == pair[0]}
            # Others that are wanted move along now and then: one division found clears them all.
            moving_too = {i for i in pending if groups[i] in pair and self.rng.random() < 0.25}
            divided = self._divide(pool, self.weights, inside, self.totals[j][pair[0]], {moving} | moving_too)
            if divided is not None:
                found |= (divided ^ inside) & set(wanted)
        return found

    def _open_by_attendance(self, given: list[set[int]]) -> set[int]:
        """Judged accounts of which it is open whether they were present; then their votes are open too."""
        rows = self.vote.rows
        found = {i for i in self.judged if len({rows[k] is None for k in self.alike[i]}) > 1}
        for share_class, members in self.members.items():
            wanted = [i for i in members if i in self.judged and i not in found and self._wanted(i, given)]
            present = {i for i in members if rows[i] is not None}
            # Numbers of ballots count like weights: both are added up in one integer.
            low = len(members).bit_length()
            values = [(weight << low) + 1 for weight in self.weights]
            total = sum(values[i] for i in present)
            for _ in range(TRIES * (len(wanted) + 2)):
                if not (pending := [i for i in wanted if i not in found]):
                    break
                moving = {self.rng.choice(pending)} | {i for i in pending if self.rng.random() < 0.25}
                divided = self._divide(members, values, present, total, moving)
                if divided is not None and self._has_totals(share_class, divided):
                    found |= (divided ^ present) & set(wanted)
        return found

    def _wanted(self, account: int, given: list[set[int]]) -> bool:
        """Whether it matters to show that this account's presence is open, and could be."""
        if self.vote.rows[account] is None:
            return not self._absence_by_size(account)
        return any(account not in given[j] and not self._by_size(account, j, False) for j in self._asked(account))

    def _has_totals(self, share_class: str, present: set[int]) -> bool:
        """Whether the ballots of those present, and of all of the other classes, can have every item's totals: those
        who came anew join the largest group, then each of the others exchanges accounts with it.
        """
        asking = [j for j in self.items if share_class in self.vote.electorate.items[j].classes]
        return all(self._has_total(j, share_class, present) for j in asking)

    def _has_total(self, j: int, share_class: str, present: set[int]) -> bool:
        totals = self.totals[j]
        largest = max(range(len(totals)), key=lambda g: totals[g])
        groups: list[set[int]] = [set() for _ in totals]
        for i, account in enumerate(self.accounts):
            if j not in self._asked(i):
                continue
            was = self.vote.group(i, j)
            if i in present if account.share_class == share_class else was != ABSENT:
                groups[largest if was == ABSENT else was].add(i)
        for g, total in enumerate(totals):
            if g != largest:
                pool = sorted(groups[g] | groups[largest])
                tries = (self._divide(pool, self.weights, groups[g], total, ()) for _ in range(TRIES))
                divided = next((found for found in tries if found is not None), None)
                if divided is None:
                    return False
                groups[g], groups[largest] = divided, set(pool) - divided
        return True

    def _divide(
        self, pool: Sequence[int], values: Sequence[int], inside: set[int], total: int, moving: Collection[int]
    ) -> set[int] | None:
        """Accounts of the pool whose values add up to the total, near `inside` but for those that move; or None."""
        if not moving and sum(values[i] for i in inside) == total:
            return inside
        order = sorted((i for i in pool if i not in moving), key=lambda i: -values[i])
        fitting = [i for i in order if values[i] <= total]
        smaller = fitting[len(fitting) // 4 :]
        tail = set(self.rng.sample(smaller, min(TAIL, len(smaller))))
        divided = {i for i in pool if i not in tail and (i in inside) != (i in moving)}
        # The tail is to be about half inside, where it has most divisions.
        lacking = total - sum(values[i] for i in divided) - sum(values[i] for i in tail) // 2
        for i in order:
            if i in tail or self.rng.random() < 0.1:
                continue
            change = -values[i] if i in divided else values[i]
            if abs(lacking - change) < abs(lacking):
                lacking -= change
                divided ^= {i}
        rest = total - sum(values[i] for i in divided)
        if rest < 0:
            return None
        places = sorted(tail)
        kinds = Kinds(tuple(values[i] for i in places), 1)
        found = parts(kinds, (1 << len(places)) - 1, rest, Work(1 << TAIL))
        for vector in islice(found, 1):
            return divided | {i for t, i in enumerate(places) if kinds.number(vector, t)}
        return None

    def _findings(self, given: list[set[int]], moved: set[int], attended: bool) -> Findings:
        findings = Findings()
        for i in self.judged:
            if self.vote.rows[i] is None:
                by_size = attended or self._absence_by_size(i)
                findings.absences[i] = _verdict(i in moved and not attended, by_size)
            else:
                findings.votes[i] = {
                    j: _verdict(i in given[j] or i in moved, self._by_size(i, j, attended)) for j in self._asked(i)
                }
        # Only some accounts are judged: that all votes follow is never shown, but one that is open shows the contrary.
        all_open = everything(findings) is Verdict.OPEN or self._equals_differ(attended)
        findings.everything = Verdict.OPEN if all_open else Verdict.UNDECIDED
        return findings

    def _equals_differ(self, attended: bool) -> bool:
        """Whether two accounts of equal weight that are asked something did different things."""
        for alike in {tuple(alike) for alike in self.alike}:
            rows = {self.vote.rows[i] for i in alike if self._asked(i)}
            if len(rows - {None} if attended else rows) > 1:
                return True
        return False


def _verdict(is_open: bool, proven: bool) -> Verdict:
    if is_open:
        return Verdict.OPEN
    return Verdict.FOLLOWS if proven else Verdict.UNDECIDED
