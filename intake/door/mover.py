"""Passes on what the outbox holds: in batches, shuffled, stripped to the entries' own bytes.

A batch waits until `batch_min` entries are there or the first has waited for `batch_wait`, so that who sees both sides
cannot match an arrival here with one in the queue. The queue says nothing but "stored"; an entry stays in the outbox,
and is passed on again after a while, until the log is seen to hold it.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import httpx
from sqlalchemy.exc import SQLAlchemyError

from audit.log.tiles import frame
from infra.log import Log, failure
from intake.door.outbox import Waiting

MOST_ENTRIES = 256
MOST_BYTES = 4 << 20
AGAIN_MS = 30_000
"""The least time before an entry is passed on again: as long as the queue may lease it to tally."""
AGAIN_WAITS = 10
"""As many batch waits are the least time, too: not before a receipt's deadline."""
IDLE_SECONDS = 1.0

log = Log("intake.mover", passed_on=("entries",), queue_silent=("kind",))


class Store(Protocol):
    """What the mover may do with the outbox; see `Outbox`."""

    def due(self, now: int, most: int) -> list[Waiting]: ...

    def count_due(self, now: int, most: int) -> int: ...

    def passed_on(self, identities: Sequence[bytes], now: int, again_after: int) -> None: ...


class NotStored(Exception):
    """The queue did not say that it has stored a batch; it may have."""


SHUFFLE = random.SystemRandom().shuffle
Put = Callable[[Sequence[bytes]], None]


class Mover:
    """Moves batches from `store` by `put`, which raises NotStored. `batch_wait` in seconds."""

    def __init__(
        self,
        store: Store,
        put: Put,
        batch_min: int,
        batch_wait: float,
        *,
        clock: Callable[[], float] = time.time,
        shuffle: Callable[[list[Waiting]], None] = SHUFFLE,
    ) -> None:
        self._store, self._put = store, put
        self._batch_min, self._batch_wait = min(batch_min, MOST_ENTRIES), batch_wait
        self._again = max(AGAIN_MS, int(AGAIN_WAITS * batch_wait * 1000))
        self._clock, self._shuffle = clock, shuffle
        self._bell = threading.Event()

    def ring(self) -> None:
        """Says that there may be something to pass on."""
        self._bell.set()

    def run(self, stop: threading.Event) -> None:
        """Moves until told to stop, which `ring` makes it notice. A failing database ends one round only."""
        waited = 0.0
        # A batch leaves at most a tenth of the wait late.
        pause = max(self._batch_wait / 10, 0.01)
        while not stop.is_set():
            self._bell.clear()
            try:
                due = self._store.count_due(self._now(), self._batch_min)
                if due >= self._batch_min or (due and waited >= self._batch_wait):
                    waited = 0.0
                    self.move()
            except SQLAlchemyError as error:
                failure(error)
                due = 0
            if due:
                waited += pause
                stop.wait(pause)
            else:
                waited = 0.0
                self._bell.wait(IDLE_SECONDS)

    def move(self) -> int:
        """Passes on one batch of what is due; how many entries that were, 0 if the queue was silent.

        A crash between the put and the note of it passes the batch on again: it is recorded once all the same.
        """
        now = self._now()
        batch = fit(self._store.due(now, MOST_ENTRIES))
        if not batch:
            return 0
        self._shuffle(batch)
        try:
            self._put([waiting.entry for waiting in batch])
        except NotStored as error:
            log.warning("queue-silent", kind=str(error))
            return 0
        self._store.passed_on([waiting.identity for waiting in batch], now, self._again)
        log.info("passed-on", entries=len(batch))
        return len(batch)

    def _now(self) -> int:
        return int(self._clock() * 1000)


def fit(waiting: Sequence[Waiting]) -> list[Waiting]:
    """The first of them, at least one, that one request may hold."""
    batch: list[Waiting] = []
    room = MOST_BYTES
    for one in waiting:
        room -= len(one.entry)
        if batch and room < 0:
            break
        batch.append(one)
    return batch


class QueueClient:
    """The queue's ingress at `url`, reached with its bearer token; the connection is kept open."""

    def __init__(self, url: str, token: str) -> None:
        self._client = httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=10, trust_env=False)
        self._url = url.rstrip("/") + "/put"

    def put(self, entries: Sequence[bytes]) -> None:
        """Returns once the queue has stored them; NotStored for everything else than its one answer."""
        try:
            answer = self._client.post(self._url, content=frame(entries))
        except httpx.HTTPError:
            raise NotStored("no-answer") from None
        if answer.status_code != 204:
            raise NotStored("another-answer")

    def close(self) -> None:
        self._client.close()
