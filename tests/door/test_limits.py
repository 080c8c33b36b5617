"""What may wait at a door is bounded; at the bound it says so, and what it took before is not lost."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from intake.door import serve, watch
from tests.door.conftest import Client, Place, signed
from tests.loopback import wait_until


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.0)


def is_full(answer: httpx.Response) -> bool:
    if answer.status_code != 503:
        return False
    assert answer.json()["reason"] == "full"
    assert int(answer.headers["retry-after"]) > 0
    return True


def until_full(client: Client, entries: Iterator[bytes]) -> tuple[dict[bytes, dict[str, str]], bytes]:
    """Hands in entries until one is sent away; what was answered to the others, and that one."""
    answers: dict[bytes, dict[str, str]] = {}
    for raw in entries:
        answer = client.post(raw)
        if is_full(answer):
            return answers, raw
        assert answer.status_code == 201
        answers[raw] = answer.json()
        time.sleep(0.02)
    raise AssertionError("it was never full")


def ballots(place: Place) -> Iterator[bytes]:
    return (place.text(account, revision=revision) for revision in range(30) for account in range(3))


def notices(place: Place) -> Iterator[bytes]:
    meeting = place.meeting
    for number in range(90):
        body = {"manifest": meeting.hash, "subject": "incident", "text": f"line {number} was down"}
        yield meeting.signed("notice", body, *meeting.parties.officials[:2])


def test_a_full_outbox_takes_no_ballot_until_there_is_room(place: Place) -> None:
    place.most = 3
    place.queue.silent = True
    with place.running() as client:
        wait_until(lambda: client.ready)
        answers, sent_away = until_full(client, ballots(place))
        assert len(answers) >= 3
        # What was taken is answered as before, and the act that ends the vote is no ballot.
        assert {raw: client.post(raw).json() for raw in answers} == answers
        assert is_full(client.post(sent_away))
        client.accepted(next(notices(place)))
        place.queue.silent = False
        entries = [signed(raw, answer["line"]).raw for raw, answer in answers.items()]
        wait_until(lambda: set(entries) <= set(place.queue.entries))
        for raw in entries:
            place.meeting.add(raw)
        place.board.publish()
        wait_until(lambda: client.post(sent_away).status_code == 201)


def test_offices_that_hand_in_without_end_keep_no_voter_out(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "MOST_OTHERS", 3)
    place.queue.silent = True
    with place.running() as client:
        wait_until(lambda: client.ready)
        answers, _ = until_full(client, notices(place))
        assert [client.post(raw).status_code for raw in answers] == [200] * len(answers)
        assert client.post(place.text()).status_code == 201


def test_a_body_that_comes_byte_by_byte_holds_no_place(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "BODY_SECONDS", 0.5)
    monkeypatch.setattr(serve, "MOST_AT_ONCE", 1)
    with place.running() as client:
        host = client.http.base_url
        with slow_sender(host.host, host.port, f"/{place.meeting.origin}/entries") as connection:
            client.accepted(place.text())
            answer = connection.recv(65_536)
            assert b" 408 " in answer and b"too-slow" in answer


@contextmanager
def slow_sender(host: str, port: int | None, path: str) -> Iterator[socket.socket]:
    """A request whose body never ends."""
    with socket.create_connection((host, port or 80), timeout=30) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: door\r\nContent-Length: 60000\r\n\r\np"
        connection.sendall(head.encode())
        yield connection
