"""The uploads that are under way, of which there may be so many at once.

Whoever is slow cannot be told from whoever only keeps a place. So nobody is cut off for being slow as long as there is
room; when there is none, the next upload takes the place of the one that has brought the fewest new entries for its
time, which goes on later where it stopped. So a place is kept only by bringing what was wanted anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from infra.http import Problem


class Upload:
    """One upload, which has brought `new` entries since `began`."""

    def __init__(self, began: float) -> None:
        self.began, self.new = began, 0
        self._waiting: asyncio.Timeout | None = None
        self._over = False

    @property
    def waits(self) -> bool:
        """Whether it is the client's turn."""
        return self._waiting is not None

    def end(self) -> None:
        """Its body ends here, as if it had broken off."""
        self._over = True
        if self._waiting is not None:
            self._waiting.reschedule(0)

    async def chunks(self, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """What comes of the body, until it ends or is ended."""
        while not self._over:
            try:
                async with asyncio.timeout(None) as self._waiting:
                    chunk = await anext(stream)
            except (TimeoutError, StopAsyncIteration):
                return
            finally:
                self._waiting = None
            yield chunk


class Uploads:
    """At most `most` at once. `clock` gives seconds, of which only differences count."""

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self._most, self._clock = most, clock
        self._under_way: set[Upload] = set()

    @contextmanager
    def place(self) -> Iterator[Upload]:
        """A place for one upload. Problem 503 `busy` if all are taken, and it is nobody's turn to send."""
        if len(self._under_way) >= self._most:
            self._make_room()
        upload = Upload(self._clock())
        self._under_way.add(upload)
        try:
            yield upload
        finally:
            self._under_way.discard(upload)

    def _make_room(self) -> None:
        now = self._clock()
        waiting = [upload for upload in self._under_way if upload.waits]
        if not waiting:
            raise Problem(503, "busy", "as many uploads as may be are under way; come again")
        # The oldest of those that have brought nothing: who has just come gets the time to.
        slowest = min(waiting, key=lambda upload: (upload.new / max(now - upload.began, 1.0), upload.began))
        self._under_way.discard(slowest)
        slowest.end()
