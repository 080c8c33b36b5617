"""What totals mean: majorities at and beside a tie, seats and who ties for the last one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.record.agenda import Contest, contest_of
from audit.record.counting import majority, outcome, plurality
from audit.record.manifest_shape import CONTEST
from tests.simulator.parties import contest
from tests.simulator.parties import majority as majority_rule

VOTES = st.integers(0, 1 << 40)


def made(**changes: Any) -> Contest:
    return contest_of(CONTEST(contest("item", **changes), ""), "")


@pytest.mark.parametrize(
    "comparator, threshold, in_favour, against, carried",
    [
        (">", [1, 2], 50, 50, False),
        (">=", [1, 2], 50, 50, True),
        (">", [1, 2], 51, 50, True),
        (">", [2, 3], 2, 1, False),
        (">=", [2, 3], 2, 1, True),
        (">=", [3, 4], 3 << 37, 1 << 37, True),
        (">", [3, 4], 3 << 37, 1 << 37, False),
        (">", [1, 2], 0, 0, False),
        (">=", [1, 2], 0, 0, False),
        (">=", [1, 1], 7, 0, True),
    ],
)
def test_a_majority(comparator: str, threshold: list[int], in_favour: int, against: int, carried: bool) -> None:
    assert majority(in_favour, against, majority_rule(comparator=comparator, threshold=threshold)) is carried


@given(VOTES, VOTES)
def test_a_simple_majority_is_more_for_than_against(in_favour: int, against: int) -> None:
    assert majority(in_favour, against, majority_rule()) is (in_favour > against)


@given(VOTES, VOTES, VOTES)
def test_abstentions_decide_nothing(in_favour: int, against: int, abstain: int) -> None:
    with_them = outcome(made(), {"for": in_favour, "against": against, "abstain": abstain})
    assert with_them == outcome(made(), {"for": in_favour, "against": against, "abstain": 0})


@pytest.mark.parametrize("kind, word", [("director", "elected"), ("resolution", "passed")])
def test_the_words_of_an_outcome(kind: str, word: str) -> None:
    item = made(kind=kind)
    assert outcome(item, {"for": 2, "against": 1, "abstain": 0}) == word
    assert outcome(item, {"for": 1, "against": 2, "abstain": 0}) == f"not {word}"


@pytest.mark.parametrize(
    "votes, seats, elected, tied",
    [
        ((5, 3, 1), 2, ["a", "b"], []),
        ((1, 3, 5), 2, ["b", "c"], []),
        ((5, 3, 3), 2, ["a"], ["b", "c"]),
        ((3, 3, 3), 2, [], ["a", "b", "c"]),
        ((3, 3, 3), 3, ["a", "b", "c"], []),
        ((5, 0, 0), 2, ["a"], []),
        ((0, 0, 0), 1, [], []),
    ],
)
def test_seats(votes: tuple[int, ...], seats: int, elected: list[str], tied: list[str]) -> None:
    assert plurality(dict(zip("abc", votes, strict=True)), seats) == {"elected": elected, "tied": tied}


def test_nobody_is_elected_by_votes_withheld() -> None:
    assert plurality({"for": 1, "withhold": 9}, 1) == {"elected": ["for"], "tied": []}


@given(st.lists(VOTES, min_size=1, max_size=8), st.integers(1, 8))
def test_who_is_elected_has_more_than_who_is_not(votes: list[int], seats: int) -> None:
    totals = {f"c{i}": n for i, n in enumerate(votes)}
    found = plurality(totals, seats)
    rest = [c for c in totals if c not in found["elected"] + found["tied"]]
    assert len(found["elected"]) <= seats
    assert all(totals[e] > totals[r] for e in found["elected"] for r in rest + found["tied"])
    assert not found["tied"] or len(found["elected"]) + len(found["tied"]) > seats > len(found["elected"])
