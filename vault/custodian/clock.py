"""The clock that a custodian signs by. A cosignature says which tree was the largest at a time, so a time that runs
ahead binds it: until the true time has come that far it could say nothing more.

The system's clock may be set; the time since the machine started may not. Both are read together when the custodian
begins. Later they may differ by a little: by `LEAP` seconds and a thousandth of the time that has passed. Beyond that
somebody has set the clock, or it runs at another speed, and nothing is signed until it agrees again, or the custodian
is started anew by whoever has seen to the clock. A clock that was wrong before the start shows nowhere on one machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from audit.protocol.refused import Refused

LEAP = 60
"""Seconds."""
DRIFT = 1000


class SteadyClock:
    """POSIX seconds, as long as `wall` (POSIX seconds) and `since_start` (seconds from any moment on) agree.

    Refused `clock-leapt` while they do not.
    """

    def __init__(self, wall: Callable[[], float], since_start: Callable[[], float]) -> None:
        self._wall, self._since_start = wall, since_start
        self._wall_then, self._then = wall(), since_start()

    def __call__(self) -> int:
        now, passed = self._wall(), self._since_start() - self._then
        ahead = now - self._wall_then - passed
        if abs(ahead) > LEAP + passed / DRIFT:
            detail = f"this custodian's clock has leapt by {ahead:+.0f} s since it was started; it signs nothing"
            raise Refused("clock-leapt", detail)
        return int(now)


def system_clock() -> SteadyClock:
    """The machine's. Time that it slept through has passed for both clocks."""
    return SteadyClock(time.time, lambda: time.clock_gettime(time.CLOCK_BOOTTIME))
