"""Polynomials over the scalars: how a secret is shared among n so that any t can use it (Shamir, Feldman).

A dealer's secret is f(0) of f(x) = a_0 + a_1 x + ... + a_{t-1} x^{t-1}; trustee j holds f(j). The commitments A_k = a_k
G let everybody compute f(j) G, and so check a share, without learning it. t values give back f(0) by Lagrange's
formula, t-1 say nothing about it. Indices j count from 1: f(0) is the secret itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from audit.protocol.group import IDENTITY, ORDER, Element, G
from audit.protocol.refused import Refused


def evaluate(coefficients: Sequence[int], j: int) -> int:
    """f(j) = sum a_k j^k mod l."""
    value = 0
    for a in reversed(coefficients):
        value = (value * j + a) % ORDER
    return value


def commit(coefficients: Sequence[int]) -> tuple[Element, ...]:
    """A_k = a_k G, one for each coefficient."""
    return tuple(a * G for a in coefficients)


def evaluate_committed(commitments: Sequence[Element], j: int) -> Element:
    """f(j) G = sum j^k A_k."""
    value = IDENTITY
    for A in reversed(commitments):
        value = j * value + A
    return value


def lagrange_at_zero(indices: Sequence[int]) -> list[int]:
    """lambda_j = prod m / (m - j) over the other indices m, so that f(0) = sum lambda_j f(j); in the order of
    `indices`.

    Refused `duplicate` if an index stands there twice, `out-of-range` if one is not in [1, l).
    """
    if len(set(indices)) != len(indices):
        raise Refused("duplicate", "a share counts once: an index stands there twice")
    if not all(1 <= j < ORDER for j in indices):
        raise Refused("out-of-range", "indices of trustees count from 1")
    return [_lagrange(j, indices) for j in indices]


def _lagrange(j: int, indices: Sequence[int]) -> int:
    numerator = denominator = 1
    for m in indices:
        if m != j:
            numerator = numerator * m % ORDER
            denominator = denominator * (m - j) % ORDER
    return numerator * pow(denominator, -1, ORDER) % ORDER
