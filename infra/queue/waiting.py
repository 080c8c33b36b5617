"""Since when rows of the queue wait, as far as egress has seen them: in its memory alone, for the table has no time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from infra.queue.schema import MOST_ROWS

MOST = 2 * MOST_ROWS
"""Keys kept at most: twice as many as the table holds, for puts that come at the same moment may go beyond."""


class Waiting:
    """When each row that waits was first seen; `clock` gives seconds. A restart sees all of them for the first time.

    `ended` is told how long each one waited that was acknowledged.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._first: dict[bytes, float] = {}
        self.ended: Callable[[float], None] = lambda seconds: None

    def saw(self, keys: Iterable[bytes]) -> None:
        """These rows are there."""
        now = self._clock()
        with self._lock:
            for key in keys:
                if len(self._first) < MOST:
                    self._first.setdefault(key, now)

    def are(self, keys: Iterable[bytes]) -> None:
        """These rows are there, and no others."""
        now = self._clock()
        with self._lock:
            self._first = {key: self._first.get(key, now) for key in keys}

    def gone(self, keys: Iterable[bytes]) -> None:
        """These rows were acknowledged."""
        now = self._clock()
        with self._lock:
            first = [self._first.pop(key, None) for key in keys]
        for seen in first:
            if seen is not None:
                self.ended(now - seen)

    @property
    def depth(self) -> int:
        """How many rows wait."""
        return len(self._first)

    @property
    def oldest(self) -> float:
        """Seconds since the first sight of the row that was seen first; 0 if none waits."""
        with self._lock:
            return self._clock() - min(self._first.values()) if self._first else 0.0
