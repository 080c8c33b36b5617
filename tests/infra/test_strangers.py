"""Whatever a stranger answers over HTTP is an answer, or one of the errors that whoever asks expects; and the next
question is asked as if nothing had been.
"""

from __future__ import annotations

import random
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import httpx
import pytest

from audit.log import deadline
from audit.log.reader import HttpReader, ReadError
from infra import exchange, log
from infra.exchange import Unusable, ask, client
from infra.follow import Follower, Unreadable
from infra.hand_in import NoDoor, hand_in, http_client
from tally.sequencer.egress import Egress, QueueUnavailable
from tests.door.board import Board
from tests.infra.test_exchange import Doors
from tests.loopback import PATIENCE
from tests.simulator.meeting import Meeting

HONEST = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
AWAY = b"HTTP/1.1 302 Found\r\nLocation: mailto:x\r\nContent-Length: 0\r\n\r\n"
ANSWERS = 300
STATUS = (
    *(b"200 OK", b"200", b"200 \xff\x1b[2J", b"204 None", b"301 Moved", b"302 Found", b"303 See", b"307 Go", b"308 Go"),
    *(b"100 Go on", b"101 Other", b"103 Early", b"304 Same", b"401 Who", b"407 Who", b"429 Later", b"503 Later"),
    *(b"000 None", b"999 All", b"9999 All", b"-1 x", b"two x", b""),
)
HEADERS = (
    *(b"Location: mailto:x", b"Location: a b:c", b"Location: //a:b@:", b"Location: http://xn--/"),
    *(b"Location: http://" + b"a" * 300 + b"/", b"Location: http://\xe4\xb8\xad/", b"Location: http://[v1.x]/"),
    *(b"Location: \xff", b"Location: /" + b"x" * 70_000, b"Location: http://x:99999999/", b"Location:"),
    *(b"Set-Cookie: a=\xfe", b"Set-Cookie: =", b"Set-Cookie: a=b; expires=\xff; max-age=9" + b"9" * 40),
    *(b"Set-Cookie: a; version=x", b"Set-Cookie: a=b; domain=.0.0.1; path=" + b"/" * 5000, b"Set-Cookie2: a; Port=x"),
    *(
        b"Content-Encoding: gzip",
        b"Content-Encoding: br",
        b"Content-Encoding: deflate, gzip",
        b"Content-Encoding: \xff",
    ),
    *(b"Content-Type: text/plain; charset=\xff", b"Content-Type: x; charset=utf-7", b"Content-Type: \x1b[2J"),
    *(
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Content-Length: -1",
        b"Content-Length: 1, 2",
    ),
    *(
        b"Content-Length: 99999999999999999999",
        b"Content-Length: " + b"9" * 5000,
        b"Connection: upgrade",
        b"Upgrade: h2c",
    ),
    *(b"Retry-After: " + b"9" * 5000, b"Retry-After: x", b"WWW-Authenticate: Digest x", b"Proxy-Authenticate: Basic"),
    *(
        b'Alt-Svc: h3=":1"',
        b"Keep-Alive: timeout=x",
        b"Link: <\xff>; rel=x",
        b"no header",
        b": x",
        b" folded",
        b"a\x00: b",
    ),
    *(b"X: " + b"x" * 200_000, b"Trailer: Location"),
)
BODIES = (
    *(b"ok", b"", b"\x1f\x8b\x08junk", b"zz\r\n", b"5\r\n", b"ffffffffffffffffffffff\r\n", b"-1\r\nx"),
    *(b"2\r\nok\r\n0\r\n\r\n", b"2;a=\xff\r\nok\r\n0\r\nLocation: mailto:x\r\nSet-Cookie: a=\xfe\r\n\r\n"),
    b"2\r\nok\r\n0\r\nbad trailer\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: mailto:x\r\n\r\n" * 3,
)
BEFORE = (b"", b"", b"", b"HTTP/1.1 100 Go on\r\n\r\n", b"HTTP/1.1 103 Early\r\nLocation: mailto:x\r\n\r\n" * 500)
VERSIONS = (b"HTTP/1.1 ",) * 5 + (b"HTTP/1.0 ", b"HTTP/2 ", b"HTTP/9.9 ", b"\x16\x03\x01 ", b"")


