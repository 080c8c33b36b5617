"""Every total below the bound is found, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.protocol.discrete_log import LARGEST_BOUND, DiscreteLog
from audit.protocol.group import G
from tests.protocol.sample import element, refused

BOUND = 1_000_003
LOGARITHM = DiscreteLog(BOUND)


@given(st.integers(0, BOUND - 1))
def test_totals_are_found(n: int) -> None:
    assert LOGARITHM.find(n * G) == n


@pytest.mark.parametrize("searches", [1, 3, 28, 1000])
@pytest.mark.parametrize("bound", [1, 2, 3, 4, 5, 9, 10, 100])
def test_small_bounds_to_their_edges(bound: int, searches: int) -> None:
    logarithm = DiscreteLog(bound, searches)
    assert [logarithm.find(n * G) for n in range(bound)] == list(range(bound))
    for beyond in (bound, bound + 1, -1):
        with refused("wrong-total"):
            logarithm.find(beyond * G)


def test_what_is_no_total() -> None:
    for wrong in (BOUND * G, -G, element("no total")):
        with refused("wrong-total"):
            LOGARITHM.find(wrong)


@pytest.mark.parametrize("bound", [0, -1, LARGEST_BOUND + 1])
def test_bounds_out_of_range(bound: int) -> None:
    with pytest.raises(ValueError, match="2\\^40"):
        DiscreteLog(bound)
