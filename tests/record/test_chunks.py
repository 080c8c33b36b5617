"""Things too long for one entry: cut anywhere, handed in in any order, and whole again or refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.protocol.canonical import canonical
from audit.protocol.refused import Refused
from audit.record import chunks
from audit.record.chunks import Assembly, split, whole_hash
from tests.record.vectors import whole

HEAD = {"class": "common", "revision": 0}
ROW = st.fixed_dictionaries({"K": st.text("abc", max_size=8), "n": st.integers(0, 9)})
ROWS = st.lists(ROW, min_size=1, max_size=30)


def small(rows: list[dict[str, Any]], budget: int, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    monkeypatch.setattr(chunks, "BUDGET", budget)
    return list(split(HEAD, rows))


def joined(bodies: list[dict[str, Any]]) -> Assembly:
    assembly = Assembly()
    for body in bodies:
        assembly = assembly.with_chunk(body)
    return assembly


@given(ROWS, st.integers(1, 200), st.randoms())
def test_any_order_makes_the_same_whole(rows: list[dict[str, Any]], budget: int, random: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        bodies = small(rows, budget, patch)
    for body in bodies:
        assert len(body["rows"]) == 1 or sum(len(canonical(row)) + 1 for row in body["rows"]) <= budget
    random.shuffle(bodies)
    assembly = joined(bodies)
    assert assembly.complete
    assert whole(assembly) == rows


@given(ROWS, st.integers(1, 100))
def test_a_chunk_less_is_not_complete(rows: list[dict[str, Any]], budget: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        bodies = small(rows, budget, patch)
    assert not joined(bodies[:-1]).complete


THREE = [{"K": letter, "n": i} for i, letter in enumerate("abc")]
Change = Callable[[list[dict[str, Any]]], object]
CHANGES: dict[str, tuple[Change, str]] = {
    "a row changed": (lambda b: b[1]["rows"][0].update(n=9), "not-complete"),
    "two chunks swap rows": (lambda b: swap(b, "rows"), "not-complete"),
    "another beginning": (lambda b: b[1].update(first=2), "wrong-length"),
    "another head": (lambda b: b[1].update(revision=1), "not-complete"),
    "another hash": (lambda b: b[1]["part"].update(hash="x"), "not-complete"),
    "another number of chunks": (lambda b: b[1]["part"].update(of=4), "not-complete"),
    "a chunk beyond the last": (lambda b: b[1]["part"].update(index=3), "out-of-range"),
    "one place twice": (lambda b: b[1]["part"].update(index=0), "duplicate"),
}


def swap(bodies: list[dict[str, Any]], name: str) -> None:
    bodies[0][name], bodies[1][name] = bodies[1][name], bodies[0][name]


@pytest.mark.parametrize("case", sorted(CHANGES))
def test_a_changed_chunk_is_refused(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = copy.deepcopy(small(THREE, 1, monkeypatch))
    change, reason = CHANGES[case]
    change(bodies)
    with pytest.raises(Refused) as caught:
        whole(joined(bodies))
    assert caught.value.reason == reason


def test_taking_a_chunk_in_leaves_the_assembly_as_it_was() -> None:
    (body,) = split(HEAD, THREE)
    assembly = Assembly()
    assembly.with_chunk(body)
    assert not assembly.complete and assembly.parts == {}


def test_the_hash_tells_rows_from_their_joints() -> None:
    assert whole_hash(HEAD, [{"a": 1}, {"b": 2}]) != whole_hash(HEAD, [{"a": 1, "b": 2}])
    assert whole_hash({**HEAD, "revision": 1}, THREE) != whole_hash(HEAD, THREE)
