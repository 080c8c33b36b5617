"""What all HTTP services share: refusals as one problem object (RFC 9457) and nothing else, the bearer-token check,
bodies read only up to a limit, and the uvicorn runner with every line of its own logging turned off. A service builds
its FastAPI app with `application` and hands it to `serve`, with what it shows on its private port (`private.py`)."""

from __future__ import annotations

import hmac
import json
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from audit.protocol.refused import Refused
from infra import log
from infra.connections import BoundedProtocol
from infra.database import tell
from infra.stopping import on_signal

_log = log.Log("infra.http", wrong_token=())
_wrong_token = log.Seldom(10)

PROBLEM = "application/problem+json"
RETRY_SECONDS = 5
"""What a client is told to wait when a service cannot do now what it was asked."""
MORE_HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": str(RETRY_SECONDS)}}
SHUTDOWN_SECONDS = 5
# Longer than any client of ours keeps an idle connection: were it as long, one could close just as it is used again.
IDLE_SECONDS = 60

# A refusal by the rules is 422 unless its reason says something about the request rather than about the entry.
STATUS_OF_REASON = {
    "too-long": 413,
    "syntax": 400,
    "not-canonical": 400,
    "closed": 409,
    "not-open": 409,
    "wrong-phase": 409,
    "duplicate": 409,
    "out-of-date": 409,
    "revision-lower": 409,
    "revision-repeated": 409,
}

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


refused_with: ContextVar[list[str] | None] = ContextVar("refused_with", default=None)
"""Where the reasons of the problems that answer the present request are noted, for who counts them."""


class Problem(Exception):
    """Ends a request with this status and one problem object; `field` is the JSON path at fault, or empty."""

    def __init__(self, status: int, reason: str, detail: str, field: str = "") -> None:
        self.status, self.reason, self.detail, self.field = status, reason, detail, field
        super().__init__(reason)


class CannotListen(Exception):
    """An address that a service cannot have; the message names it and says why."""


def application(title: str) -> FastAPI:
    """An app without documentation pages that answers `GET /healthz` with 204 and every failure with a problem."""
    app = FastAPI(title=title, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(Refused, _on_refused)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(ClientDisconnect, _on_gone)
    app.add_exception_handler(Exception, _on_failure)

    @app.get("/healthz", status_code=204)
    async def healthz() -> Response:
        return Response(status_code=204)

    return app


def problem(status: int, reason: str, detail: str, field: str = "") -> Response:
    """The RFC 9457 response: type, title, status, detail, and our members reason (kebab-case code) and field."""
    if (reasons := refused_with.get()) is not None:
        reasons.append(reason)
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "field": field,
        "reason": reason,
    }
    headers = MORE_HEADERS.get(status)
    return Response(json.dumps(body), status, headers, PROBLEM)


def refusal(refused: Refused) -> Response:
    """The problem response for a refusal by the rules; its status is 4xx."""
    return problem(STATUS_OF_REASON.get(refused.reason, 422), refused.reason, refused.detail, refused.field)


def require_token(request: Request, token: str) -> None:
    """Returns if the request carries `Authorization: Bearer TOKEN` (RFC 6750); Problem 401 otherwise."""
    whose_token(request, {"": token})


def whose_token(request: Request, tokens: Mapping[str, str]) -> str:
    """The name under which the token of the request is among `tokens`; else as `require_token`."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    # Compared with each, so that how long it takes does not say whose it begins like.
    found = [name for name, one in tokens.items() if hmac.compare_digest(given.strip().encode(), one.encode())]
    if scheme.lower() != "bearer" or not found:
        if _wrong_token.due():
            _log.warning("wrong-token")
        raise Problem(401, "no-token", "the request does not carry this service's bearer token")
    return found[0]


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body, at most `limit` bytes; Problem 413 as soon as more is announced or arrives."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise _too_long(limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_long(limit)
    return bytes(body)


class Places:
    """For requests of which each may hold much memory: so many at a time, Problem 503 `busy` for the next. A request
    takes one with `with`, in the event loop.
    """

    def __init__(self, most: int) -> None:
        self._free = most

    def __enter__(self) -> None:
        if not self._free:
            raise Problem(503, "busy", "as many requests of this kind as may be are under way; come again")
        self._free -= 1

    def __exit__(self, *_: object) -> None:
        self._free += 1


def serve(app: App, listen: str, *, protocol: type[BoundedProtocol] = BoundedProtocol) -> None:
    """Serves `app` on `listen` (`ADDRESS:PORT`) until SIGTERM or SIGINT, then finishes what it is answering, for at
    most 5 seconds; see `stopping` for what else a signal does. ValueError if `listen` is not of that form;
    CannotListen; SystemExit if the app cannot start."""
    sockets = bind(listen)
    log.quieten_libraries()
    server = Server(server_config(app, protocol))
    on_signal(server.end)
    server.run(sockets)
    if not server.started:
        sys.exit(1)


class Server(uvicorn.Server):
    """Leaves signals to who runs it, and ends when told."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def end(self) -> None:
        self.should_exit = True


def server_config(app: App, protocol: type[BoundedProtocol] = BoundedProtocol) -> uvicorn.Config:
    """How every service serves: within the bounds of connections.py, and without a word in a log or a header."""
    return uvicorn.Config(
        silent(app),
        loop="uvloop",
        http=protocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


def bind(listen: str) -> list[socket.socket]:
    """A bound socket for every address that `listen` stands for. ValueError if it is not ADDRESS:PORT; CannotListen.

    The server would bind them, too, but say of what hinders it no more than a library may.
    """
    address, port = parse_listen(listen)
    sockets: list[socket.socket] = []
    try:
        for family, kind, number, _, place in socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            one = socket.socket(family, kind, number)
            sockets.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(place)
    except OSError as error:
        for one in sockets:
            one.close()
        raise CannotListen(f"cannot listen on {listen}: {error.strerror}") from None
    return sockets


def parse_listen(listen: str) -> tuple[str, int]:
    """Address and port of `ADDRESS:PORT` (IPv6 in brackets); ValueError otherwise."""
    address, colon, port = listen.rpartition(":")
    if not colon or not address or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"`listen` must be ADDRESS:PORT, not {listen!r}")
    return address.strip("[]"), int(port)


def silent(app: App) -> App:
    """`app`, except that an error it has already answered is not raised again: the server would print its traceback."""

    async def quiet(scope: Message, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        except Exception:
            if scope["type"] != "http":
                raise

    return quiet


def _too_long(limit: int) -> Problem:
    return Problem(413, "too-long", f"the request is longer than {limit} bytes")


async def _on_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem(error.status, error.reason, error.detail, error.field)


async def _on_refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return refusal(error)


async def _on_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return problem(422, "wrong-type", first["msg"], ".".join(str(part) for part in first["loc"]))


async def _on_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    reasons = {404: "not-found", 405: "method-not-allowed"}
    return problem(error.status_code, reasons.get(error.status_code, "refused"), HTTPStatus(error.status_code).phrase)


async def _on_gone(_: Request, error: Exception) -> Response:
    return Unanswered()


class Unanswered(Response):
    """For a client that has gone in the middle of its request, which is no failure, and nobody's to know of."""

    async def __call__(self, *_: object) -> None:
        return


async def _on_failure(_: Request, error: Exception) -> Response:
    tell(error)
    return problem(500, "internal", "the service failed; what it had accepted before is not lost")
