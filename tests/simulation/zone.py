"""What every zone of a schedule is: a process with a clock, begun again some time after it has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlalchemy.exc import OperationalError

from tests.simulation.kernel import Kernel, Process

if TYPE_CHECKING:
    from tests.simulation.world import World

BASE_TIME = 1_800_000_000


class Clock:
    """What a process takes for the time, POSIX seconds."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel, self.ahead, self.rate = kernel, 0.0, 1.0

    def __call__(self) -> float:
        return BASE_TIME + self.ahead + self.rate * self._kernel.now

    def mend(self) -> None:
        self.ahead, self.rate = 0.0, 1.0


class Zone:
    """A process that is begun again some time after it has ended."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name, self.process = world, name, Process(name)
        self.process.alive = False
        self.held_down = self.gone = False
        self.clock = Clock(world.kernel)
        world.kernel.spawn(Process("supervisor"), f"supervisor of {name}", self._supervise)

    def crash(self) -> None:
        if self.process.alive:
            self.world.kernel.kill(self.process)

    def _supervise(self) -> None:
        kernel = self.world.kernel
        while True:
            try:
                self.boot()
                self.process.alive = True
            except (OperationalError, OSError):
                kernel.pause(1.0)
                continue
            kernel.pause(None, lambda: not self.process.alive)
            if self.gone:
                return
            kernel.pause(0.2 + kernel.dice.random() * 6.0)
            kernel.pause(None, lambda: not self.held_down)

    def boot(self) -> None:
        raise NotImplementedError

    def run(self, name: str, call: Callable[[], None]) -> None:
        """A task of this process, which ends with whatever the call raises."""

        def live() -> None:
            try:
                call()
            except Exception as error:
                self.fail(error)
            self.crash()

        self.world.kernel.spawn(self.process, name, live)

    def fail(self, error: Exception) -> None:
        self.world.expect(False, f"{self.name} ends with {type(error).__name__}: {error}")
