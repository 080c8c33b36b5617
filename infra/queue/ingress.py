"""The queue's face towards intake: it takes entries and says nothing.

Every request that worked is answered by the same 27 bytes once its entries are on disk; to everything else the
connection is dropped. So nothing can flow back to intake but "stored" and "not stored": no text, no count, no header.
The last word has not this application but the gate on the connection, through which only those bytes pass, whoever
wrote them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from sqlalchemy import Connection, Engine, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA
from starlette.concurrency import run_in_threadpool

from audit.log.tiles import MAX_BUNDLE, unframe
from audit.protocol.refused import Refused
from infra import config, database, failpoints, http
from infra.connections import BoundedProtocol
from infra.keys import read_token
from infra.metrics import SIZES, Metrics
from infra.private import Private, reachable, serve
from infra.queue.face import MOST_ENTRIES, FaceConfig
from infra.queue.schema import KEY_BYTES, SCHEMA

# One statement for all rows, for each one has the table's bound looked at.
INSERT = text("INSERT INTO queued (key, data) SELECT * FROM unnest(:keys, :data)").bindparams(
    bindparam("keys", type_=ARRAY(BYTEA)), bindparam("data", type_=ARRAY(BYTEA))
)
MOST_AT_ONCE = 8
"""Puts that are being stored; an intake makes one after another."""
MOST_CONNECTIONS = 64
"""Over each of which up to 16 MiB may be on their way."""
BODY_SECONDS = 30.0
"""In which a put has to come: as long as an intake waits for the answer."""
ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


def run(path: Path) -> None:
    """Runs the service that the TOML file at `path` describes, until it is told to stop. ConfigError, KeyFileError."""
    settings = config.load(FaceConfig, path)
    token = read_token(settings.token)
    engine = database.engine(settings.database, settings.passfile, name="queue-ingress")
    SCHEMA.check(engine)
    metrics = Metrics()
    inlet, puts = Inlet(engine), metrics.spread("queue_put_entries", "Entries stored at a time.", SIZES)

    def store(entries: Sequence[bytes]) -> None:
        inlet.store(entries)
        puts.note(len(entries))

    private = Private(settings.private, metrics, lambda: reachable(engine))
    serve(ingress(store, token), settings.listen, private, protocol=GatedProtocol)


class Inlet:
    """The way into the table, for a role that may do nothing but INSERT."""

    def __init__(self, engine: Engine, draw: Callable[[int], bytes] = os.urandom) -> None:
        self._engine, self._draw = engine, draw

    def store(self, entries: Sequence[bytes]) -> None:
        """Stores all entries or none; when it returns they are on disk. SQLAlchemyError if the database cannot be
        used."""
        with self._engine.begin() as connection:
            self.store_within(connection, entries)
            failpoints.at("queue.storing")
        failpoints.at("queue.stored")

    def store_within(self, connection: Connection, entries: Sequence[bytes]) -> None:
        """As `store`, in the caller's transaction."""
        rows = {"keys": [self._draw(KEY_BYTES) for _ in entries], "data": list(entries)}
        # Whatever the role or the cluster is set to: the commit waits for the disk.
        connection.execute(text("SET LOCAL synchronous_commit TO on"))
        connection.execute(INSERT, rows)


def ingress(store: Callable[[Sequence[bytes]], None], token: str) -> FastAPI:
    """The application: `POST /put` with a bundle of 1 to 256 entries. What it answers beside 204 never leaves the
    gate."""
    app = http.application("queue ingress")
    places = http.Places(MOST_AT_ONCE)

    @app.post("/put", status_code=204)
    async def put(request: Request) -> Response:
        http.require_token(request, token)
        # Read before it takes a place: who sends slowly keeps nobody else out.
        entries = list(unframe(await body_of(request), MOST_ENTRIES))
        if not entries or not all(entries):
            raise Refused("syntax", "a put holds at least one entry, and no empty one")
        with places:
            await run_in_threadpool(store, entries)
        return Response(status_code=204)

    return app


async def body_of(request: Request) -> bytes:
    """The request's body; Problem 413 above 16 MiB, 408 if it takes too long to come."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await http.read_body(request, MAX_BUNDLE)
    except TimeoutError:
        raise http.Problem(408, "too-slow", f"the put did not come within {BODY_SECONDS:g} seconds") from None


class GatedProtocol(BoundedProtocol):
    """HTTP/1.1 as uvicorn speaks it, behind a gate that only ANSWER can pass."""

    most = MOST_CONNECTIONS
    known_by_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(Gate(transport))


class Gate(asyncio.Transport):
    """A connection over which ANSWER can be sent; any other bytes end it at once, unsent."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport

    def write(self, data: Any) -> None:
        if not data:
            return
        # The status alone decides: whether a library adds a header must not be seen outside.
        if bytes(data[:13]) == ANSWER[:13] and bytes(data[-4:]) == b"\r\n\r\n":
            self._transport.write(ANSWER)
        else:
            self._transport.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._transport.set_protocol(protocol)
