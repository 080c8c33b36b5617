"""What is decrypted tells of no fewer voters than the minimum, however the sums are added and subtracted."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.record.manifest import Manifest
from audit.record.withholding import Decrypted, decrypted
from tests.simulator.meeting import Meeting

CLASSES = ("a", "b", "c")
MINIMUM = 5


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return Meeting().found().manifest


def decided(manifest: Manifest, contests: list[str], *voters: int, minimum: int = MINIMUM) -> Decrypted:
    """What is decrypted of contests, each named for the classes it is over, when so many have voted in each class."""
    (share_class,), (contest,) = manifest.classes, manifest.contests
    changed = replace(
        manifest,
        classes=tuple(replace(share_class, id=id) for id in CLASSES[: len(voters)]),
        contests=tuple(replace(contest, id=f"{i} {over}", classes=tuple(over)) for i, over in enumerate(contests)),
        minimum_pseudonyms=minimum,
    )
    return decrypted(changed, dict(zip(CLASSES, voters, strict=False)))


def test_one_preferred_voter_among_five_common(manifest: Manifest) -> None:
    assert decided(manifest, ["ab", "ab"], 5, 1) == Decrypted(("0 ab", "1 ab"), (), ("a", "b"))


def test_an_item_of_one_class_beside_that_of_both(manifest: Manifest) -> None:
    assert decided(manifest, ["ab", "a"], 5, 1) == Decrypted(("0 ab",), (), ("1 a", "a", "b"))
    assert decided(manifest, ["a", "ab"], 5, 1) == Decrypted(("0 a",), ("a",), ("1 ab", "b"))


def test_differences_between_items(manifest: Manifest) -> None:
    """ab - ac is b less c, of two voters; ab - ac + bc is twice b."""
    assert decided(manifest, ["ab", "ac"], 5, 1, 1).contests == ("0 ab",)
    assert decided(manifest, ["ab", "ac", "bc"], 5, 1, 5).contests == ("0 ab", "1 ac")


def test_large_classes_are_told_apart(manifest: Manifest) -> None:
    assert decided(manifest, ["ab", "a", "b"], 5, 7) == Decrypted(("0 ab", "1 a", "2 b"), ("a", "b"), ())


def test_small_classes_together_are_not_enough(manifest: Manifest) -> None:
    assert decided(manifest, ["ab"], 4, 4) == Decrypted((), (), ("0 ab", "a", "b"))


def test_with_a_minimum_of_one_everything_is_told(manifest: Manifest) -> None:
    assert decided(manifest, ["ab", "a"], 5, 1, minimum=1) == Decrypted(("0 ab", "1 a"), ("a", "b"), ())


def test_where_nobody_votes_nothing_is_withheld(manifest: Manifest) -> None:
    assert decided(manifest, ["ab", "b"], 5, 0) == Decrypted(("0 ab",), ("a",), ())
    assert decided(manifest, ["ab"], 0, 0) == Decrypted((), (), ())


OVER = st.sets(st.sampled_from(CLASSES), min_size=1).map(lambda over: "".join(sorted(over)))


@given(st.lists(OVER, min_size=1, max_size=3), st.lists(st.integers(0, 7), min_size=3, max_size=3))
def test_no_combination_is_of_small_classes_alone(manifest: Manifest, contests: list[str], voters: list[int]) -> None:
    found = decided(manifest, contests, *voters)
    voted = dict(zip(CLASSES, voters, strict=True))
    rows = sorted({id.split()[-1] for id in found.contests + found.classes})
    for factors in product(range(-2, 3), repeat=len(rows)):
        part = {c: sum(f for f, row in zip(factors, rows, strict=True) if c in row) for c in CLASSES if voted[c]}
        if any(part.values()):
            assert any(part[c] and voted[c] >= MINIMUM for c in part), (rows, factors)
