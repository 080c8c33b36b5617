"""The door: intake's HTTP service. `POST /ORIGIN/entries` takes one entry and answers with a receipt, or with a
refusal.

201 with `{"line": ..., "receipt": ...}` once the entry is on disk here, 200 with the same receipt for the same text
again. Nothing is ever answered about who handed in what.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from audit.log.keys import ED25519, Signer
from audit.log.reader import HttpReader, Reader
from audit.protocol.elgamal import ZERO
from audit.record.entries import MAX_ENTRY
from audit.record.manifest import Manifest, load_manifest
from infra import lasting
from infra.config import ConfigError, load
from infra.database import UNAVAILABLE, engine, tell
from infra.follow import Follower
from infra.http import Problem, application, problem, read_body
from infra.keys import read_signer, read_token
from infra.metrics import Metrics
from infra.private import Private, Ready, serve
from infra.sole import PATIENCE_SECONDS, Occupied, Sole
from infra.workers import CheckingPool
from intake.door.clerk import Clerk, Item, Store
from intake.door.config import DoorConfig
from intake.door.figures import add_figures, coarse, readiness
from intake.door.key import DoorKey
from intake.door.mover import Mover, Put, QueueClient
from intake.door.outbox import Accepted, Drained, Outbox
from intake.door.reception import Reception
from intake.door.schema import ONE_DOOR, SCHEMA
from intake.door.standing import MOST_BALLOTS, Standing
from intake.door.watch import Watch

CONNECTIONS = 6
MOST_AT_ONCE = 512
"""Entries checked at the same time; the next is told to come again, so that a crowd does not fill the memory."""
BODY_SECONDS = 20.0
"""How long a client may take to send 65,535 bytes."""


def run(path: Path) -> None:
    """Serves until told to stop. ConfigError, KeyFileError, Refused, OSError or Occupied if it cannot begin."""
    config = load(DoorConfig, path)
    database, manifest, signer = opened(path, config)
    SCHEMA.check(database)
    queue = QueueClient(config.queue.url, read_token(config.queue.token))
    how = (config.workers, config.poll_ms / 1000, config.most_waiting)
    later = read_signer(config.next_key) if config.next_key else None
    check_office(path, manifest, signer, later)
    sole = alone(config, manifest)
    one = (sole.keep, sole.expect)
    door = Door(manifest, signer, database, readers(config, manifest), queue.put, *how, later, *one)
    metrics = coarse(manifest)
    app, ready = door.opened(metrics)
    serve(app, config.listen, Private(config.private, metrics, ready))


def opened(path: Path, config: DoorConfig) -> tuple[Engine, Manifest, Signer]:
    """What the configuration at `path` names: the outbox's database, whose election it is, and the intake's key.

    ConfigError, KeyFileError, Refused or OSError.
    """
    manifest, _ = load_manifest(config.manifest, config.manifest_hash)
    signer = read_signer(config.key)
    check_office(path, manifest, signer)
    return (engine(config.database, config.passfile, name="psephos-intake", connections=CONNECTIONS), manifest, signer)


def readers(config: DoorConfig, manifest: Manifest) -> list[Reader]:
    """One of each custodian's log."""
    return [HttpReader(f"{url.rstrip('/')}/{manifest.origin}") for url in config.custodians]


def alone(config: DoorConfig, manifest: Manifest) -> Sole:
    """What makes this the one process at the outbox. Occupied if another is, and does not end; if the database is away,
    the watch sees to it.
    """
    one_session = engine(config.database, config.passfile, name="psephos-intake-sole", connections=1)
    sole, end = Sole(one_session, manifest.origin, purpose=ONE_DOOR), time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            sole.keep()
            return sole
        except UNAVAILABLE:
            return sole
        except Occupied:
            if time.monotonic() > end:
                text = "another intake, or `outbox restore`, is at work on this outbox"
                raise Occupied(f"{text}: end it, or name another database") from None
        time.sleep(0.25)


def check_office(path: Path, manifest: Manifest, signer: Signer, later: Signer | None = None) -> None:
    """ConfigError unless the keys carry the name of an intake, and may sign entries. Whether one counts, the log says:
    it may have been replaced, or be meant to replace another.
    """
    faults = []
    if signer.name not in {key.name for key in manifest.intakes} or signer.verifier.type != ED25519:
        faults.append(f"key `key` holds the key of no intake of {manifest.origin}")
    if later is not None and (later.name, later.verifier.type) != (signer.name, ED25519):
        faults.append(f"key `next_key` holds no key of {signer.name} that signs entries")
    if faults:
        raise ConfigError(path, faults)


