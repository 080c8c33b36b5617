"""The schedules of every test run. Each third is a file of tests, for the tests of one file stay in one process."""

from __future__ import annotations

from tests.simulation.schedule import run

SCHEDULES = 2_000
PARTS = 30


def parts(third: int) -> range:
    """The parts of a third (0, 1 or 2)."""
    return range(third * PARTS // 3, (third + 1) * PARTS // 3)


def hold(part: int) -> None:
    """Fails with the seeds of this part that do not hold, and the lines that run them again."""
    seeds = range(1 + part * SCHEDULES // PARTS, 1 + (part + 1) * SCHEDULES // PARTS)
    broken = [outcome for outcome in map(run, seeds) if outcome.broken]
    assert not broken, "\n".join(outcome.report for outcome in broken)
