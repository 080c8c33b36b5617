"""Nothing accepted is lost: the queue, the custodians, the database and the door itself fail, each in both ways."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from audit.protocol.elgamal import Ciphertext
from audit.protocol.refused import Refused
from audit.record.entries import Entry
from intake.door import mover, serve
from intake.door.outbox import Accepted, Drained, Outbox
from intake.door.reception import ATTEMPTS
from tests.door.conftest import AGAINST, FOR, InlinePool, Place, signed
from tests.loopback import wait_until


@pytest.fixture(autouse=True)
def soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries are passed on again after a tenth of a second, not after half a minute."""
    monkeypatch.setattr(mover, "AGAIN_MS", 100)
    monkeypatch.setattr(mover, "AGAIN_WAITS", 0)


def test_a_queue_that_is_away(place: Place) -> None:
    place.queue.silent = True
    with place.running() as client:
        raw = place.text()
        entry = signed(raw, client.accepted(raw)["line"])
    place.queue.silent = False
    with place.running():
        wait_until(lambda: entry.raw in place.queue.entries)


def test_a_queue_that_stores_but_whose_answer_is_lost(place: Place) -> None:
    place.queue.lies = True
    raw = place.text()
    with place.running() as client:
        entry = signed(raw, client.accepted(raw)["line"])
        wait_until(lambda: place.queue.entries.count(entry.raw) >= 2)
        assert list(place.outbox.ballots()) == [entry.raw]


def test_a_queue_that_loses_what_it_stored(place: Place) -> None:
    raw = place.text()
    with place.running() as client:
        entry = signed(raw, client.accepted(raw)["line"])
        wait_until(lambda: entry.raw in place.queue.entries)
        place.queue.batches.clear()
        wait_until(lambda: entry.raw in place.queue.entries)


def test_an_outbox_row_is_deleted_only_when_the_log_holds_the_entry(place: Place) -> None:
    raw = place.text()
    with place.running() as client:
        entry = signed(raw, client.accepted(raw)["line"])
        wait_until(lambda: place.queue.entries != [])
        assert list(place.outbox.ballots()) == [entry.raw]
        # Not yet under a witnessed checkpoint: one custodian is no majority of two.
        place.board.custodians = 1
        place.board.record(entry.raw)
        wait_until(lambda: place.queue.entries.count(entry.raw) >= 2)
        assert list(place.outbox.ballots()) == [entry.raw]
        place.board.custodians = 2
        place.board.publish()
        wait_until(lambda: list(place.outbox.ballots()) == [])


def test_the_same_ballot_recorded_under_another_intakes_line_does_not_settle_ours(place: Place) -> None:
    raw = place.text()
    with place.running() as client:
        entry = signed(raw, client.accepted(raw)["line"])
        other = place.meeting.parties.intakes[1]
        size = len(place.meeting.entries)
        place.board.record(signed(raw, other.sign(raw).line).raw)
        # Still passed on: tally will refuse it by name, and that settles it.
        place.queue.batches.clear()
        wait_until(lambda: place.queue.entries != [])
        assert list(place.outbox.ballots()) == [entry.raw]
        assert len(place.meeting.entries) == size + 1


def test_custodians_that_are_away(place: Place) -> None:
    with place.running() as client:
        client.accepted(place.text(0))
        place.board.down = True
        client.accepted(place.text(1))
        wait_until(lambda: len(place.queue.entries) >= 2)
        place.board.down = False
        client.read_closing()


def test_a_door_that_cannot_read_the_log_yet_says_so(place: Place) -> None:
    place.board.down = True
    with place.running() as client:
        answer = client.post(place.text())
        assert (answer.status_code, answer.json()["reason"]) == (503, "not-ready")
        place.board.down = False
        client.accepted(place.text())


def test_a_log_that_breaks_the_rules_ends_it(place: Place) -> None:
    with place.running() as client:
        client.accepted(place.text())
        wait_until(lambda: place.queue.entries != [])
        meeting = place.meeting
        body = {"manifest": meeting.hash, "size": meeting.election.size}
        meeting.entries.append(meeting.signed("closing", body, meeting.parties.officials[0]))
        place.board.publish()
        wait_until(lambda: not client.ready)
        answer = client.post(place.text(1))
        assert (answer.status_code, answer.json()["reason"]) == (503, "wrong-log")
        # What was promised is still passed on.
        place.queue.batches.clear()
        wait_until(lambda: place.queue.entries != [])


