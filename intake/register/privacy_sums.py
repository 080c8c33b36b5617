"""Subset sums, exactly: which parts of a list of holdings add up to a total.

Accounts with equal holdings are alike, so a part is a vector: of every kind of holding, how many accounts of it. A
vector is packed into one integer, `width` bits a kind, so that adding and comparing vectors are single operations. All
vectors of a sum are found by meeting in the middle: the parts of one half of the kinds, by their sums, meet the parts
of the other half whose sums are missing; it takes the square root of the number of all parts (Horowitz and Sahni,
"Computing partitions with applications to the knapsack problem", 1974).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_


class OutOfWork(Exception):
    """The search was given up: what it has shown stands, that it has shown all is not known."""


class Work:
    """How many steps a search may still take; counted, not timed, so that the same search always ends at the same
    place.
    """

    def __init__(self, steps: int) -> None:
        self.left = steps

    def spend(self, steps: int) -> None:
        """OutOfWork when there are not as many left."""
        self.left -= steps
        if self.left < 0:
            raise OutOfWork


@dataclass(frozen=True)
class Kinds:
    """The kinds of holdings: `values[t]` is what one account of kind t adds to a sum, `width` the bits that hold how
    many.
    """

    values: tuple[int, ...]
    width: int

    @property
    def bits(self) -> int:
        return self.width * len(self.values)

    def one(self, t: int) -> int:
        """The vector of one account of kind t."""
        return 1 << t * self.width

    def number(self, vector: int, t: int) -> int:
        """How many accounts of kind t are in a vector."""
        return vector >> t * self.width & (1 << self.width) - 1

    def total(self, vector: int) -> int:
        return sum(value * self.number(vector, t) for t, value in enumerate(self.values))


@dataclass(frozen=True)
class Parts:
    """All vectors of one sum, as two halves: every left one meets the right ones that `total` leaves over, at least
    one. An entry is (sum << bits) + vector.
    """

    left: list[int]
    right: list[int]
    total: int
    bits: int

    def __bool__(self) -> bool:
        return bool(self.left)

    def __len__(self) -> int:
        right = Counter(entry >> self.bits for entry in self.right)
        return sum(right[self.total - (entry >> self.bits)] for entry in self.left)

    def __iter__(self) -> Iterator[int]:
        vectors = (1 << self.bits) - 1
        by_sum = defaultdict(list)
        for entry in self.left:
            by_sum[entry >> self.bits].append(entry)
        for entry in self.right:
            for other in by_sum[self.total - (entry >> self.bits)]:
                yield entry + other & vectors

    @property
    def always(self) -> int:
        """The bits that every vector has. As no number in a vector exceeds how many accounts there are, a kind is
        wholly in every part exactly if the number here is all of them.
        """
        return (reduce(and_, self.left) | reduce(and_, self.right)) & (1 << self.bits) - 1

    @property
    def ever(self) -> int:
        """The bits that any vector has: a kind is in no part exactly if its number here is 0."""
        return (reduce(or_, self.left) | reduce(or_, self.right)) & (1 << self.bits) - 1


def parts(kinds: Kinds, within: int, total: int, work: Work) -> Parts:
    """Every vector inside the vector `within` whose values add up to `total`. OutOfWork."""
    bits = kinds.bits
    most = total + 1 << bits
    left, right = [0], [0]
    for t, value in enumerate(kinds.values):
        if value > total or not (number := kinds.number(within, t)):
            continue
        if len(left) > len(right):
            left, right = right, left
        work.spend(len(left) * (number + 1))
        step = (value << bits) + kinds.one(t)
        # What exceeds the total already cannot come back to it.
        left = [more for i in range(number + 1) for entry in left if (more := entry + i * step) < most]
    work.spend(len(left) + len(right))
    sums = {entry >> bits for entry in left}
    right = [entry for entry in right if total - (entry >> bits) in sums]
    wanted = {total - (entry >> bits) for entry in right}
    left = [entry for entry in left if entry >> bits in wanted]
    return Parts(left, right, total, bits)


@dataclass(frozen=True)
class Way:
    """Divisions of the accounts in `within` into groups: some groups fixed, of the last two the smaller one being any
    of `free` and the other its complement in `rest`.
    """

    kinds: Kinds
    fixed: dict[int, int]
    smaller: int
    always: int
    ever: int
    rest: int

    def keeps(self, t: int, group: int, number: int) -> bool:
        """Whether in all these divisions `number` accounts of kind t, all there are, stand in this group."""
        if group in self.fixed:
            return self.kinds.number(self.fixed[group], t) == number
        if group == self.smaller:
            return self.kinds.number(self.always, t) == number
        return self.kinds.number(self.ever, t) == 0 and self.kinds.number(self.rest, t) == number


def ways(kinds: Kinds, within: int, totals: Sequence[int], work: Work) -> Iterator[Way]:
    """Every division of the accounts in `within` into groups with these totals, at least two of them, which must add
    up to all of `within`; many divisions a `Way`. OutOfWork.
    """
    order = sorted(range(len(totals)), key=lambda group: totals[group])
    return _ways(kinds, within, totals, order, {}, work)


def _ways(
    kinds: Kinds, within: int, totals: Sequence[int], order: list[int], fixed: dict[int, int], work: Work
) -> Iterator[Way]:
    group, *others = order
    found = parts(kinds, within, totals[group], work)
    if not found:
        return
    if len(others) == 1:
        yield Way(kinds, fixed, group, found.always, found.ever, within)
        return
    for vector in found:
        work.spend(1)
        yield from _ways(kinds, within - vector, totals, others, {**fixed, group: vector}, work)
