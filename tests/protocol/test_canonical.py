"""Canonical JSON: every value has one text, and no other text is read."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.protocol.canonical import MAX_DEPTH, MAX_INTEGER, canonical, parse_canonical
from audit.protocol.refused import Refused
from tests.protocol.sample import refused

ascii_names = st.text(st.characters(codec="ascii"), max_size=8)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    texts | st.integers(-MAX_INTEGER, MAX_INTEGER),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ascii_names, inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_round_trip(value: Any) -> None:
    assert parse_canonical(canonical(value)) == value
    assert canonical(parse_canonical(canonical(value))) == canonical(value)


@given(values)
def test_any_other_text_of_the_value_is_refused(value: Any) -> None:
    texts = [json.dumps(value, ensure_ascii=False, indent=1), json.dumps(value, ensure_ascii=False) + " "]
    for text in texts:
        if text.encode() != canonical(value):
            with refused("not-canonical"):
                parse_canonical(text.encode())


@given(st.binary(max_size=30))
def test_whatever_is_read_is_canonical(raw: bytes) -> None:
    with suppress(Refused):
        assert canonical(parse_canonical(raw)) == raw


def test_names_are_sorted_and_nothing_stands_between() -> None:
    assert (
        canonical({"b": [1, {"d": 4, "c": "\u20ac"}], "a": "\n"}) == b'{"a":"\\n","b":[1,{"c":"\xe2\x82\xac","d":4}]}'
    )


@pytest.mark.parametrize("value", [1.0, True, False, None, b"", {"a": [0, {"b": None}]}])
def test_other_types_have_no_text(value: Any) -> None:
    with refused("wrong-type"):
        canonical(value)


def test_the_path_of_what_is_wrong_is_named() -> None:
    with refused("wrong-type", "a[1].b"):
        canonical({"a": [0, {"b": None}]})
    with refused("out-of-range", "a.b"):
        canonical({"a": {"b": MAX_INTEGER + 1}})


def test_a_lone_surrogate_is_no_character() -> None:
    with refused("syntax"):
        canonical("\ud800")


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 800, 900, 950, 970, 985, 994, 1000, 100_000])
@pytest.mark.parametrize("inner", [b"", b"1", b"null"])
def test_depth_is_no_way_to_crash(depth: int, inner: bytes) -> None:
    with refused("syntax"):
        parse_canonical(b'{"contests":' + b"[" * (depth - 1) + inner + b"]" * (depth - 1) + b"}")


@pytest.mark.parametrize("frames", [0, 300, 600, 850])
@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1, 500, 900])
def test_what_is_read_can_be_written_however_deep_the_stack(depth: int, frames: int) -> None:
    def deeper(left: int, act: Any, argument: Any) -> Any:
        return deeper(left - 1, act, argument) if left else act(argument)

    raw = b"[" * depth + b"]" * depth
    try:
        value = parse_canonical(raw)
    except Refused as refusal:
        assert (depth > MAX_DEPTH, refusal.reason) == (True, "syntax")
    else:
        assert (depth, deeper(frames, canonical, value)) == (MAX_DEPTH, raw)
    with refused("syntax"):
        value = "inmost"
        for _ in range(depth + 1):
            value = {"x": value}
        deeper(frames, canonical, value)
