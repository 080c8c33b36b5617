"""Passing on: when a batch leaves, what stands in it, and when it leaves again."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from audit.record.entries import parse_entry
from intake.door.mover import AGAIN_MS, MOST_BYTES, Mover, NotStored, fit
from intake.door.outbox import Waiting
from tests.door.conftest import Place, Queue
from tests.loopback import wait_until


class Shelf:
    """An outbox in memory."""

    def __init__(self, entries: int) -> None:
        self.entries = [Waiting(bytes([i]) * 32, b"entry %d" % i) for i in range(entries)]
        self.again: list[tuple[int, int, int]] = []

    def due(self, now: int, most: int) -> list[Waiting]:
        return self.entries[:most]

    def count_due(self, now: int, most: int) -> int:
        return min(len(self.entries), most)

    def passed_on(self, identities: Sequence[bytes], now: int, again_after: int) -> None:
        self.again.append((len(identities), now, again_after))
        self.entries = [waiting for waiting in self.entries if waiting.identity not in identities]


def mover(shelf: Shelf, queue: Queue, least: int = 8, wait: float = 0.2) -> Mover:
    return Mover(shelf, queue.put, least, wait, clock=lambda: 1000.0, shuffle=lambda batch: batch.reverse())


def run(mover: Mover, seconds: float) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=mover.run, args=(stop,))
    thread.start()
    stop.wait(seconds)
    stop.set()
    mover.ring()
    thread.join()


def test_a_batch_holds_the_entries_alone_and_shuffled() -> None:
    shelf, queue = Shelf(3), Queue()
    assert mover(shelf, queue).move() == 3
    assert queue.batches == [[b"entry 2", b"entry 1", b"entry 0"]]


def test_too_few_wait_until_they_are_enough() -> None:
    shelf, queue = Shelf(7), Queue()
    waiting = mover(shelf, queue, wait=3600)
    run(waiting, 0.1)
    assert queue.batches == []
    shelf.entries = Shelf(8).entries
    run(waiting, 0.1)
    assert [len(batch) for batch in queue.batches] == [8]


def test_too_few_leave_when_the_first_has_waited() -> None:
    shelf, queue = Shelf(1), Queue()
    run(mover(shelf, queue, wait=0.1), 1)
    assert queue.batches == [[b"entry 0"]]


def test_a_backlog_leaves_at_once_in_batches_of_at_most_256() -> None:
    shelf, queue = Shelf(0), Queue()
    shelf.entries = [Waiting(i.to_bytes(32, "big"), b"x") for i in range(600)]
    run(mover(shelf, queue, wait=3600), 0.3)
    assert [len(batch) for batch in queue.batches] == [256, 256, 88]


def test_the_bell_alone_lets_no_small_batch_leave() -> None:
    shelf, queue = Shelf(3), Queue()
    waiting = mover(shelf, queue, wait=3600)
    for _ in range(20):
        waiting.ring()
    run(waiting, 0.2)
    assert queue.batches == []


def test_a_silent_queue_is_asked_again_after_another_wait() -> None:
    shelf, queue = Shelf(9), Queue(silent=True)
    asked: list[int] = []

    def put(entries: Sequence[bytes]) -> None:
        asked.append(len(entries))
        queue.put(entries)

    run(Mover(shelf, put, 8, 0.1), 0.55)
    assert 2 <= len(asked) <= 7


def test_what_the_queue_does_not_confirm_stays_due() -> None:
    shelf, queue = Shelf(3), Queue(silent=True)
    assert mover(shelf, queue).move() == 0
    assert (len(shelf.entries), shelf.again) == (3, [])


def test_a_batch_is_noted_with_the_time_after_which_it_leaves_again() -> None:
    shelf = Shelf(3)
    mover(shelf, Queue()).move()
    assert shelf.again == [(3, 1_000_000, AGAIN_MS)]
    shelf = Shelf(3)
    mover(shelf, Queue(), wait=60).move()
    assert shelf.again == [(3, 1_000_000, 600_000)]


def test_a_batch_fits_one_request_but_is_never_empty() -> None:
    large = Waiting(b"", bytes(MOST_BYTES + 1))
    small = Waiting(b"", b"x")
    assert fit([large, small]) == [large]
    assert fit([small, large]) == [small]
    assert fit([]) == []


def test_an_entry_leaves_again_after_a_time_that_doubles(place: Place) -> None:
    entry = parse_entry(place.meeting.signed("ballot", place.body(), place.intake))
    outbox = place.outbox
    outbox.accept([(entry, 5)])
    for now, after in ((0, 100), (100, 200), (300, 400)):
        assert [waiting.entry for waiting in outbox.due(now, 9)] == [entry.raw]
        outbox.passed_on([entry.identity], now, 100)
        assert outbox.due(now + after - 1, 9) == []
        assert outbox.count_due(now + after, 9) == 1


def test_what_is_passed_on_once_is_not_passed_on_again_at_once(place: Place) -> None:
    with place.running() as client:
        client.accepted(place.text(0))
        wait_until(lambda: len(place.queue.entries) == 1)
        client.accepted(place.text(1))
        wait_until(lambda: len(place.queue.entries) > 1)
        assert len(set(place.queue.entries)) == len(place.queue.entries) == 2


def test_a_mover_that_cannot_note_what_it_passed_on_passes_it_on_again() -> None:
    class Forgetful(Shelf):
        def passed_on(self, identities: Sequence[bytes], now: int, again_after: int) -> None:
            raise ConnectionError

    shelf, queue = Forgetful(2), Queue()
    for _ in range(2):
        with pytest.raises(ConnectionError):
            mover(shelf, queue).move()
    assert len(queue.batches) == 2


def test_the_queue_is_silent_in_words_that_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def put(entries: Sequence[bytes]) -> None:
        raise NotStored("no-answer")

    Mover(Shelf(1), put, 8, 0.2).move()
    assert "entry 0" not in capsys.readouterr().err
