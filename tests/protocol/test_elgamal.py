"""Ciphertexts add and scale as what they hold, and only two canonical elements are one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.protocol.elgamal import ZERO, Ciphertext, encrypt
from audit.protocol.group import IDENTITY, ORDER, G, b64
from tests.protocol.sample import Y, opened, refused

scalars = st.integers(0, ORDER - 1)
votes = st.integers(0, 2**40)


@given(votes, votes, scalars, scalars, st.integers(-3, 2**32))
def test_homomorphic(m: int, n: int, r: int, t: int, a: int) -> None:
    E, F = encrypt(m, Y, r), encrypt(n, Y, t)
    added, taken, scaled = E + F, E - F, a * E
    assert added == encrypt(m + n, Y, r + t)
    assert taken == encrypt(m - n, Y, r - t)
    assert scaled == encrypt(a * m, Y, a * r)
    assert E + ZERO == E and E - E == ZERO
    assert opened(E) == m * G


@given(votes, scalars)
def test_encodings_round_trip(m: int, r: int) -> None:
    E = encrypt(m, Y, r)
    assert Ciphertext.from_bytes(E.raw) == E == Ciphertext.from_json(E.to_json())


def test_the_identity_is_a_ciphertext() -> None:
    assert encrypt(0, Y, 0) == ZERO == Ciphertext.from_bytes(bytes(64))


@pytest.mark.parametrize(
    ("pair", "reason", "field"),
    [
        ("ab", "wrong-type", "C"),
        ([b64(G.raw)], "wrong-length", "C"),
        ([b64(G.raw)] * 3, "wrong-length", "C"),
        ([b64(G.raw), 7], "wrong-type", "C[1]"),
        ([b64(bytes(31)), b64(G.raw)], "wrong-length", "C[0]"),
        ([b64(IDENTITY.raw), b64(b"\xff" * 32)], "bad-element", "C[1]"),
        ([b64(G.raw) + "=", b64(G.raw)], "bad-encoding", "C[0]"),
    ],
)
def test_what_is_no_ciphertext(pair: Any, reason: str, field: str) -> None:
    with refused(reason, field):
        Ciphertext.from_json(pair, "C")


@pytest.mark.parametrize("length", [0, 63, 65])
def test_other_lengths_are_refused(length: int) -> None:
    with refused("wrong-length"):
        Ciphertext.from_bytes(bytes(length))
