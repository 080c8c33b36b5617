"""The real queue's way out over HTTP, as the sequencer takes from it: nothing waits for a taker that is no more."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import pytest
from fastapi import Request, Response

from infra.queue.egress import Outlet, egress
from infra.queue.ingress import Inlet
from tally.sequencer.egress import Egress, QueueUnavailable
from tests.databases import Database
from tests.loopback import serving
from tests.sequencer.house import TOKEN


def test_what_the_dead_and_lost_answers_held_is_had_at_once_and_what_is_held_comes_once(
    queue_database: Database,
) -> None:
    entries = {b"entry %d" % number for number in range(10)}
    Inlet(queue_database.engine).store(sorted(entries))
    outlet, lost = Outlet(queue_database.engine, time.monotonic), [False]
    app = egress(outlet, TOKEN)

    @app.middleware("http")
    async def losing(request: Request, further: Callable[[Request], Awaitable[Response]]) -> Response:
        answer = await further(request)
        return Response(status_code=502) if lost[0] else answer

    with serving(app) as url:
        Egress(url, TOKEN).take(2)
        tally = Egress(url, TOKEN)
        lost[0] = True
        with pytest.raises(QueueUnavailable, match="status 502"):
            tally.take(3)
        lost[0] = False
        first, second = tally.take(6), tally.take(6)
        assert (len(first), len(second)) == (6, 4)
        assert {row.data for row in first + second} == entries
        assert tally.take(6) == []
        tally.ack(row.key for row in first)
        tally.begin()
        assert {row.data for row in tally.take(256)} == {row.data for row in second}
