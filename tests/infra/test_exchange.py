"""Questions to services that may be anybody's: bounded in bytes and in time, and nothing is unpacked."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from audit.protocol.refused import Refused
from infra.exchange import Unusable, ask, client, read_json
from infra.hand_in import NoDoor, hand_in, http_client, open_receipt, refusal_in
from tests.loopback import serving
from tests.simulator.meeting import Meeting

DEEP = b"[" * 200_000


@dataclass
class Stranger:
    """Answers what it is told to: status, headers, parts of the body and the seconds before each."""

    status: int = 200
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    parts: tuple[bytes, ...] = ()
    pause: float = 0.0
    asked: list[dict[bytes, bytes]] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self.asked.append(dict(scope["headers"]))
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        for part in self.parts:
            await asyncio.sleep(self.pause)
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def stranger() -> Stranger:
    return Stranger()


@pytest.fixture
def url(stranger: Stranger) -> Iterator[str]:
    with serving(stranger) as url:
        yield url


@pytest.fixture
def asking() -> Iterator[httpx.Client]:
    with client(httpx.Timeout(5.0)) as made:
        yield made


def test_what_comes_back(stranger: Stranger, url: str, asking: httpx.Client) -> None:
    stranger.status, stranger.parts, stranger.headers = 409, (b"ab", b"c"), [(b"content-type", b"text/x.size")]
    answer = ask(asking, "POST", url, b"?", most=3, seconds=5)
    assert (answer.status, answer.media_type, answer.body) == (409, "text/x.size", b"abc")


def test_a_byte_too_many(stranger: Stranger, url: str, asking: httpx.Client) -> None:
    stranger.parts = (b"ab", b"cd")
    with pytest.raises(Unusable):
        ask(asking, "GET", url, None, most=3, seconds=5)


def test_a_byte_now_and_then(stranger: Stranger, url: str, asking: httpx.Client) -> None:
    stranger.parts, stranger.pause = (b"x",) * 40, 0.05
    with pytest.raises((Unusable, httpx.ReadTimeout)):
        ask(asking, "GET", url, None, most=99, seconds=0.3)


def test_a_thread_is_not_held_to_its_last_deadline(stranger: Stranger, url: str, asking: httpx.Client) -> None:
    stranger.parts, stranger.pause = (b"x",) * 4, 0.05
    with pytest.raises((Unusable, httpx.ReadTimeout)):
        ask(asking, "GET", url, None, most=99, seconds=0.1)
    assert ask(asking, "GET", url, None, most=99, seconds=5).body == b"xxxx"


def test_nothing_is_unpacked(stranger: Stranger, url: str, asking: httpx.Client) -> None:
    packed = gzip.compress(bytes(1 << 22))
    stranger.parts, stranger.headers = (packed,), [(b"content-encoding", b"gzip")]
    assert ask(asking, "GET", url, None, most=len(packed), seconds=5).body == packed
    assert stranger.asked[-1][b"accept-encoding"] == b"identity"


@pytest.mark.parametrize("raw", [DEEP, b'{"a":' * 50_000, b"", b"\xff", b"{"])
def test_what_is_no_json(raw: bytes) -> None:
    with pytest.raises(ValueError, match="."):
        read_json(raw)


@dataclass(frozen=True)
class Doors:
    """As much of an election card as handing in looks at."""

    doors: tuple[str, ...]


@pytest.fixture(scope="module")
def meeting() -> Meeting:
    return Meeting().found()


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (200, NoDoor, "is no receipt"),
        (201, NoDoor, "is no receipt"),
        (400, Refused, "no reason"),
        (422, Refused, "no reason"),
    ],
)
def test_a_rogue_intakes_answer_nested_beyond_reading(
    stranger: Stranger, url: str, meeting: Meeting, status: int, kind: type[Exception], said: str
) -> None:
    stranger.status, stranger.parts = status, (DEEP,)
    with http_client() as http, pytest.raises(kind, match=said):
        hand_in(Doors((url,)), meeting.manifest, b"text", http)  # type: ignore[arg-type]


def test_an_intake_that_does_not_stop_answering_is_none(stranger: Stranger, url: str, meeting: Meeting) -> None:
    stranger.parts = (bytes(1 << 20),) * 9
    with http_client() as http, pytest.raises(NoDoor, match="is longer than"):
        hand_in(Doors((url,)), meeting.manifest, b"text", http)  # type: ignore[arg-type]


def test_after_a_receipt_that_does_not_hold_the_next_intake_is_asked(
    stranger: Stranger, url: str, meeting: Meeting
) -> None:
    stranger.parts = (b"{}",)
    with (
        http_client() as http,
        pytest.raises(NoDoor, match="does not hold .*/next: the intake's receipt does not hold"),
    ):
        hand_in(Doors((url, f"{url}/next")), meeting.manifest, b"text", http)  # type: ignore[arg-type]
    assert len(stranger.asked) == 2


@pytest.mark.parametrize("content", [DEEP, b"[]", b'{"reason":1,"detail":"","field":""}'])
def test_a_refusal_without_a_reason(content: bytes) -> None:
    assert refusal_in("door", 400, content).reason == "refused"


@pytest.mark.parametrize("content", [DEEP, b"7", b'{"receipt":"\\ud800","line":""}', b'{"receipt":"","line":7}'])
def test_what_is_no_receipt(meeting: Meeting, content: bytes) -> None:
    with pytest.raises(Refused) as refused:
        open_receipt(meeting.manifest, b"text", content)
    assert refused.value.reason == "bad-receipt"
