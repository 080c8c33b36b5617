"""What a service shows those who run it, on a port of its own that nobody else may reach: `GET /healthz`, the process
lives; `GET /readyz`, it can do its work now, or 503 with the reason; `GET /metrics`, its figures for Prometheus.

It has a thread and an event loop of its own, so that it answers while the service is at its limits.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Response
from sqlalchemy import Engine, text
from starlette.concurrency import run_in_threadpool
from starlette.routing import BaseRoute

from infra import http, log
from infra.connections import BoundedProtocol
from infra.database import UNAVAILABLE, tell
from infra.http import Message, Problem, Server, application, parse_listen, refused_with, server_config
from infra.metrics import MEDIA_TYPE, OTHER, Metrics
from infra.reasons import REASONS
from infra.waiting_for import WaitingFor

MAX_CONNECTIONS = 16
READY_SECONDS = 1.0
"""How old the answer to `readyz` may be: however often it is asked, what it looks at is not."""
PATIENCE_SECONDS = 3.0
"""In which what readiness looks at must have answered: a database that is stopped does not even refuse."""
CLASSES = ("2xx", "3xx", "4xx", "5xx", "none")
"""Of an answer's status; none: there was no answer, for the client had gone."""

Ready = Callable[[], str]
"""Why the service cannot do its work now, as a word; "" if it can. It may take a while."""


@dataclass(frozen=True)
class Private:
    """A service's private port, ADDRESS:PORT, if it has one, and what is shown there."""

    listen: str | None
    metrics: Metrics
    ready: Ready


def check_private(private: str | None, listen: str) -> None:
    """ValueError unless `private` is ADDRESS:PORT with another port than the one where everybody is served."""
    if private is None:
        return
    try:
        _, port = parse_listen(private)
    except ValueError:
        raise ValueError(f"`private` must be ADDRESS:PORT, not {private!r}") from None
    # Whatever the addresses: what stands for all of them includes the other.
    if port == parse_listen(listen)[1]:
        raise ValueError("`private` must have another port than `listen`: what it shows is not for everybody")


def serve(app: FastAPI, listen: str, private: Private, *, protocol: type[BoundedProtocol] = BoundedProtocol) -> None:
    """As `http.serve`, and shows on the private port how it goes, as long as it does."""
    with shown(private):
        http.serve(Counting(app, private.metrics), listen, protocol=protocol)


@contextmanager
def shown(private: Private) -> Iterator[None]:
    """Shows it until the end of the block. CannotListen."""
    if private.listen is None:
        yield
        return
    sockets = http.bind(private.listen)
    log.quieten_libraries()
    server = Server(server_config(private_app(private.metrics, private.ready), PrivateProtocol))
    thread = threading.Thread(target=server.run, args=(sockets,), name="private", daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield
    finally:
        server.end()
        thread.join()


def private_app(metrics: Metrics, ready: Ready) -> FastAPI:
    """The three addresses."""
    app = application("private")
    recent = Recent(ready)

    @app.get("/readyz", status_code=204)
    async def readyz() -> Response:
        if reason := await run_in_threadpool(recent):
            raise Problem(503, reason, "this service cannot do its work now")
        return Response(status_code=204)

    @app.get("/metrics")
    async def figures() -> Response:
        return Response(await run_in_threadpool(metrics.text), headers={"Content-Type": MEDIA_TYPE})

    return app


class Recent:
    """`ready`, asked once a second at most, by one thread at a time; whatever it raises is a reason too, and so is that
    it is not back in time: it is then asked again once it is.
    """

    def __init__(self, ready: Ready, clock: Callable[[], float] = time.monotonic) -> None:
        self._ready, self._clock = ready, clock
        self._last = -math.inf, ""
        self._asked = WaitingFor(self._ask, PATIENCE_SECONDS)

    def __call__(self) -> str:
        return self._last[1] if self._asked() else "too-slow"

    def _ask(self) -> None:
        if self._clock() < self._last[0] + READY_SECONDS:
            return
        try:
            reason = self._ready()
        except UNAVAILABLE as error:
            tell(error)
            reason = "database-away"
        except Exception as error:
            tell(error)
            reason = "failure"
        self._last = self._clock(), reason


class PrivateProtocol(BoundedProtocol):
    """HTTP/1.1 within the bounds of every service, for a few."""

    most = MAX_CONNECTIONS


def reachable(engine: Engine, question: str = "SELECT 1") -> str:
    """Ready as far as the database goes: it answers. OperationalError and the like otherwise."""
    with engine.connect() as connection:
        connection.execute(text(question))
    return ""


class Counting:
    """An app whose requests are counted by the template of their route and the class of the answer's status, and whose
    refusals by their reason; nothing else of a request is looked at.
    """

    def __init__(self, app: FastAPI, metrics: Metrics) -> None:
        self._app = app
        by = {"route": templates(app.routes), "status": CLASSES}
        self._requests = metrics.count("requests", "Requests, by route and class of the answer.", coarse=True, **by)
        self._refusals = metrics.count("refusals", "Requests refused, by reason.", coarse=True, reason=REASONS)

    async def __call__(self, scope: Message, receive: Any, send: Callable[[Message], Awaitable[None]]) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, reasons = "none", list[str]()

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = f"{message['status'] // 100}xx"
            await send(message)

        # Of this request alone: each has a context of its own.
        refused_with.set(reasons)
        try:
            await self._app(scope, receive, note)
        finally:
            # The template is the program's; what stood in its place in the request is not looked at.
            self._requests.add(route=getattr(scope.get("route"), "path", OTHER), status=status)
            for reason in reasons[-1:]:
                self._refusals.add(reason=reason)


def templates(routes: Sequence[BaseRoute]) -> Iterator[str]:
    """The path templates of these routes, those of included routers without their prefixes."""
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from templates(included.routes)
        else:
            yield getattr(route, "path", OTHER)
