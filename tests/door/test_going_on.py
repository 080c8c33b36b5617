"""Whatever fails around it, a door goes on, or it says that it cannot: none of its parts ends and leaves the others to
promise what nobody keeps.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from audit.protocol.elgamal import Ciphertext
from audit.protocol.refused import Refused
from infra.metrics import Metrics
from intake.door import mover, serve
from intake.door.clerk import Clerk
from intake.door.mover import Mover
from intake.door.watch import Watch
from tests.door.conftest import Client, InlinePool, Place, signed
from tests.infra.test_log import log_on_a_full_disk
from tests.loopback import PATIENCE, serving, wait_until


def test_a_log_that_cannot_be_written_ends_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Queue and custodians fall silent while the log's disk is full, which the door would like to say."""
    monkeypatch.setattr(mover, "AGAIN_MS", 100)
    monkeypatch.setattr(mover, "AGAIN_WAITS", 0)
    raw = place.text()
    with place.running() as client:
        wait_until(lambda: client.ready)
        with log_on_a_full_disk(monkeypatch):
            passed_on, looked = count(monkeypatch, Mover, "_pass_on"), count(monkeypatch, Watch, "step")
            place.queue.silent = place.board.down = True
            entry = signed(raw, client.accepted(raw)["line"])
            wait_until(lambda: len(passed_on) > 2 and len(looked) > 2)
        place.queue.silent = place.board.down = False
        wait_until(lambda: entry.raw in place.queue.entries)
        client.read_closing()


def count(monkeypatch: pytest.MonkeyPatch, kind: type, method: str) -> list[None]:
    """Grows by one at each call."""
    calls: list[None] = []
    inner = getattr(kind, method)

    def counted(self: Any, *arguments: Any) -> Any:
        calls.append(None)
        return inner(self, *arguments)

    monkeypatch.setattr(kind, method, counted)
    return calls


PARTS: list[tuple[type, str]] = [(Mover, "_repeat_if_due"), (Watch, "step"), (Clerk, "_keep")]


@pytest.mark.parametrize(("part", "method"), PARTS, ids=["mover", "watch", "clerk"])
def test_once_a_part_has_ended_nothing_is_promised(
    place: Place, monkeypatch: pytest.MonkeyPatch, part: type, method: str
) -> None:
    """Of what nobody foresaw: MemoryError where there is none left to see to it, or worse."""
    app, ready = place.door().opened(Metrics())
    with serving(app) as url, httpx.Client(base_url=url, timeout=PATIENCE) as http:
        client = Client(place, http)
        client.accepted(place.text())
        assert ready() == ""
        monkeypatch.setattr(part, method, ends)
        if part is Clerk:
            with suppress(httpx.HTTPError):
                http.post(f"/{place.meeting.origin}/entries", content=place.text(1), timeout=0.5)
        wait_until(lambda: ready() == "ended")
        answer = client.post(place.text(2))
        assert (answer.status_code, answer.json()["reason"]) == (503, "ended")
        assert place.waiting == 1


def ends(*_: object) -> None:
    raise Ended


class Ended(BaseException):
    """What no part of the door catches."""


class SlowPool(InlinePool):
    """Its verdicts come when they may."""

    begun, may = threading.Event(), threading.Event()

    def submit_text(self, text: bytes, weight: Ciphertext) -> Future[list[Refused | None]]:
        if not text:
            return Future()
        verdict = super().submit_text(text, weight).result()
        future: Future[list[Refused | None]] = Future()

        def later() -> None:
            self.may.wait(PATIENCE)
            future.set_result(verdict)

        threading.Thread(target=later).start()
        self.begun.set()
        return future


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> type[SlowPool]:
    monkeypatch.setattr(serve, "CheckingPool", SlowPool)
    SlowPool.begun, SlowPool.may = threading.Event(), threading.Event()
    return SlowPool


@pytest.mark.parametrize("spoiled", [False, True], ids=["a true ballot", "a false proof"])
def test_a_ballot_that_is_checked_while_the_log_is_read_anew_is_refused_by_nothing(
    place: Place, slow: type[SlowPool], spoiled: bool
) -> None:
    """The database has a hiccup; of what is not read yet no rule says anything, and the voter's client comes again."""
    broken: list[bool] = []

    def keep() -> None:
        if broken:
            broken.pop()
            raise OperationalError("SELECT 1", {}, Exception("the server was started anew"))

    raw = place.text() if not spoiled else place.write({**place.body(), "signature": place.body(1)["signature"]})
    with serving(replace(place.door(), keep=keep).app()) as url, httpx.Client(base_url=url, timeout=PATIENCE) as http:
        client = Client(place, http)
        wait_until(lambda: client.ready)
        with ThreadPoolExecutor(1) as voter:
            answer = voter.submit(client.post, raw)
            assert slow.begun.wait(PATIENCE)
            place.board.down = True
            broken.append(True)
            wait_until(lambda: not client.ready)
            slow.may.set()
            said = answer.result()
        assert (said.status_code, said.json()["reason"]) == (503, "not-ready")
        place.board.down = False
        wait_until(lambda: client.ready)
        again = client.post(raw)
        assert again.status_code == (422 if spoiled else 201), again.text
