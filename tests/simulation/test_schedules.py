"""At least two thousand schedules hold, and a fault that is planted does not stay hidden for long."""

from __future__ import annotations

import re

import pytest

from infra import failpoints
from tests.simulation.planted import AckBeforeW, NoFsync, NoSwap, Plant, SignBeforeStage
from tests.simulation.schedule import run

SCHEDULES = 2_000
PARTS = 8
FEW = 60
"""Within so many schedules a planted fault is found."""


@pytest.mark.parametrize("part", range(PARTS))
def test_schedules_hold(part: int) -> None:
    seeds = range(1 + part * SCHEDULES // PARTS, 1 + (part + 1) * SCHEDULES // PARTS)
    broken = [outcome for outcome in map(run, seeds) if outcome.broken]
    assert not broken, "\n".join(outcome.report for outcome in broken)


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        (SignBeforeStage(), "is signed that is not staged"),
        (AckBeforeW(), "is acknowledged to the queue that|does not come to rest"),
        (NoFsync(), "and may lose them"),
        (NoSwap(), "LedgerBehind|Damaged|is acknowledged to the queue that"),
    ],
    ids=["sign before stage", "acknowledge before W", "no fsync", "no compare-and-swap"],
)
def test_a_planted_fault_is_found(plant: Plant, found: str) -> None:
    for seed in range(1, 1 + FEW):
        outcome = run(seed, plant)
        if outcome.broken:
            assert re.search(found, outcome.broken[0]), outcome.report
            assert f"python -m tests.simulation --seed {seed}" in outcome.report
            return
    pytest.fail(f"not found in {FEW} schedules")


def test_one_seed_is_one_schedule() -> None:
    for seed in (3, 7):
        assert run(seed) == run(seed)


def test_every_failpoint_is_passed() -> None:
    """But the ones that stand within a real database's transaction, and in what is not simulated."""
    passed = set[str]()

    class Noting(Plant):
        def failpoint(self, name: str) -> None:
            passed.add(name)

    for seed in range(1, 6):
        run(seed, Noting())
    assert passed == set(failpoints.NAMES)
