"""The group is a group, its identity is handled, and nothing but canonical encodings is let in."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from audit.protocol.group import (
    IDENTITY,
    ORDER,
    Element,
    G,
    b64,
    element_from,
    hash_to_element,
    parse_element,
    parse_scalar,
    scalar_bytes,
    scalar_from,
    sum_elements,
    unb64,
    wide_scalar,
)
from audit.protocol.refused import Refused
from tests.protocol.sample import refused

scalars = st.one_of(st.integers(0, ORDER - 1), st.sampled_from([0, 1, 2, ORDER - 1, ORDER - 2]))
elements = st.one_of(
    st.binary(min_size=64, max_size=64).map(hash_to_element), scalars.map(lambda n: n * G), st.just(IDENTITY)
)


@given(elements, elements, elements)
def test_addition(P: Element, Q: Element, R: Element) -> None:
    assert (P + Q) + R == P + (Q + R)
    assert P + Q == Q + P
    assert P + IDENTITY == P
    assert P - Q == P + -Q
    assert P - P == IDENTITY == P + -P


@given(scalars, scalars, elements, elements)
def test_multiplication(m: int, n: int, P: Element, Q: Element) -> None:
    assert (m + n) * P == m * P + n * P
    assert m * (n * P) == (m * n) * P
    assert m * (P + Q) == m * P + m * Q


@given(elements)
def test_small_and_negative_multiples(P: Element) -> None:
    assert 0 * P == IDENTITY == ORDER * P
    assert 1 * P == P
    assert 3 * P == P + P + P
    assert -1 * P == -P == (ORDER - 1) * P


@given(st.lists(elements, max_size=5))
def test_sum(terms: list[Element]) -> None:
    total = IDENTITY
    for term in terms:
        total = total + term
    assert sum_elements(terms) == total


@given(elements, scalars)
def test_encodings_round_trip(P: Element, n: int) -> None:
    assert parse_element(P.raw) == P == element_from(b64(P.raw))
    assert parse_scalar(scalar_bytes(n)) == n == scalar_from(b64(scalar_bytes(n)))
    assert hash(parse_element(P.raw)) == hash(P)


@given(st.binary(min_size=32, max_size=32))
def test_whatever_is_accepted_is_canonical(raw: bytes) -> None:
    try:
        P = parse_element(raw)
    except Refused as refusal:
        assert refusal.reason == "bad-element"
    else:
        assert (P + IDENTITY).raw == raw


@given(elements, st.integers(0, 255))
def test_a_flipped_bit_is_another_element_or_none(P: Element, bit: int) -> None:
    flipped = bytearray(P.raw)
    flipped[bit // 8] ^= 1 << bit % 8
    try:
        assert parse_element(bytes(flipped)) != P
    except Refused as refusal:
        assert refusal.reason == "bad-element"


@given(st.binary(max_size=40))
def test_base64url_round_trip(raw: bytes) -> None:
    assert unb64(b64(raw), len(raw)) == raw
    with refused("wrong-length"):
        unb64(b64(raw), len(raw) + 1)


@given(st.text(max_size=12))
def test_base64url_has_one_text_for_bytes(text: str) -> None:
    try:
        assert b64(unb64(text)) == text
    except Refused as refusal:
        assert refusal.reason == "bad-encoding"


@given(st.integers(ORDER, 2**256 - 1))
def test_scalars_not_reduced_are_refused(n: int) -> None:
    with refused("bad-scalar"):
        parse_scalar(n.to_bytes(32, "little"))


@given(elements.filter(lambda P: not P.is_identity))
def test_the_highest_bit_makes_no_second_encoding(P: Element) -> None:
    with refused("bad-element"):
        parse_element(P.raw[:31] + bytes([P.raw[31] | 0x80]))


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_other_lengths_are_refused(length: int) -> None:
    with refused("wrong-length"):
        parse_element(bytes(length))
    with refused("wrong-length"):
        parse_scalar(bytes(length))


def test_the_identity_only_where_it_may_stand() -> None:
    assert parse_element(bytes(32)).is_identity
    with refused("identity"):
        parse_element(bytes(32), identity_ok=False)
    with refused("identity"):
        element_from(b64(bytes(32)), identity_ok=False)


@given(st.binary(min_size=64, max_size=64), st.binary(min_size=64, max_size=64))
def test_derived_elements_differ(one: bytes, other: bytes) -> None:
    assume(one != other)
    digests = [hashlib.sha512(wide).digest() for wide in (one, other)]
    assert hash_to_element(digests[0]) != hash_to_element(digests[1])


@given(st.binary(min_size=64, max_size=64))
def test_a_wide_scalar_is_its_64_bytes_reduced(wide: bytes) -> None:
    assert wide_scalar(wide) == int.from_bytes(wide, "little") % ORDER
    with pytest.raises(ValueError, match="64 bytes"):
        wide_scalar(wide[1:])
