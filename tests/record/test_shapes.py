"""Shapes: what fits is parsed, what does not is refused with the path of the field at fault."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.bodies import BODIES
from audit.record.shapes import Shape, array, distinct, integer, octets, one_of, only, record, string, table

JSON = st.recursive(
    st.integers(-3, 3) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=8,
)


def expect(shape: Shape, value: Any, reason: str, field: str) -> None:
    with pytest.raises(Refused) as caught:
        shape(value, "at")
    assert (caught.value.reason, caught.value.field) == (reason, field)


@given(st.binary(max_size=40))
def test_octets_are_read_back(raw: bytes) -> None:
    assert octets(len(raw))(b64(raw), "") == raw == octets(None)(b64(raw), "")
    expect(octets(len(raw) + 1), b64(raw), "wrong-length", "at")


@given(st.integers(), st.integers(0, 9), st.integers(10, 20))
def test_an_integer_within_its_bounds(value: int, least: int, most: int) -> None:
    if least <= value <= most:
        assert integer(least, most)(value, "") == value
    else:
        expect(integer(least, most), value, "out-of-range", "at")


PAIR = record(a=array(integer(0, 9), 1, 2), b=table(one_of("x", "y")))


@pytest.mark.parametrize(
    "value, reason, field",
    [
        ([], "wrong-type", "at"),
        ({"a": [1]}, "missing-field", "at.b"),
        ({"a": [1], "b": {}, "c": 1}, "unknown-field", "at.c"),
        ({"a": [], "b": {}}, "wrong-length", "at.a"),
        ({"a": [1, 2, 3], "b": {}}, "wrong-length", "at.a"),
        ({"a": [1, 10], "b": {}}, "out-of-range", "at.a[1]"),
        ({"a": [1, True], "b": {}}, "wrong-type", "at.a[1]"),
        ({"a": [1], "b": {"k": "z"}}, "syntax", "at.b.k"),
        ({"a": [1], "b": {"k": 1}}, "wrong-type", "at.b.k"),
    ],
)
def test_the_path_of_what_does_not_fit(value: Any, reason: str, field: str) -> None:
    assert PAIR({"a": [1], "b": {"k": "x"}}, "") == {"a": (1,), "b": {"k": "x"}}
    expect(PAIR, value, reason, field)


@pytest.mark.parametrize("text, fits", [("ab", True), ("", False), ("abcd", False), ("AB", False), ("ab\n", False)])
def test_a_string_matches_as_a_whole(text: str, fits: bool) -> None:
    shape = string(3, "[a-z]*", least=1)
    if fits:
        assert shape(text, "") == text
    else:
        with pytest.raises(Refused):
            shape(text, "")


@given(st.sampled_from(sorted(BODIES)), JSON)
def test_no_body_is_made_of_something_else(kind: str, value: Any) -> None:
    with pytest.raises(Refused):
        BODIES[kind](value, "")


def test_a_repeated_value_and_surplus_names() -> None:
    distinct((1, 2), "p")
    with pytest.raises(Refused) as caught:
        distinct((1, 2, 1), "p")
    assert (caught.value.reason, caught.value.field) == ("duplicate", "p[2]")
    only({"a": 1}, {"a"}, "p")
    for value, reason in (({"a": 1, "b": 2}, "unknown-field"), ({}, "missing-field")):
        with pytest.raises(Refused) as caught:
            only(value, {"a"}, "p")
        assert caught.value.reason == reason
