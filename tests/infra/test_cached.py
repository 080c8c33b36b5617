"""What a cache and a range get: every status of RFC 9110 that there is for them, and nothing that only looks like
one.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.testclient import TestClient

from infra.cached import FOREVER, cached

CONTENT = bytes(range(100))


@pytest.fixture
def client() -> Iterator[TestClient]:
    app = FastAPI()

    @app.api_route("/{length}", methods=["GET", "HEAD"])
    def tile(request: Request, length: int) -> Response:
        return cached(request, CONTENT[:length], "application/octet-stream", FOREVER)

    with TestClient(app) as client:
        yield client


def test_the_whole_says_how_long_it_may_be_kept_and_that_it_has_ranges(client: TestClient) -> None:
    answer = client.get("/100")
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["etag"] == client.get("/100").headers["etag"] != client.get("/99").headers["etag"]


def test_a_head_says_the_same_and_sends_nothing(client: TestClient) -> None:
    whole, head = client.get("/100"), client.head("/100", headers={"Range": "bytes=0-1"})
    assert (head.status_code, head.content, head.headers) == (200, b"", whole.headers)
    assert head.headers["content-length"] == "100"


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("0-0", 0, 1), ("10-19", 10, 20), ("90-", 90, 100), ("-5", 95, 100), ("50-999", 50, 100), ("-999", 0, 100)],
)
def test_one_range_is_that_range(client: TestClient, asked: str, start: int, end: int) -> None:
    answer = client.get("/100", headers={"Range": f"bytes={asked}"})
    assert (answer.status_code, answer.content) == (206, CONTENT[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/100"
    assert answer.headers["content-length"] == str(end - start)
    assert answer.headers["etag"] == client.get("/100").headers["etag"]


@pytest.mark.parametrize("asked", ["100-", "100-200", "9999999999999999999-", "-0"])
def test_bytes_that_there_are_none_of_are_a_416(client: TestClient, asked: str) -> None:
    answer = client.get("/100", headers={"Range": f"bytes={asked}"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */100")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["reason"] == "no-such-range"


@pytest.mark.parametrize(
    "asked",
    ["bytes=0-1,5-6", "bytes=2-1", "bytes=-", "bytes=", "bytes=a-b", "lines=0-1", "bytes=+1-2", "bytes=1-2x", "1-2"]
    + [f"bytes=0-{'9' * 30}", "bytes=\u0661-\u0662".encode().decode("latin-1")],
)
def test_what_is_no_single_range_gets_the_whole(client: TestClient, asked: str) -> None:
    answer = client.get("/100", headers={"Range": asked.encode("latin-1")})
    assert (answer.status_code, answer.content) == (200, CONTENT)


def test_a_range_of_what_has_changed_is_the_whole(client: TestClient) -> None:
    tag = client.get("/100").headers["etag"]
    for given, status in ((tag, 206), ('"another"', 200), (f"W/{tag}", 200), ("Wed, 25 Nov 2026 18:00:00 GMT", 200)):
        assert client.get("/100", headers={"Range": "bytes=0-1", "If-Range": given}).status_code == status, given


def test_who_has_it_already_is_told_so(client: TestClient) -> None:
    tag = client.get("/100").headers["etag"]
    for given, status in (
        (tag, 304),
        (f"W/{tag}", 304),
        (f'"another", {tag}', 304),
        ("*", 304),
        ('"another"', 200),
        (tag.strip('"'), 200),
    ):
        answer = client.get("/100", headers={"If-None-Match": given, "Range": "bytes=0-"})
        assert answer.status_code == (status if status == 304 else 206), given
        if status == 304:
            assert (answer.content, answer.headers["etag"]) == (b"", tag)
            assert "cache-control" in answer.headers


def test_nothing_has_no_range(client: TestClient) -> None:
    assert client.get("/0", headers={"Range": "bytes=0-"}).status_code == 416
    assert client.get("/0").status_code == 200