class Stranger(threading.Thread):
    """A server on loopback that sends `answer`, whatever it is asked, and hangs up; `asked` is the newest question."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.answer, self.asked = HONEST, b""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def run(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                with connection, suppress(OSError):
                    connection.settimeout(PATIENCE)
                    self.asked = connection.recv(65_536)
                    connection.sendall(self.answer)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.join()


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    made = Stranger()
    made.start()
    yield made
    made.close()


@pytest.fixture
def unforeseen(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """What was logged as a failure: what nobody has foreseen is none of the errors expected, whatever it becomes."""
    found = list[BaseException]()
    monkeypatch.setattr(log, "failure", found.append)
    return found


@pytest.fixture(scope="module")
def meeting() -> Meeting:
    return Meeting().found()


def answers(seed: int) -> Iterator[bytes]:
    """Each header with the status it matters most for, then any mixture."""
    drawn = random.Random(seed)
    for one in HEADERS:
        yield b"HTTP/1.1 302 Found\r\n" + one + b"\r\n\r\nok"
    for _ in range(ANSWERS):
        body, headers = drawn.choice(BODIES), drawn.sample(HEADERS, drawn.choice((0, 1, 1, 2, 3)))
        if drawn.random() < 0.7:
            headers.append(b"Content-Length: %d" % len(body))
        head = b"".join(one + b"\r\n" for one in (drawn.choice(VERSIONS) + drawn.choice(STATUS), *headers))
        yield drawn.choice(BEFORE) + head + b"\r\n" + body


def test_whatever_is_answered_to_a_question(stranger: Stranger, unforeseen: list[BaseException]) -> None:
    seen = Counter[str]()
    with client(httpx.Timeout(PATIENCE)) as asking:
        for stranger.answer in answers(1):
            try:
                seen[str(ask(asking, "POST", stranger.url, b"?", most=100, seconds=PATIENCE).status)] += 1
            except (httpx.HTTPError, Unusable) as error:
                seen[type(error).__name__] += 1
        assert not unforeseen, stranger.answer[:200]
        stranger.answer = HONEST
        assert ask(asking, "POST", stranger.url, b"?", most=2, seconds=PATIENCE).body == b"ok"
        assert b"cookie" not in stranger.asked.lower()
    # All of it was looked at: answers, those that break the protocol, and those that are too long.
    assert {"200", "302", "503", "RemoteProtocolError", "Unusable"} <= set(seen)


def test_whatever_is_answered_in_place_of_a_file(stranger: Stranger) -> None:
    reader = HttpReader(f"{stranger.url}/vote.example")
    for stranger.answer in answers(2):
        try:
            reader.tile(0, 0, 1)
        except ReadError as error:
            # Whoever has a cause has stumbled over what nobody foresaw.
            assert error.__cause__ is None, stranger.answer[:200]  # noqa: PT017
            assert str(error).isprintable()
    stranger.answer = HONEST
    with pytest.raises(ReadError, match="has 2 bytes"):
        reader.tile(0, 0, 1)
    assert b"cookie" not in stranger.asked.lower()
    reader.close()


def test_a_host_of_very_many_addresses_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of none of them there is ever an answer; each may be tried for as long as there is time at all."""
    tried, found = list[str](), socket.getaddrinfo
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as waiting:
        for _ in range(4):
            # What a full queue of connections does not take is dropped, and whoever knocks waits.
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())

        def resolved(host: str, port: int, *also: Any, **by_name: Any) -> Any:
            tried.append(host)
            return found("127.0.0.1", port, *also, **by_name) * (200 if host == "many.example" else 1)

        monkeypatch.setattr(socket, "getaddrinfo", resolved)
        with client(httpx.Timeout(PATIENCE, connect=0.1), trust_env=False) as asking, pytest.raises(httpx.ReadTimeout):
            ask(asking, "GET", f"http://many.example:{full.getsockname()[1]}", None, most=9, seconds=0.5)
    assert 2 < len(tried) < 20


