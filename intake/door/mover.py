"""Passes on what the outbox holds: in batches, shuffled, stripped to the entries' own bytes.

A batch waits until `batch_min` ballots are there or the first has waited for `batch_wait`, so that who sees both sides
cannot match an arrival here with one in the queue. The queue says nothing but "stored"; an entry stays in the outbox,
and is passed on again after a while, until the log is seen to hold it. What the queue may have seen before hides
nothing that it has not: so only entries that were never offered to it are counted, and those leave in batches of their
own.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import httpx

from audit.log.tiles import frame
from infra import failpoints
from infra.database import tell
from infra.exchange import Unusable, ask, client
from infra.log import Log, Seldom
from intake.door.outbox import Waiting

MOST_ENTRIES = 256
MOST_BYTES = 4 << 20
AGAIN_MS = 30_000
"""The least time before an entry is passed on again: as long as the queue may lease it to tally."""
AGAIN_WAITS = 10
"""As many batch waits are the least time, too: not before a receipt's deadline."""
IDLE_SECONDS = 1.0
SAID_AGAIN_SECONDS = 10.0
TIMEOUT = httpx.Timeout(10.0)
SECONDS = 30.0
"""In which the queue must have taken a batch of 4 MiB, and said so."""

log = Log("intake.mover", passed_on=("entries",), queue_silent=("kind",))


class Store(Protocol):
    """What the mover may do with the outbox; see `Outbox`."""

    def fresh(self, start: bytes, most: int) -> list[Waiting]: ...

    def count_fresh(self, most: int) -> int: ...

    def due_again(self, now: int, most: int) -> list[Waiting]: ...

    def offered(self, waiting: Sequence[Waiting], due: int) -> None: ...

    def passed_on(self, waiting: Sequence[Waiting], now: int, again_after: int) -> None: ...


class Bell(Protocol):
    """Something to wait for; see `threading.Event`."""

    def is_set(self) -> bool: ...

    def set(self) -> None: ...

    def clear(self) -> None: ...

    def wait(self, timeout: float | None = None) -> bool: ...


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
        draw: Callable[[int], bytes] = os.urandom,
        monotonic: Callable[[], float] = time.monotonic,
        bell: Bell | None = None,
    ) -> None:
        self._store, self._put = store, put
        self._batch_min, self._batch_wait = min(batch_min, MOST_ENTRIES), batch_wait
        self._again = max(AGAIN_MS, int(AGAIN_WAITS * batch_wait * 1000))
        self._clock, self._shuffle, self._draw = clock, shuffle, draw
        self._repeat_at = 0.0
        self._said = Seldom(SAID_AGAIN_SECONDS)
        self._monotonic, self._bell = monotonic, bell or threading.Event()
        self._counting = threading.Lock()
        self._rung = 0
        self._counted = 0
        self.silent = False
        """Whether the queue has not answered of late."""
        self.moved: Callable[[int], None] = lambda entries: None
        """Told of every batch that the queue has stored."""

    def ring(self) -> None:
        """Says that one entry more is there, or that it is time to stop."""
        with self._counting:
            self._rung += 1
        self._bell.set()

    def run(self, stop: Bell) -> None:
        """Moves until told to stop, which `ring` makes it notice. Whatever fails ends one round only."""
        first: float | None = None
        while not stop.is_set():
            self._bell.clear()
            try:
                first = self._round(first, self._monotonic())
                self._repeat_if_due(self._monotonic())
            except Exception as error:
                # Whatever it is, what was promised is still in the outbox, and the next round finds it.
                tell(error)
                first = None
                stop.wait(IDLE_SECONDS)
                self._repeat_at = self._monotonic() + self._pause
            wait = self._repeat_at - self._monotonic()
            if first is not None:
                wait = min(wait, first + self._batch_wait - self._monotonic())
            if wait > 0 and (first is None or self._expected() < self._batch_min):
                self._bell.wait(wait)

    def _round(self, first: float | None, now: float) -> float | None:
        """Moves a batch if it is time. `first`: since when an entry waits, None if none does; returned anew."""
        late = first is not None and now - first >= self._batch_wait
        # The bell spares most questions to the database, but only the database's own count lets a batch leave.
        if first is not None and not late and self._expected() < self._batch_min:
            return first
        fresh = self._count()
        if fresh >= self._batch_min or (fresh and late):
            first = None
            if self.move():
                fresh = self._count()
            else:
                # The queue is silent: not asked again for every entry that comes, but after another wait.
                self._counted = 0
        if not fresh:
            return None
        return now if first is None else first

    def _repeat_if_due(self, now: float) -> None:
        if now >= self._repeat_at:
            taken = 0
            while repeated := self.repeat():
                taken += repeated
            if taken:
                # It takes again, what it did not when this intake's share was full: what is fresh waits no longer.
                self._count()
            self._repeat_at = now + self._pause

    @property
    def _pause(self) -> float:
        return min(IDLE_SECONDS, self._batch_wait)

    def _expected(self) -> int:
        """At least as many as are fresh, as far as the bell tells."""
        with self._counting:
            return self._counted + self._rung

    def _count(self) -> int:
        with self._counting:
            self._rung = 0
        self._counted = self._store.count_fresh(self._batch_min)
        return self._counted

    def move(self) -> int:
        """Passes on one batch of what the queue was never offered; how many entries that were, 0 if it was silent.

        Which of many, chance decides: none waits for ever, and the order of arrival, which nobody notes, leaves no
        trace.
        """
        return self._pass_on(self._store.fresh(self._draw(32), MOST_ENTRIES))

    def repeat(self) -> int:
        """Passes on again one batch of what was offered before and the log does not hold yet, the longest due first."""
        return self._pass_on(self._store.due_again(self._now(), MOST_ENTRIES))

    def _pass_on(self, waiting: Sequence[Waiting]) -> int:
        batch = fit(waiting)
        if not batch:
            return 0
        self._shuffle(batch)
        # Noted before, for the queue has seen them even if its answer is lost, or if this process ends here: then they
        # are passed on again, and recorded once all the same.
        self._store.offered(batch, self._now() + max(1, int(self._pause * 1000)))
        failpoints.at("mover.offered")
        try:
            self._put([one.entry for one in batch])
        except NotStored as error:
            self.silent = True
            if self._said.due(str(error)):
                log.warning("queue-silent", kind=str(error))
            return 0
        self.silent = False
        failpoints.at("mover.put")
        self._store.passed_on(batch, self._now(), self._again)
        failpoints.at("mover.passed-on")
        log.info("passed-on", entries=len(batch))
        self.moved(len(batch))
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
        self._client = client(TIMEOUT, headers={"Authorization": f"Bearer {token}"}, trust_env=False)
        self._url = url.rstrip("/") + "/put"

    def put(self, entries: Sequence[bytes]) -> None:
        """Returns once the queue has stored them; NotStored for everything else than its one answer."""
        try:
            answer = ask(self._client, "POST", self._url, frame(entries), most=0, seconds=SECONDS)
        except httpx.HTTPError:
            raise NotStored("no-answer") from None
        except Unusable:
            raise NotStored("another-answer") from None
        if answer.status != 204:
            raise NotStored("another-answer")

    def close(self) -> None:
        self._client.close()
