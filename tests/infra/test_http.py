"""Whatever goes wrong is one problem object with a reason, and never a word of what was sent or of the inside."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI, Query, Request, Response
from fastapi.testclient import TestClient

from audit.protocol.refused import Refused
from infra import http, log
from infra.http import CannotListen, Problem

TOKEN = "t" * 43


def service() -> FastAPI:
    app = http.application("tests")

    @app.post("/body")
    async def body(request: Request) -> Response:
        return Response(await http.read_body(request, 10))

    @app.post("/token")
    async def token(request: Request) -> Response:
        http.require_token(request, TOKEN)
        return Response(status_code=204)

    @app.post("/refused/{reason}")
    async def refused(reason: str) -> Response:
        raise Refused(reason, "the list is too long", "contests.a")

    @app.post("/fails")
    async def fails() -> Response:
        raise RuntimeError("pseudonym 8a8a8a")

    @app.post("/number")
    async def number(most: Annotated[int, Query(ge=1)]) -> Response:
        return Response(str(most))

    return app


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(service(), raise_server_exceptions=False) as client:
        yield client


def problem(response: httpx.Response) -> dict[str, object]:
    assert response.headers["content-type"] == "application/problem+json"
    found = response.json()
    assert found["status"] == response.status_code
    assert set(found) == {"type", "title", "status", "detail", "field", "reason"}
    return dict(found)


def test_health_is_an_empty_answer(client: TestClient) -> None:
    response = client.get("/healthz")
    assert (response.status_code, response.content) == (204, b"")


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/elsewhere"])
def test_there_is_nothing_else_to_look_at(client: TestClient, path: str) -> None:
    assert (problem(client.get(path))["reason"], problem(client.get(path))["status"]) == ("not-found", 404)


def test_a_wrong_method_is_named(client: TestClient) -> None:
    assert problem(client.get("/body"))["reason"] == "method-not-allowed"


def test_a_body_may_be_as_long_as_the_limit_and_no_longer(client: TestClient) -> None:
    assert client.post("/body", content=b"x" * 10).content == b"x" * 10
    assert problem(client.post("/body", content=b"x" * 11))["reason"] == "too-long"


def test_a_body_that_announces_no_length_is_cut_off_too(client: TestClient) -> None:
    assert problem(client.post("/body", content=iter([b"xxxx"] * 1000)))["status"] == 413


@pytest.mark.parametrize("given", ["", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN[1:]}"])
def test_without_the_token_no_service(client: TestClient, given: str) -> None:
    response = client.post("/token", headers={"Authorization": given} if given else {})
    assert (response.status_code, problem(response)["reason"]) == (401, "no-token")
    assert response.headers["www-authenticate"] == "Bearer"
    assert TOKEN[1:] not in response.text


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_with_the_token_service(client: TestClient, scheme: str) -> None:
    assert client.post("/token", headers={"Authorization": f"{scheme} {TOKEN}"}).status_code == 204


STATUSES = [("bad-proof", 422), ("syntax", 400), ("closed", 409), ("too-long", 413)]


@pytest.mark.parametrize(("reason", "status"), STATUSES)
def test_a_refusal_keeps_its_reason_and_field(client: TestClient, reason: str, status: int) -> None:
    found = problem(client.post(f"/refused/{reason}"))
    assert (found["status"], found["reason"], found["field"]) == (status, reason, "contests.a")
    assert found["detail"] == "the list is too long"


def test_a_failure_tells_outside_nothing(client: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    response = client.post("/fails")
    assert (response.status_code, problem(response)["reason"]) == (500, "internal")
    said = capsys.readouterr().err
    assert [json.loads(line)["kind"] for line in said.splitlines()] == ["runtimeerror"]
    assert "8a8a8a" not in response.text + said


def test_a_parameter_of_the_wrong_type_is_named(client: TestClient) -> None:
    found = problem(client.post("/number?most=x"))
    assert (found["reason"], found["field"]) == ("wrong-type", "query.most")


def test_more_requests_at_a_time_than_there_are_places_are_told_to_come_again() -> None:
    places = http.Places(2)
    with places:
        with pytest.raises(Problem, match="busy"), places, places:
            pytest.fail("there was no place")
        with places:
            pass


def test_a_problem_is_what_it_says() -> None:
    response = http.problem(409, "closed", "voting has ended", "phase")
    assert json.loads(bytes(response.body)) == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": "voting has ended",
        "field": "phase",
        "reason": "closed",
    }
    assert str(Problem(409, "closed", "voting has ended")) == "closed"


@pytest.mark.parametrize(("listen", "parsed"), [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:65535", ("::1", 65535))])
def test_an_address_and_port_are_parsed(listen: str, parsed: tuple[str, int]) -> None:
    assert http.parse_listen(listen) == parsed


@pytest.mark.parametrize("listen", ["", "80", ":80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:65536"])
def test_anything_else_is_no_address(listen: str) -> None:
    with pytest.raises(ValueError, match="ADDRESS:PORT"):
        http.parse_listen(listen)


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CannotListen, match=rf"^cannot listen on {listen}: Address already in use$"):
            http.serve(service(), listen)


def test_a_host_that_nobody_knows_is_named() -> None:
    with pytest.raises(CannotListen, match=r"^cannot listen on nowhere\.invalid:80: "):
        http.bind("nowhere.invalid:80")


def test_a_wrong_token_is_logged_but_not_each_time(
    client: TestClient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_wrong_token", log.Seldom(10))
    for _ in range(3):
        client.post("/token", headers={"Authorization": "Bearer x"})
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["wrong-token"]