def test_nothing_of_a_strangers_head_is_kept(stranger: Stranger) -> None:
    exchange._deadline.set(PATIENCE)
    with client(httpx.Timeout(PATIENCE)) as asking:
        stranger.answer = AWAY.replace(b"mailto:x", b"/\r\nSet-Cookie: a=b\r\nRetry-After: 5\r\nContent-Type: a/b")
        with asking.stream("GET", stranger.url) as answer:
            assert (answer.status_code, dict(answer.headers)) == (302, {"content-type": "a/b"})
        assert not asking.cookies


def test_an_intake_that_sends_clients_away_leaves_the_others(
    stranger: Stranger, unforeseen: list[BaseException], meeting: Meeting
) -> None:
    stranger.answer = AWAY
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with http_client() as http, pytest.raises(NoDoor, match=r"Connection refused.*answered with status 302"):
        hand_in(Doors((stranger.url, nobody)), meeting.manifest, b"text", http)  # type: ignore[arg-type]
    assert not unforeseen


def test_a_queue_that_sends_tally_away_is_one_that_is_away(stranger: Stranger, unforeseen: list[BaseException]) -> None:
    stranger.answer = AWAY
    egress = Egress(stranger.url, "t" * 43)
    with pytest.raises(QueueUnavailable):
        egress.take(1)
    assert not unforeseen


def test_a_custodian_that_sends_followers_away_leaves_the_others(
    stranger: Stranger, unforeseen: list[BaseException], meeting: Meeting
) -> None:
    stranger.answer = AWAY
    shown, liar = Board(meeting), HttpReader(stranger.url)
    shown.publish()
    for readers in ([liar, shown], [shown, liar]):
        assert Follower(readers, meeting.manifest.hash).poll()
    assert not unforeseen
    liar.close()


@pytest.fixture
def seen_whole(stranger: Stranger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stranger's answer has something in it that nobody foresaw: here, what httpx stumbles over."""
    stranger.answer = AWAY
    monkeypatch.setattr(deadline, "SEEN", (b"location",))


@pytest.mark.usefixtures("seen_whole")
def test_what_nobody_foresaw_of_an_answer_is_its_makers_failure_and_is_reported(
    stranger: Stranger, unforeseen: list[BaseException]
) -> None:
    with client(httpx.Timeout(PATIENCE)) as asking, pytest.raises(Unusable):
        ask(asking, "GET", stranger.url, None, most=9, seconds=PATIENCE)
    assert [type(error) for error in unforeseen] == [httpx.InvalidURL]


@pytest.mark.usefixtures("seen_whole")
def test_what_nobody_foresaw_in_place_of_a_file_is_its_makers_failure_and_is_named(stranger: Stranger) -> None:
    reader = HttpReader(stranger.url)
    with pytest.raises(ReadError, match="cannot be read: InvalidURL"):
        reader.checkpoint()
    reader.close()


def test_what_nobody_foresaw_of_one_custodian_leaves_the_others_and_is_reported(
    unforeseen: list[BaseException], meeting: Meeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange, shown = Board(meeting), Board(meeting)
    shown.publish()

    def stumbles() -> bytes:
        raise KeyError("nobody foresaw it")

    monkeypatch.setattr(strange, "checkpoint", stumbles)
    follower = Follower([shown, strange], meeting.manifest.hash)
    assert [bool(follower.poll()) for _ in range(3)] == [True, False, False]
    assert {type(error) for error in unforeseen} == {KeyError}
    with pytest.raises(Unreadable, match="KeyError"):
        Follower([strange], meeting.manifest.hash).poll()
