"""Subset sums: all parts of a total, and all divisions into totals, compared with trying all."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intake.register.privacy_sums import Kinds, OutOfWork, Work, parts, ways

holdings = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 3)), min_size=1, max_size=5)


def kinds_of(held: list[tuple[int, int]]) -> tuple[Kinds, int]:
    kinds = Kinds(tuple(value for value, _ in held), 2)
    return kinds, sum(number * kinds.one(t) for t, (_, number) in enumerate(held))


def every_part(kinds: Kinds, within: int) -> list[int]:
    numbers = [range(kinds.number(within, t) + 1) for t in range(len(kinds.values))]
    return [sum(n * kinds.one(t) for t, n in enumerate(chosen)) for chosen in product(*numbers)]


@given(holdings, st.integers(0, 60))
def test_parts_are_all_of_that_total(held: list[tuple[int, int]], total: int) -> None:
    kinds, within = kinds_of(held)
    found = parts(kinds, within, total, Work(10**6))
    true = [part for part in every_part(kinds, within) if kinds.total(part) == total]
    assert sorted(found) == sorted(true) and len(found) == len(true) and bool(found) == bool(true)
    for t, (_, number) in enumerate(held):
        if true and number:
            assert (kinds.number(found.always, t) == number) == all(kinds.number(p, t) == number for p in true)
            assert (kinds.number(found.ever, t) == 0) == all(kinds.number(p, t) == 0 for p in true)


@settings(max_examples=60)
@given(holdings, st.integers(0))
def test_ways_keep_what_every_division_keeps(held: list[tuple[int, int]], drawn: int) -> None:
    kinds, within = kinds_of(held)
    every = every_part(kinds, within)
    first = every[drawn % len(every)]
    others = every_part(kinds, within - first)
    second = others[drawn // len(every) % len(others)]
    totals = [kinds.total(v) for v in (first, second, within - first - second)]
    true = [
        (one, other, within - one - other)
        for one in every
        if kinds.total(one) == totals[0]
        for other in every_part(kinds, within - one)
        if kinds.total(other) == totals[1]
    ]
    found = list(ways(kinds, within, totals, Work(10**6)))
    for group, (t, (_, number)) in product(range(3), enumerate(held)):
        kept = all(kinds.number(division[group], t) == number for division in true)
        assert not number or all(way.keeps(t, group, number) for way in found) == kept


def test_a_search_stops_when_its_work_is_done() -> None:
    kinds = Kinds(tuple(2**i for i in range(30)), 1)
    with pytest.raises(OutOfWork):
        parts(kinds, (1 << 30) - 1, 2**29, Work(1000))
