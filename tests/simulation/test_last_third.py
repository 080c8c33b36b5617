"""The last third of the schedules hold."""

from __future__ import annotations

import pytest

from tests.simulation.thirds import hold, parts


@pytest.mark.parametrize("part", parts(2))
def test_schedules_hold(part: int) -> None:
    hold(part)