@dataclass(frozen=True)
class Door:
    """All that one intake is made of; `pause`: seconds between two looks at the log; `most`: ballots that may wait;
    `later`: the key that will replace `signer`; `keep` raises if another process works, or has worked, on the outbox,
    and `expect`, too, which does not take its place.
    """

    manifest: Manifest
    signer: Signer
    engine: Engine
    readers: Sequence[Reader]
    put: Put
    workers: int
    pause: float
    most: int = MOST_BALLOTS
    later: Signer | None = None
    keep: Callable[[], None] = lambda: None
    expect: Callable[[], None] = lambda: None

    def app(self) -> FastAPI:
        """The application, whose lifespan starts and ends the watch, the mover, the clerk and the checking pool."""
        return self.opened(coarse(self.manifest))[0]

    def opened(self, metrics: Metrics) -> tuple[FastAPI, Ready]:
        """The same, with `metrics` telling how it goes, and whether it can do its work."""
        standing, outbox = Standing(), Outbox(self.engine, self.manifest.origin)
        key = DoorKey([self.signer] if self.later is None else [self.signer, self.later], self.manifest)
        expect, workers = expecting(self.expect), Workers(standing, self.workers)
        clerk = Clerk(storing(outbox, key, expect))
        mover = Mover(outbox, self.put, self.manifest.batch_min, self.manifest.batch_wait)
        known = (self.engine, self.manifest, key)
        watch = Watch(self._follow, standing, outbox, *known, workers.pool, most=self.most, keep=self.keep)
        behind = (outbox, clerk.accept, workers.pool)
        reception = Reception(self.manifest, key, standing, self.engine, *behind, expect=expect)
        app = door_app(self.manifest.origin, reception, mover.ring)
        app.router.lifespan_context = self._lifespan(clerk, mover, watch, workers, standing)
        add_figures(metrics, self.manifest, self.engine, standing, mover, watch)
        return app, readiness(standing, watch, key, self.engine)

    def _follow(self) -> Follower:
        return Follower(self.readers, self.manifest.hash)

    def _lifespan(
        self, clerk: Clerk, mover: Mover, watch: Watch, workers: Workers, standing: Standing
    ) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            stop = threading.Event()
            threads = [
                lasting.start("mover", lambda: mover.run(stop), standing.end),
                lasting.start("watch", lambda: watch.run(stop, self.pause), standing.end),
            ]
            writing = asyncio.create_task(clerk.run())
            writing.add_done_callback(lambda _: standing.end())
            try:
                yield
            finally:
                stop.set()
                mover.ring()
                for thread in threads:
                    await asyncio.to_thread(thread.join)
                writing.cancel()
                await asyncio.to_thread(workers.close)

        return lifespan


class Workers:
    """The processes that check ballots, started when voting is open or with the first ballot, and their end."""

    def __init__(self, standing: Standing, workers: int) -> None:
        self._standing = standing
        self._workers = workers
        self._starting = threading.Lock()
        self._pool: CheckingPool | None = None

    def pool(self) -> CheckingPool:
        """The pool. Refused `not-complete` before all rolls are there."""
        with self._starting:
            if self._pool is None:
                self._pool = CheckingPool(self._standing.checker(), self._workers)
                for _ in range(self._workers):
                    # Nothing to check, but it makes a worker start now and not when a voter waits.
                    self._pool.submit_text(b"", ZERO)
            return self._pool

    def close(self) -> None:
        """Ends them."""
        if self._pool is not None:
            self._pool.close()


def expecting(expect: Callable[[], None]) -> Callable[[], None]:
    """`expect`, as a request is answered: Problem 503 `not-ready` once another process may be at work on the outbox,
    however long the watch takes to see that.
    """

    def expected() -> None:
        try:
            expect()
        except Occupied:
            text = "another process is at work on this intake's outbox; please try again in a moment"
            raise Problem(503, "not-ready", text) from None

    return expected


def storing(outbox: Outbox, key: DoorKey, expect: Callable[[], None] = lambda: None) -> Store:
    """Stores in the outbox, if `expect` does not raise, and tells the key."""

    def store(items: Sequence[Item]) -> list[Accepted | Drained]:
        expect()
        try:
            return outbox.accept(items)
        finally:
            # Also if it failed, or its client has gone: it may be there.
            key.stored(entry for entry, _ in items)

    return store


def door_app(origin: str, reception: Reception, accepted: Callable[[], None]) -> FastAPI:
    """The application for one origin; `accepted` is called after something new was stored."""
    app = application("intake")
    app.add_exception_handler(SQLAlchemyError, _on_failure)
    app.add_exception_handler(Exception, _on_failure)
    places = asyncio.Semaphore(MOST_AT_ONCE)

    @app.post(f"/{origin}/entries")
    async def entries(request: Request) -> Response:
        # Read before it takes a place: a client that sends slowly keeps nobody else out.
        raw = await body_of(request)
        if places.locked():
            raise Problem(503, "busy", "this intake is busy; please try again in a moment")
        async with places:
            answer = await reception.hand_in(raw)
        if answer.new:
            accepted()
        content = {"line": answer.line, "receipt": answer.receipt.decode()}
        return JSONResponse(content, 201 if answer.new else 200)

    return app


async def body_of(request: Request) -> bytes:
    """The request's body; Problem 413 above 65,535 bytes, 408 if it takes too long to come."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await read_body(request, MAX_ENTRY)
    except TimeoutError:
        raise Problem(408, "too-slow", f"the entry did not come within {BODY_SECONDS:.0f} seconds") from None


async def _on_failure(_: Request, error: Exception) -> Response:
    tell(error)
    return problem(503, "not-stored", "the entry could not be stored, or that is not known; please hand it in again")
