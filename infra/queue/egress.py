"""The queue's face towards tally: it hands rows out, and deletes them when tally says that custodians hold them.

A row that was handed out is not handed out again for 30 seconds, in case its taker has died; at once, if a taker says
that it begins. Leases are in memory only: a restart hands everything out again, which tally recognises, so it costs
time and nothing else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Query, Request, Response
from sqlalchemy import Engine, delete, select, text
from starlette.concurrency import run_in_threadpool

from infra import config, database, failpoints, http
from infra.keys import read_token
from infra.metrics import SIZES, Metrics
from infra.private import Private, reachable, serve
from infra.queue.face import MOST_ENTRIES, EgressConfig, check_role
from infra.queue.frames import Row, read_keys, write_rows
from infra.queue.schema import KEY_BYTES, SCHEMA, queued
from infra.queue.waiting import Waiting

LEASE_SECONDS = 30.0
MOST_KEYS = 4096
"""Keys in one `ack`."""
MOST_AT_ONCE = 8
"""Takes of up to 16 MiB; tally makes one after another."""
LOOK_SECONDS = 5.0
"""How old the figures of what waits may be, since for them the keys of all rows are read."""


def run(path: Path) -> None:
    """Runs the service that the TOML file at `path` describes, until it is told to stop. ConfigError, KeyFileError."""
    settings = config.load(EgressConfig, path)
    token = read_token(settings.token)
    engine = database.engine(settings.database, settings.passfile, name="queue-egress")
    SCHEMA.check(engine)
    check_role(path, engine, "egress", "DELETE")
    outlet, metrics = Outlet(engine, time.monotonic), Metrics(LOOK_SECONDS)
    add_figures(metrics, outlet)
    private = Private(settings.private, metrics, lambda: reachable(engine, "SELECT 1 FROM public.queued LIMIT 1"))
    serve(egress(outlet, token), settings.listen, private)


def add_figures(metrics: Metrics, outlet: Outlet) -> None:
    """Declares what egress counts, and has it counted."""
    depth = metrics.level("queue_depth", "Rows in the queue.")
    oldest = metrics.level("queue_oldest_seconds", "Time since egress first saw the row that it saw first.")
    waited = metrics.spread("queue_waiting_seconds", "Time from first sight of a row until it was acknowledged.")
    batches = metrics.spread("queue_batch_rows", "Rows handed out at a time.", SIZES)

    def look() -> None:
        outlet.look()
        depth.set(outlet.waiting.depth)
        oldest.set(outlet.waiting.oldest)

    outlet.taken, outlet.waiting.ended = batches.note, waited.note
    metrics.look(look, depth, oldest)


class Outlet:
    """The way out of the table, and who has been handed what. Methods raise SQLAlchemyError when the database fails."""

    def __init__(self, engine: Engine, clock: Callable[[], float]) -> None:
        self._engine, self._clock = engine, clock
        self._lock = threading.Lock()
        self._leases: dict[bytes, float] = {}
        self._reached = b""
        self.waiting = Waiting(clock)
        self.taken: Callable[[int], None] = lambda rows: None

    def take(self, most: int, *, anew: bool = False) -> list[Row]:
        """Up to `most` rows that nobody holds, now leased to the caller, in the order of their random keys. `anew`:
        whoever held any before has ended, or has lost the answer, so all are there to be had.

        It goes round: each call begins where the last one ended, so that no row waits behind those that keep coming.
        """
        with self._lock:
            now = self._clock()
            if anew:
                self._leases.clear()
            self._leases = {key: end for key, end in self._leases.items() if end > now}
            taken = self._round(most)
            self._leases.update((row.key, now + LEASE_SECONDS) for row in taken)
        self.waiting.saw(row.key for row in taken)
        if taken:
            self.taken(len(taken))
        return taken

    def ack(self, keys: Sequence[bytes]) -> None:
        """Deletes the rows; keys that are not there, or no longer, are no fault. When it returns the deletion is on
        disk."""
        with self._engine.begin() as connection:
            connection.execute(text("SET LOCAL synchronous_commit TO on"))
            connection.execute(delete(queued).where(queued.c.key.in_(keys)))
            failpoints.at("queue.deleting")
        failpoints.at("queue.deleted")
        with self._lock:
            for key in keys:
                self._leases.pop(key, None)
        self.waiting.gone(keys)

    def look(self) -> None:
        """Brings `waiting` up to date with the keys of all rows, 16 bytes each of as many as the table may hold."""
        with self._engine.connect() as connection:
            self.waiting.are([bytes(key) for key in connection.scalars(select(queued.c.key))])

    def _round(self, most: int) -> list[Row]:
        began, wrapped, found = self._reached, False, list[Row]()
        with self._engine.connect() as connection:
            while True:
                query = select(queued.c.key, queued.c.data).where(queued.c.key > self._reached)
                if wrapped:
                    query = query.where(queued.c.key <= began)
                page = connection.execute(query.order_by(queued.c.key).limit(most)).all()
                for row in page:
                    self._reached = bytes(row.key)
                    if self._reached not in self._leases:
                        found.append(Row(self._reached, bytes(row.data)))
                    if len(found) == most:
                        return found
                if len(page) < most:
                    if wrapped or not began:
                        return found
                    wrapped, self._reached = True, b""


def egress(outlet: Outlet, token: str) -> FastAPI:
    """The application: `POST /take?most=N` (1 to 256; with `&anew=true`, what was handed out before, too) and `POST
    /ack`, both with the bearer token.
    """
    app = http.application("queue egress")
    places = http.Places(MOST_AT_ONCE)

    @app.post("/take")
    async def take(
        request: Request, most: Annotated[int, Query(ge=1, le=MOST_ENTRIES)], anew: bool = False
    ) -> Response:
        http.require_token(request, token)
        with places:
            rows = await run_in_threadpool(outlet.take, most, anew=anew)
            return Response(write_rows(rows), media_type="application/octet-stream")

    @app.post("/ack", status_code=204)
    async def ack(request: Request) -> Response:
        http.require_token(request, token)
        keys = read_keys(await http.read_body(request, MOST_KEYS * KEY_BYTES))
        await run_in_threadpool(outlet.ack, keys)
        return Response(status_code=204)

    return app