def test_a_database_that_fails_while_the_log_is_read(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    settle, broken = Outbox.settle, [True]

    def fails(self: Outbox, *arguments: Any) -> None:
        if broken:
            broken.pop()
            raise OperationalError("DELETE", {}, Exception("the server went away"))
        settle(self, *arguments)

    raw = place.text()
    with place.running() as client:
        entry = signed(raw, client.accepted(raw)["line"])
        monkeypatch.setattr(Outbox, "settle", fails)
        place.board.record(entry.raw)
        wait_until(lambda: broken == [] and list(place.outbox.ballots()) == [])
        client.accepted(place.text(1))
        client.read_closing()


@pytest.mark.parametrize("stored", [False, True], ids=["lost", "stored but reported lost"])
def test_a_database_that_fails_at_the_commit(place: Place, monkeypatch: pytest.MonkeyPatch, stored: bool) -> None:
    store, broken = Outbox.accept, [True]

    def accept(self: Outbox, entries: list[tuple[Entry, int]]) -> list[Accepted | Drained]:
        done = store(self, entries) if stored or not broken else []
        if broken:
            raise OperationalError("INSERT", {}, Exception("the server went away"))
        return done

    monkeypatch.setattr(Outbox, "accept", accept)
    raw = place.text()
    with place.running() as client:
        wait_until(lambda: client.ready)
        answer = client.post(raw)
        assert (answer.status_code, answer.json()["reason"]) == (503, "not-stored")
        broken.clear()
        again = client.post(raw)
        assert again.status_code == (200 if stored else 201)
        entry = signed(raw, again.json()["line"])
        assert list(place.outbox.ballots()) == [entry.raw]
        wait_until(lambda: entry.raw in place.queue.entries)


def test_many_at_once_and_the_same_text_among_them(place: Place) -> None:
    texts = [place.text(account) for account in range(3)]
    with place.running() as client:
        wait_until(lambda: client.ready)
        with ThreadPoolExecutor(12) as crowd:
            answers = list(crowd.map(client.post, texts * 4))
    assert sorted(answer.status_code for answer in answers) == [200] * 9 + [201] * 3
    for text, answer in zip(texts * 4, answers, strict=True):
        assert answer.json() == answers[texts.index(text)].json()
    assert len(list(place.outbox.ballots())) == 3


def test_a_ballot_whose_checkers_die_again_and_again_is_neither_taken_nor_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = [True] * ATTEMPTS

    class Pool(InlinePool):
        def submit_text(self, text: bytes, weight: Ciphertext) -> Future[list[Refused | None]]:
            if not text or not dying:
                return super().submit_text(text, weight)
            future: Future[list[Refused | None]] = Future()
            future.set_exception(BrokenProcessPool(dying.pop()))
            return future

    monkeypatch.setattr(serve, "CheckingPool", Pool)
    with place.running() as client:
        wait_until(lambda: client.ready)
        answer = client.post(place.text())
        assert (answer.status_code, answer.json()["reason"]) == (503, "busy")
        assert client.post(place.text()).status_code == 201
        dying += [True] * (ATTEMPTS - 1)
        assert client.post(place.text(1)).status_code == 201


def test_checkers_that_fall_silent_are_replaced_and_the_ballot_is_taken(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced = list[bool]()

    class Pool(InlinePool):
        def submit_text(self, text: bytes, weight: Ciphertext) -> Future[list[Refused | None]]:
            return super().submit_text(text, weight) if replaced or not text else Future()

        def patience(self, given: Future[list[Refused | None]]) -> float:
            return 0

        def replace(self, silent: Future[list[Refused | None]]) -> None:
            replaced.append(True)

    monkeypatch.setattr(serve, "CheckingPool", Pool)
    with place.running() as client:
        wait_until(lambda: client.ready)
        assert client.post(place.text()).status_code == 201
    assert replaced == [True]


def test_two_ballots_of_one_revision_at_once(place: Place) -> None:
    with place.running() as client:
        wait_until(lambda: client.ready)
        with ThreadPoolExecutor(2) as crowd:
            answers: list[Any] = list(crowd.map(client.post, [place.text(0, FOR), place.text(0, AGAINST)]))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
