"""The queue's table is bounded, and what comes to it: beyond, nothing is said to be stored, and ingress cannot look."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from sqlalchemy.exc import OperationalError

from audit.log.tiles import frame
from infra import http
from infra.postgres import Cluster
from infra.queue import ingress, schema
from infra.queue.egress import Outlet
from infra.queue.ingress import Inlet
from tests.loopback import PATIENCE, serving, wait_until
from tests.queue.conftest import Queue, Service, made_in, running
from tests.queue.test_egress import Clock
from tests.vault.conftest import TOKEN


@pytest.fixture
def small(cluster: Cluster) -> Iterator[Queue]:
    with made_in(cluster) as queue:
        with queue.owner.begin() as connection:
            schema.install(connection, *roles_of(queue), most=10)
        yield queue


def roles_of(queue: Queue) -> list[str]:
    return [engine.url.username or "" for engine in (queue.ingress, queue.egress)]


def test_a_full_queue_stores_nothing_more_until_some_is_acknowledged(small: Queue) -> None:
    inlet, outlet = Inlet(small.ingress), Outlet(small.egress, Clock())
    inlet.store([b"entry %d" % number for number in range(10)])
    with pytest.raises(OperationalError, match="the queue is full"):
        inlet.store([b"one more"])
    rows = outlet.take(256)
    assert {row.data for row in rows} == {b"entry %d" % number for number in range(10)}
    outlet.ack([rows[0].key])
    # All of a put or nothing.
    with pytest.raises(OperationalError, match="the queue is full"):
        inlet.store([b"two", b"more"])
    inlet.store([b"one more"])


def put(service: Service, *entries: bytes) -> bool:
    """Whether ingress says that it has stored them; it says nothing else."""
    try:
        answer = httpx.post(f"{service.url}/put", content=frame(entries), headers=service.headers, timeout=60)
    except httpx.TransportError:
        return False
    assert (answer.status_code, answer.content) == (204, b"")
    return True


def test_ingress_says_nothing_when_it_is_full(small: Queue, tmp_path: Path) -> None:
    with running(small, "ingress", tmp_path) as service:
        assert put(service, *(b"entry %d" % number for number in range(10)))
        assert not put(service, b"one more")
        with small.owner.begin() as connection:
            connection.exec_driver_sql("DELETE FROM queued")
        assert put(service, b"one more")


def test_installed_again_the_bound_stands_once(small: Queue) -> None:
    with small.owner.begin() as connection:
        schema.install(connection, *roles_of(small), most=3)
    inlet = Inlet(small.ingress)
    inlet.store([b"1", b"2", b"3"])
    with pytest.raises(OperationalError, match="the queue is full"):
        inlet.store([b"4"])


@contextmanager
def unfinished(url: str, most: int, token: str = TOKEN) -> Iterator[list[socket.socket]]:
    """So many puts whose bodies do not come."""
    where = urlsplit(url)
    head = f"POST /put HTTP/1.1\r\nHost: queue\r\nAuthorization: Bearer {token}\r\nContent-Length: 9\r\n\r\nx"
    with ExitStack() as stack:
        made = [(where.hostname or "", where.port or 0) for _ in range(most)]
        connections = [stack.enter_context(socket.create_connection(one, PATIENCE)) for one in made]
        for connection in connections:
            # Too many are ended as they come.
            with suppress(ConnectionError):
                connection.sendall(head.encode())
        yield connections


def test_a_put_that_does_not_come_to_an_end_is_answered_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingress, "BODY_SECONDS", 0.05)
    app = ingress.ingress(lambda entries, intake: None, {"intake-1": TOKEN})
    with serving(app) as url, unfinished(url, 1) as (connection,):
        assert connection.recv(1024).startswith(b"HTTP/1.1 408 ")


def test_many_connections_that_say_nothing_do_not_cut_a_put_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do those that begin a put without the token."""
    monkeypatch.setattr(ingress.GatedProtocol, "most", most := 64)
    stored: list[Sequence[bytes]] = []
    body = frame([b"entry"])
    head = f"POST /put HTTP/1.1\r\nHost: queue\r\nContent-Length: {len(body)}\r\n".encode()
    with (
        gated(ingress.ingress(lambda entries, _: stored.append(entries), {"intake-1": TOKEN})) as where,
        ExitStack() as stack,
    ):
        put = stack.enter_context(socket.create_connection(where, PATIENCE))
        put.sendall(head + f"Authorization: Bearer {TOKEN}\r\n\r\n".encode() + body[:3])
        for number in range(2 * most):
            silent = stack.enter_context(socket.create_connection(where, PATIENCE))
            if number % 2:
                silent.sendall(head + b"\r\n")
                # The gate ends it, unanswered, so those before it have come in.
                assert ended(silent)
        put.sendall(body[3:])
        assert put.recv(1024) == ingress.ANSWER
    assert stored == [[b"entry"]]


def ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@contextmanager
def gated(app: FastAPI) -> Iterator[tuple[str, int]]:
    """Host and port of the application, behind its gate."""
    sockets = http.bind("127.0.0.1:0")
    server = uvicorn.Server(http.server_config(app, ingress.GatedProtocol))
    thread = threading.Thread(target=server.run, args=(sockets,), daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield sockets[0].getsockname()
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
