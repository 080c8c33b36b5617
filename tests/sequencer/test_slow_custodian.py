"""A custodian that takes longer than a round publishes all the same, for as long as votes come."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from tally.sequencer.courier import MOST_APPENDS
from tests.loopback import wait_until
from tests.sequencer.house import House


@dataclass
class Slow:
    """A custodian that has taken `begun` appends, and goes on with one only once it is `allowed`."""

    honest: FastAPI
    begun: int = 0
    allowed: int = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope.get("path", "").endswith("/append"):
            self.begun += 1
            mine = self.begun
            while mine > self.allowed:
                await asyncio.sleep(0.01)
        await self.honest(scope, receive, send)


def test_one_that_is_always_a_stage_behind_publishes_what_it_holds_by_then(open_house: House) -> None:
    slow, before, published = Slow(open_house.vault.app(2)), open_house.ledger.newest().size, list[int]()
    open_house.vault.apps[2] = slow
    with open_house.opened() as sequencer:
        for revision in range(2 * MOST_APPENDS + 1):
            open_house.queue.put(open_house.ballot(0, revision))
            assert sequencer.step()
            # What it was sent before is stored only now, when the next is published.
            slow.allowed = revision
            wait_until(lambda: slow.begun > slow.allowed)
            published.append(open_house.vault.size(2) - before)
        assert sequencer._push.published()[sequencer._push._couriers[2].label] == open_house.vault.size(2)
        slow.allowed += 1
    assert published == [0] * MOST_APPENDS + [MOST_APPENDS] * MOST_APPENDS + [2 * MOST_APPENDS]
