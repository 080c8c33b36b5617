"""t shares of a polynomial give back its secret; commitments open it to nobody and bind it for everybody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.protocol.group import ORDER, G, sum_elements
from audit.protocol.polynomial import commit, evaluate, evaluate_committed, lagrange_at_zero
from tests.protocol.sample import refused

polynomials = st.lists(st.integers(0, ORDER - 1), min_size=1, max_size=5)


@given(polynomials, st.data())
def test_any_t_shares_give_the_secret(f: list[int], data: st.DataObject) -> None:
    indices = data.draw(st.lists(st.integers(1, 50), min_size=len(f), max_size=len(f) + 2, unique=True))
    factors = lagrange_at_zero(indices)
    assert sum(factor * evaluate(f, j) for factor, j in zip(factors, indices, strict=True)) % ORDER == f[0]
    A = commit(f)
    assert sum_elements(n * evaluate_committed(A, j) for n, j in zip(factors, indices, strict=True)) == f[0] * G


@given(st.lists(st.integers(1, ORDER - 1), min_size=2, max_size=4))
def test_fewer_shares_give_something_else(f: list[int]) -> None:
    indices = list(range(1, len(f)))
    factors = lagrange_at_zero(indices)
    assert sum(factor * evaluate(f, j) for factor, j in zip(factors, indices, strict=True)) % ORDER != f[0]


@given(polynomials, st.integers(0, 2**64))
def test_a_share_matches_its_commitments(f: list[int], j: int) -> None:
    assert evaluate_committed(commit(f), j) == evaluate(f, j) * G
    assert evaluate_committed(commit(f), j) != (evaluate(f, j) + 1) * G


@pytest.mark.parametrize(
    ("indices", "reason"), [([1, 2, 1], "duplicate"), ([0, 1], "out-of-range"), ([ORDER], "out-of-range")]
)
def test_wrong_indices_are_refused(indices: list[int], reason: str) -> None:
    with refused(reason):
        lagrange_at_zero(indices)
