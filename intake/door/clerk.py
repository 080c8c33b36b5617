"""Stores what many requests hand in at once in one transaction: a request waits for the disk, but not for its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from audit.record.entries import Entry
from intake.door.outbox import Accepted, Drained

MOST = 256

Item = tuple[Entry, int]
Store = Callable[[Sequence[Item]], list[Accepted | Drained]]


class Clerk:
    """Takes entries with their deadlines to `store`, as many together as came while it was busy. `run` does it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: asyncio.Queue[tuple[Item, asyncio.Future[Accepted | Drained]]] = asyncio.Queue()

    async def accept(self, entry: Entry, deadline: int) -> Accepted | Drained:
        """What stands under the entry's identity once it is on disk; whatever `store` raises, and then it may be there
        or not.
        """
        future: asyncio.Future[Accepted | Drained] = asyncio.get_running_loop().create_future()
        await self._waiting.put(((entry, deadline), future))
        return await future

    async def run(self) -> None:
        """Stores until cancelled."""
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < MOST and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            await self._keep(batch)

    async def _keep(self, batch: list[tuple[Item, asyncio.Future[Accepted | Drained]]]) -> None:
        try:
            results = await asyncio.to_thread(self._store, [item for item, _ in batch])
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            # A request whose client has gone no longer waits; what it handed in is stored all the same.
            if not future.done():
                future.set_result(result)
