"""The real queue's way out over HTTP, as the sequencer takes from it: nothing waits for a taker that is no more."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import pytest
from fastapi import FastAPI, Request, Response

from infra.queue.egress import Outlet, egress
from infra.queue.frames import Row, write_rows
from infra.queue.ingress import Inlet
from tally.sequencer.egress import Egress, QueueUnavailable
from tally.sequencer.ledger import Stage
from tests.databases import Database
from tests.loopback import serving
from tests.sequencer.house import TOKEN, House


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


def test_a_queue_that_hands_out_more_than_was_asked_for_puts_no_more_into_a_stage_than_custodians_take(
    open_house: House,
) -> None:
    """257 entries at once would be a stage that none of them could be sent whole, and so one that nobody signs."""
    meeting, waiting = open_house.meeting, dict[bytes, bytes]()
    for number in range(257):
        body = {"manifest": meeting.hash, "subject": "incident", "text": f"notice {number}"}
        waiting[number.to_bytes(16, "big")] = meeting.signed("notice", body, *meeting.parties.officials)
    app = FastAPI()

    @app.post("/take")
    def take() -> Response:
        return Response(write_rows(Row(key, data) for key, data in waiting.items()))

    @app.post("/ack", status_code=204)
    async def ack(request: Request) -> Response:
        keys = await request.body()
        for start in range(0, len(keys), 16):
            del waiting[keys[start : start + 16]]
        return Response(status_code=204)

    with serving(app) as url:
        open_house.queue = Egress(url, TOKEN)  # type: ignore[assignment]
        with open_house.opened() as sequencer:
            before = sequencer.election.size
            sequencer.step()
            assert (sequencer.election.size - before, len(waiting)) == (256, 1)
            sequencer.step()
            assert (sequencer.election.size - before, len(waiting)) == (257, 0)


def test_a_stage_that_no_append_could_hold_is_not_staged(open_house: House) -> None:
    size = open_house.ledger.newest().size
    with pytest.raises(ValueError, match="257 entries is more than the 256"), open_house.ledger.begin() as transaction:
        transaction.append(Stage(size, size + 257, bytes(32), b""), [b"entry"] * 257)
    assert open_house.ledger.newest().size == size
