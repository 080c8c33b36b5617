"""A disk under a database: what is committed is a journal of changes, of which a loss of power leaves what was
synced, and of what came after that, a beginning of any length.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy.exc import OperationalError

from tests.simulation.kernel import Kernel

Change = Callable[[Any], object]
WRITE_SECONDS = 0.008


def failing(what: str) -> OperationalError:
    """What a database that cannot be used raises."""
    return OperationalError("statement", {}, Exception(what))


class Disk:
    """`state` is what the database says; `blank` makes that of an empty one. A change is made to any state that equals
    the one it was made to first, and raises before it has changed anything.
    """

    lazy = False  # planted: a commit does not wait for the disk

    def __init__(self, kernel: Kernel, name: str, blank: Callable[[], Any]) -> None:
        self._kernel, self.name, self._blank = kernel, name, blank
        self.journal: list[Change] = []
        self.synced = 0
        self.state = blank()
        self.full = False
        self.seconds = WRITE_SECONDS  # that a write may take
        self.failures = 0  # so many of the next calls fail
        self.unreliable = 0.0  # a share of writes is lost, another is made and reported lost

    def check(self) -> None:
        """Fails as reading does."""
        if self.failures:
            self.failures -= 1
            raise failing("storage error")

    def wait(self) -> None:
        """For the disk's turn, while others have theirs: what is to be written is decided after it."""
        self._kernel.pause(self.seconds * self._kernel.dice.random())

    def write(self, change: Change, sync: bool = True) -> None:
        """Commits a change."""
        self.check()
        fate = self._kernel.dice.random()
        if self.full:
            raise failing("no space left on device")
        if fate < self.unreliable:
            raise failing("write lost")
        change(self.state)
        self.journal.append(change)
        if sync and not self.lazy:
            self.synced = len(self.journal)
        if fate > 1 - self.unreliable:
            raise failing("written, and reported lost")

    def lose_power(self) -> None:
        self.restore(self._kernel.dice.randint(self.synced, len(self.journal)))

    def restore(self, length: int) -> None:
        """What it was when it had made so many changes."""
        if length < len(self.journal):
            self.journal = self.journal[:length]
            self.state = self._replayed(length)
        self.synced = length

    def durable(self) -> Any:
        """What a loss of power would certainly leave."""
        return self.state if self.synced == len(self.journal) else self._replayed(self.synced)

    def mend(self) -> None:
        self.full, self.failures, self.unreliable, self.seconds = False, 0, 0.0, WRITE_SECONDS

    def _replayed(self, length: int) -> Any:
        state = self._blank()
        for change in self.journal[:length]:
            change(state)
        return state
