"""A connection that is held open byte by byte is cut off, and meanwhile others are served: on real sockets, with the
settings of every service.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import httpx
import pytest
import uvicorn
from fastapi import Request, Response

from infra import connections, http
from infra.metrics import Metrics
from infra.private import Counting
from tests.loopback import PATIENCE, wait_until

HEAD = b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"


@pytest.fixture
def service() -> Iterator[str]:
    """ADDRESS:PORT of a service."""
    app = http.application("tests")

    @app.post("/body")
    async def body(request: Request) -> Response:
        return Response(await http.read_body(request, 10))

    @app.post("/size")
    async def size(request: Request) -> Response:
        return Response(str(len(await http.read_body(request, 1 << 20))))

    @app.get("/long")
    def long() -> Response:
        return Response(bytes(1 << 24))

    with running(app) as listen:
        yield listen


@contextmanager
def running(app: http.App) -> Iterator[str]:
    sockets = http.bind("127.0.0.1:0")
    server = uvicorn.Server(http.server_config(app))
    thread = threading.Thread(target=server.run, args=(sockets,), daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield "{}:{}".format(*sockets[0].getsockname())
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


def connect(listen: str) -> socket.socket:
    host, port = listen.split(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE)


def drip(connection: socket.socket, first: bytes, rest: bytes) -> None:
    """Sends byte after byte until the service has had enough, which it must."""
    connection.sendall(first)
    connection.settimeout(0.05)
    for i in range(int(PATIENCE / 0.05)):
        try:
            connection.sendall(rest[i % len(rest)].to_bytes(1, "big"))
            if connection.recv(1 << 16) == b"":
                return
        except TimeoutError:
            continue
        except OSError:
            return
    pytest.fail("the connection is still open")


def served(listen: str) -> bool:
    return httpx.post(f"http://{listen}/body", content=b"x", timeout=PATIENCE).content == b"x"


@pytest.mark.parametrize(
    ("first", "rest"),
    [
        (b"", b"GET /healthz HTTP/1.1\r\nA: "),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: ", b"a"),
        (b"", b"\r\n"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n"),
        (HEAD.replace(b"10", b"9999"), b"x"),
        (b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n", b"x"),
    ],
    ids=["first-line", "header", "newlines", "newlines-after-an-answer", "body", "body-after-the-answer"],
)
def test_who_sends_byte_by_byte_is_cut_off_and_others_are_served(
    service: str, first: bytes, rest: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(connections, "BODY_SECONDS", 0.3)
    with connect(service) as slow:
        assert served(service)
        drip(slow, first, rest)
    assert served(service)


def test_a_head_that_never_ends_is_cut_off(service: str) -> None:
    with connect(service) as endless, pytest.raises(OSError, match="reset|Broken pipe"):
        endless.sendall(b"GET / HTTP/1.1\r\nA: ")
        for _ in range(1 << 12):
            endless.sendall(b"a" * 4096)


CHUNKED = b"POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("first", "rest"),
    [(b"1\r\nx\r\n0\r\nA: ", b"a" * 4096), (b"1\r\nx\r\n0\r\n", b"A: a\r\n" * 500), (b"1;", b"a" * 4096)],
    ids=["one-field-after-the-body", "many-fields-after-it", "words-beside-a-chunk"],
)
def test_what_stands_beside_a_body_has_an_end_too(service: str, first: bytes, rest: bytes) -> None:
    """Nobody asks for it; it would be kept, all the same, until the request is whole."""
    with connect(service) as endless, pytest.raises(OSError, match="reset|Broken pipe"):
        endless.sendall(CHUNKED + first)
        for _ in range(1 << 12):
            endless.sendall(rest)


def test_a_body_in_many_chunks_is_whole(service: str) -> None:
    with connect(service) as connection:
        connection.sendall(CHUNKED.replace(b"/body", b"/size"))
        for _ in range(1024):
            connection.sendall(b"400\r\n" + bytes(1024) + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert connection.recv(1 << 12).endswith(b"\r\n\r\n1048576")


def test_a_body_is_no_part_of_the_head(service: str) -> None:
    with connect(service) as connection:
        connection.sendall(HEAD.replace(b"10", b"99999") + b"x" * 99_999)
        assert connection.recv(12) == b"HTTP/1.1 413"


def test_who_does_not_read_the_answer_is_cut_off(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "READ_SECONDS", 0.3)
    with connect(service) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
        # It reads nothing; after a while the service has ended the connection, and what it says fails.
        wait_until(lambda: closed(deaf))
    assert served(service)


def closed(connection: socket.socket) -> bool:
    try:
        connection.sendall(b"\r\n")
    except OSError:
        return True
    return False


def test_when_there_are_too_many_the_one_that_waits_longest_makes_room(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 5)
    idle = [connect(service) for _ in range(5)]
    try:
        for connection in idle:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(1 << 12).startswith(b"HTTP/1.1 204")
        with httpx.Client(base_url=f"http://{service}") as client:
            assert client.post("/body", content=b"x").content == b"x"
            wait_until(lambda: closed(idle[0]))
            idle[4].sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert idle[4].recv(1 << 12).startswith(b"HTTP/1.1 204")
    finally:
        for connection in idle:
            connection.close()


def test_who_fills_the_places_keeps_nobody_out_who_has_just_come(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 5)
    filling = []
    try:
        for _ in range(5):
            filling.append(connect(service))
            filling[-1].sendall(HEAD + b"01234")
        with connect(service) as honest:
            for _ in range(3):
                filling.append(connect(service))
                filling[-1].sendall(HEAD + b"01234")
                # Cut off in their turn, as they came.
                wait_until(partial(closed, filling[len(filling) - 6]))
            honest.sendall(HEAD + b"0123456789")
            assert honest.recv(12) == b"HTTP/1.1 200"
    finally:
        for connection in filling:
            connection.close()


def test_one_that_is_used_and_one_in_the_middle_of_a_body_stay(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 5)
    used, sending, *idle = (connect(service) for _ in range(5))
    try:
        sending.sendall(HEAD + b"01234")
        for connection in (used, *idle, used):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(1 << 12).startswith(b"HTTP/1.1 204")
        for connection in idle[:2]:
            assert served(service)
            wait_until(partial(closed, connection))
            idle.append(connect(service))
        for connection, rest in ((sending, b"56789"), (used, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")):
            connection.sendall(rest)
            assert connection.recv(1 << 12).startswith(b"HTTP/1.1 20")
    finally:
        for connection in (used, sending, *idle):
            connection.close()


def test_many_that_say_nothing_keep_nobody_out(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 20)
    silent = []
    try:
        for round in range(100):
            silent.append(connect(service))
            if round % 20 == 0:
                assert served(service)
    finally:
        for connection in silent:
            connection.close()


def test_who_leaves_in_the_middle_of_a_request_leaves_no_trace(capsys: pytest.CaptureFixture[str]) -> None:
    """A line in the log would tell when; and a failure is what somebody is called for."""
    app, metrics = http.application("tests"), Metrics()

    @app.post("/body")
    async def body(request: Request) -> Response:
        return Response(await http.read_body(request, 10))

    with running(Counting(app, metrics)) as listen:
        with connect(listen) as connection:
            connection.sendall(HEAD + b"01234")
        wait_until(lambda: b'requests_total{route="/body",status="none"} 1.0' in metrics.text())
    assert capsys.readouterr().err == ""


def test_a_connection_is_used_again_and_again(service: str) -> None:
    with httpx.Client(base_url=f"http://{service}") as client:
        for _ in range(50):
            assert client.post("/body", content=b"0123456789").content == b"0123456789"
