"""The private port: health, readiness and figures, apart from where everybody is served, and bounded as that is."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from fastapi import APIRouter, Request, Response
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError

from audit.protocol.refused import Refused
from infra import http, private
from infra.metrics import Metrics, series
from infra.private import Counting, Private, Recent, check_private, private_app, shown
from tests.loopback import PATIENCE, wait_until

MARK = "3fa5c1d2e4b60789"


@contextmanager
def showing(metrics: Metrics, ready: str = "") -> Iterator[httpx.Client]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
    private = Private(listen, metrics, lambda: ready)
    with shown(private), httpx.Client(base_url=f"http://{listen}", timeout=PATIENCE) as client:
        yield client


def test_it_lives_it_is_ready_and_it_has_figures() -> None:
    metrics = Metrics()
    metrics.level("size", "Entries.").set(3)
    with showing(metrics) as client:
        assert client.get("/healthz").status_code == 204
        assert client.get("/readyz").status_code == 204
        answer = client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "psephos_size 3.0\n" in answer.text


def test_what_is_not_ready_lives_and_says_why() -> None:
    with showing(Metrics(), "wrong-log") as client:
        assert client.get("/healthz").status_code == 204
        answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["reason"]) == (503, "wrong-log")


def test_the_port_is_free_when_it_is_over() -> None:
    with showing(Metrics()) as client:
        url = client.base_url
    with pytest.raises(httpx.TransportError):
        httpx.get(url)


@pytest.mark.parametrize("error", [OperationalError("s", {}, Exception(MARK)), RuntimeError(MARK)])
def test_what_readiness_stumbles_over_is_a_reason_and_no_more(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    def ready() -> str:
        raise error

    answer = TestClient(private_app(Metrics(), ready)).get("/readyz")
    assert answer.json()["reason"] == ("database-away" if isinstance(error, OperationalError) else "failure")
    assert MARK not in answer.text + capsys.readouterr().err


def test_readiness_is_looked_at_once_a_second_however_often_it_is_asked() -> None:
    now, asked = [0.0], []
    recent = Recent(lambda: asked.append(now[0]) or "", lambda: now[0])
    for tenth in range(20):
        now[0] = tenth / 10
        assert recent() == ""
    assert asked == [0.0, 1.0]


def test_readiness_that_does_not_come_back_is_a_reason_and_looked_at_by_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(private, "PATIENCE_SECONDS", 0.2)
    asked, there = list[int](), threading.Event()

    def ready() -> str:
        asked.append(1)
        return "" if there.wait(PATIENCE) else "failure"

    recent = Recent(ready)
    assert [recent(), recent()] == ["too-slow", "too-slow"]
    there.set()
    wait_until(lambda: recent() == "")
    assert len(asked) == 1


@pytest.mark.parametrize("private", ["127.0.0.1:80", "0.0.0.0:80", "[::1]:80", "192.0.2.1:80"])
def test_a_private_port_that_is_the_public_one_is_refused(private: str) -> None:
    with pytest.raises(ValueError, match="`private` must have another port than `listen`"):
        check_private(private, "127.0.0.1:80")


def test_a_private_port_is_an_address_and_a_port() -> None:
    check_private(None, "127.0.0.1:80")
    check_private("127.0.0.1:81", "127.0.0.1:80")
    with pytest.raises(ValueError, match="`private` must be ADDRESS:PORT, not '81'"):
        check_private("81", "127.0.0.1:80")


def counting(metrics: Metrics) -> TestClient:
    app, router = http.application("tests"), APIRouter()

    @router.get("/tile/{rest:path}")
    def tile(rest: str) -> str:
        raise Refused("unknown-log" if rest == "no" else rest, f"there is no {rest}", rest)

    @app.post("/entries")
    async def entries(request: Request) -> Response:
        return Response(await http.read_body(request, 10))

    @app.get("/fails")
    def fails() -> None:
        raise RuntimeError(MARK)

    app.include_router(router, prefix="/vote.example")
    return TestClient(Counting(app, metrics), raise_server_exceptions=False)


def told(metrics: Metrics) -> dict[str, float]:
    """The figures that are not 0, but for the lines that this process could not log, in whatever test."""
    lines = metrics.text().decode().splitlines()
    rows = [line.rpartition(" ") for line in lines if not line.startswith(("#", "psephos_log_lines_dropped"))]
    return {name.removeprefix("psephos_"): float(number) for name, _, number in rows if float(number)}


def test_requests_are_counted_by_route_and_class_and_refusals_by_reason() -> None:
    metrics = Metrics()
    client = counting(metrics)
    client.get("/vote.example/tile/no")
    client.post("/entries", content=b"x" * 10)
    client.post("/entries", content=b"x" * 11)
    client.get("/entries")
    client.get("/fails")
    client.get("/nowhere")
    assert told(metrics) == {
        'requests_total{route="/tile/{rest:path}",status="4xx"}': 1,
        'requests_total{route="/entries",status="2xx"}': 1,
        'requests_total{route="/entries",status="4xx"}': 2,
        'requests_total{route="/fails",status="5xx"}': 1,
        'requests_total{route="other",status="4xx"}': 1,
        'refusals_total{reason="unknown-log"}': 1,
        'refusals_total{reason="too-long"}': 1,
        'refusals_total{reason="method-not-allowed"}': 1,
        'refusals_total{reason="internal"}': 1,
        'refusals_total{reason="not-found"}': 1,
    }


def test_nothing_of_hostile_requests_gets_into_figures_or_log(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = Metrics()
    client = counting(metrics)
    before = series(metrics.text())
    for number in range(40):
        mark = f"{MARK}{number}"
        client.get(f"/vote.example/tile/{mark}", params={mark: mark}, headers={"X-Forwarded-For": mark, mark: mark})
        client.request(mark.upper(), f"/{mark}", content=mark, headers={"Authorization": f"Bearer {mark}"})
        client.get("/fails", headers={"Host": mark, "User-Agent": mark})
    assert series(metrics.text()) == before
    assert MARK not in (metrics.text().decode() + capsys.readouterr().err).lower()


def test_many_connections_to_it_leave_the_service_its_own() -> None:
    with showing(Metrics()) as client:
        port = client.base_url.port
        idle = [socket.create_connection(("127.0.0.1", port or 0)) for _ in range(40)]
        assert client.get("/healthz").status_code == 204
        open_still = 0
        for connection in idle:
            connection.settimeout(0.2)
            try:
                open_still += connection.recv(1) != b""
            except TimeoutError:
                open_still += 1
            except OSError:
                pass
            connection.close()
    assert open_still <= 16
