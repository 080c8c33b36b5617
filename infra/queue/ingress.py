"""The queue's face towards intake: it takes entries and says nothing.

Every request that worked is answered by the same 27 bytes once its entries are on disk; to everything else the
connection is dropped. So nothing can flow back to intake but "stored" and "not stored": no text, no count, no header.
The last word has not this application but the gate on the connection, through which only those bytes pass, whoever
wrote them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from psycopg.errors import CheckViolation
from sqlalchemy import Connection, Engine, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA
from sqlalchemy.exc import IntegrityError
from starlette.concurrency import run_in_threadpool

from audit.log.tiles import MAX_BUNDLE, unframe
from audit.protocol.refused import Refused
from infra import config, database, failpoints, http, log
from infra.connections import BoundedProtocol, expect_body
from infra.keys import KeyFileError, read_token
from infra.metrics import SIZES, Metrics
from infra.private import Private, reachable, serve
from infra.queue.face import MOST_ENTRIES, MOST_INTAKES, IngressConfig, check_role
from infra.queue.schema import KEY_BYTES, SCHEMA, SHARE

Store = Callable[[Sequence[bytes], str], None]
"""Stores all entries of an intake's put, or none."""

# One statement for all rows, for each one has the table's bounds looked at.
INSERT = text("INSERT INTO public.queued (key, data, intake) SELECT *, :intake FROM unnest(:keys, :data)").bindparams(
    bindparam("keys", type_=ARRAY(BYTEA)), bindparam("data", type_=ARRAY(BYTEA)), bindparam("intake", type_=Text)
)
# For this transaction, to the trigger that looks whether the share is full.
SHARED = text("SELECT set_config('psephos.intake', :intake, true), set_config('psephos.entries', :entries, true)")
MOST_AT_ONCE = 4
"""Puts of one intake, of up to 16 MiB, that are on their way or wait for their turn: an intake makes one after another,
but those of which it has lost sight may take BODY_SECONDS to end."""
MOST_CONNECTIONS = MOST_AT_ONCE * MOST_INTAKES + 56
"""More than over which puts may be on their way: no put is cut off for who has none, or too many."""
BODY_SECONDS = 30.0
"""In which a put has to come: as long as an intake waits for the answer."""
SAID_AGAIN_SECONDS = 10.0
ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"

_log = log.Log("queue.ingress", share_full=("intake",))


def run(path: Path) -> None:
    """Runs the service that the TOML file at `path` describes, until it is told to stop. ConfigError, KeyFileError."""
    settings = config.load(IngressConfig, path)
    tokens = read_tokens(settings.intakes)
    engine = database.engine(settings.database, settings.passfile, name="queue-ingress")
    SCHEMA.check(engine)
    check_role(path, engine, "ingress", "INSERT")
    metrics = Metrics()
    store = counted(Inlet(engine), metrics, tokens)
    private = Private(settings.private, metrics, lambda: reachable(engine))
    serve(ingress(store, tokens), settings.listen, private, protocol=GatedProtocol)


def read_tokens(files: Mapping[str, Path]) -> dict[str, str]:
    """The token of each intake. KeyFileError as `read_token`, and if two have the same: neither had a share of its
    own."""
    tokens: dict[str, str] = {}
    for name, path in files.items():
        token = read_token(path)
        if token in tokens.values():
            raise KeyFileError(f"{path}: holds the token of another intake, too; each needs one of its own")
        tokens[name] = token
    return tokens


class ShareFull(Exception):
    """The queue holds as much of this intake as it may."""


class Inlet:
    """The way into the table, for a role that may do nothing but INSERT."""

    def __init__(self, engine: Engine, draw: Callable[[int], bytes] = os.urandom) -> None:
        self._engine, self._draw = engine, draw

    def store(self, entries: Sequence[bytes], intake: str | None = None) -> None:
        """Stores all entries or none; when it returns they are on disk. `intake`: in whose share, None if in nobody's.
        ShareFull; SQLAlchemyError if the database cannot be used."""
        try:
            with self._engine.begin() as connection:
                self.store_within(connection, entries, intake)
                failpoints.at("queue.storing")
        except IntegrityError as error:
            if isinstance(error.orig, CheckViolation) and error.orig.diag.constraint_name == SHARE:
                raise ShareFull from None
            raise
        failpoints.at("queue.stored")

    def store_within(self, connection: Connection, entries: Sequence[bytes], intake: str | None = None) -> None:
        """As `store`, in the caller's transaction."""
        rows = {"keys": [self._draw(KEY_BYTES) for _ in entries], "data": list(entries), "intake": intake}
        # Whatever the role or the cluster is set to: the commit waits for the disk.
        connection.execute(text("SET LOCAL synchronous_commit TO on"))
        if intake is not None:
            connection.execute(SHARED, {"intake": intake, "entries": str(len(entries))})
        connection.execute(INSERT, rows)


def counted(inlet: Inlet, metrics: Metrics, intakes: Iterable[str]) -> Store:
    """The inlet's `store`, with what is counted and logged of it; Problem 503 `full` for a put beyond the share."""
    sizes = metrics.spread("queue_put_entries", "Entries stored at a time.", SIZES)
    full = metrics.count("queue_share_full", "Puts beyond the share of their intake, by intake.", intake=intakes)
    seldom = {name: log.Seldom(SAID_AGAIN_SECONDS) for name in intakes}

    def store(entries: Sequence[bytes], intake: str) -> None:
        try:
            inlet.store(entries, intake)
        except ShareFull:
            full.add(intake=intake)
            if seldom[intake].due():
                _log.warning("share-full", intake=intake)
            raise http.Problem(503, "full", "the queue holds as much of this intake as it may") from None
        sizes.note(len(entries))

    return store


def ingress(store: Store, tokens: Mapping[str, str]) -> FastAPI:
    """The application: `POST /put` with a bundle of 1 to 256 entries, with the bearer token of one of the intakes. What
    it answers beside 204 never leaves the gate.
    """
    app = http.application("queue ingress")
    places = {name: http.Places(MOST_AT_ONCE) for name in tokens}
    # One after another of each: else several would each find that there is room for one.
    turns = {name: asyncio.Lock() for name in tokens}

    @app.post("/put", status_code=204)
    async def put(request: Request) -> Response:
        intake = http.whose_token(request, tokens)
        # Taken before the body is read: who sends slowly, or much, keeps nobody out but itself.
        with places[intake]:
            expect_body(request.scope)
            entries = list(unframe(await body_of(request), MOST_ENTRIES))
            if not entries or not all(entries):
                raise Refused("syntax", "a put holds at least one entry, and no empty one")
            async with turns[intake]:
                await run_in_threadpool(store, entries, intake)
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
