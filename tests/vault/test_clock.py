"""A custodian signs no time that its own machine contradicts."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from audit.protocol.refused import Refused
from tests.vault.conftest import NOW, Served
from vault.custodian.clock import LEAP, SteadyClock, system_clock

DAY = 24 * 3600


@dataclass
class Machine:
    """`set` is by how much its clock has been set since it started; it runs at `speed`."""

    passed: float = 0
    set: float = 0
    speed: float = 1

    def clock(self) -> SteadyClock:
        return SteadyClock(lambda: NOW + self.passed * self.speed + self.set, lambda: 77.7 + self.passed)


def leapt(clock: SteadyClock) -> str:
    with pytest.raises(Refused) as refused:
        clock()
    assert refused.value.reason == "clock-leapt"
    return refused.value.detail


def test_time_that_passes_is_told() -> None:
    machine = Machine()
    clock = machine.clock()
    for machine.passed in (0, 0.9, 1, 3600, 100 * DAY):
        assert clock() == int(NOW + machine.passed)


@pytest.mark.parametrize("set", [2 * DAY, LEAP + 1, -LEAP - 1, -2 * DAY])
def test_a_clock_that_was_set_signs_nothing_until_it_agrees_again(set: int) -> None:
    machine = Machine()
    clock = machine.clock()
    machine.set = set
    assert leapt(clock) == f"this custodian's clock has leapt by {set:+d} s since it was started; it signs nothing"
    machine.passed, machine.set = 10, 0
    assert clock() == NOW + 10


def test_who_starts_it_anew_has_seen_to_the_clock() -> None:
    machine = Machine(set=2 * DAY)
    assert machine.clock()() == NOW + 2 * DAY


@pytest.mark.parametrize("speed", [2, 0.5])
def test_a_clock_that_runs_at_another_speed_is_noticed_within_minutes(speed: float) -> None:
    machine = Machine(speed=speed)
    clock = machine.clock()
    for machine.passed in range(30):
        clock()
    machine.passed = 300
    leapt(clock)


def test_a_second_now_and_then_is_no_leap() -> None:
    machine = Machine()
    clock = machine.clock()
    for day in range(1, 101):
        machine.passed, machine.set = day * DAY, day * 10
        assert clock() == NOW + day * (DAY + 10)


def test_the_machines_own_clock_agrees_with_itself() -> None:
    clock = system_clock()
    assert clock() <= clock()


def test_a_custodian_whose_clock_leapt_answers_503_and_stores_nothing(served: Served) -> None:
    machine = Machine(passed=served.time - NOW)
    clock = machine.clock()
    served.clock = clock
    served.restart()
    served.fill(1)
    machine.set = 2 * DAY
    served.log.grow(1)
    assert served.refused("append", served.log.append(1), 503) == "clock-leapt"
    # Nothing far ahead has been stated: as soon as the clock is right it goes on.
    machine.set = 0
    served.cosigned(served.log.append(1))


def test_what_was_stated_before_a_restart_is_the_earliest_time(served: Served) -> None:
    served.fill(1)
    served.time -= 2 * DAY
    served.restart()
    served.log.grow(1)
    assert served.refused("append", served.log.append(1), 503) == "clock-backwards"
