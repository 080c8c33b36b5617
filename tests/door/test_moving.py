"""Passing on: when a batch leaves, what stands in it, and when it leaves again."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import insert, update

from audit.record.entries import parse_entry
from intake.door.mover import AGAIN_MS, MOST_BYTES, Mover, NotStored, QueueClient, fit
from intake.door.outbox import Outbox, Waiting
from intake.door.schema import outbox
from tests.door.conftest import Place, Queue
from tests.loopback import serving, wait_until


class Shelf:
    """An outbox in memory. `due` of an entry is 0 while it was never offered."""

    def __init__(self, entries: int) -> None:
        self.entries = [Waiting(bytes([i]) * 32, b"entry %d" % i) for i in range(entries)]
        self.due: dict[bytes, int] = {}
        self.again: list[tuple[int, int, int]] = []

    def fresh(self, start: bytes, most: int) -> list[Waiting]:
        return [one for one in self.entries if one.identity not in self.due][:most]

    def count_fresh(self, most: int) -> int:
        return len(self.fresh(b"", most))

    def due_again(self, now: int, most: int) -> list[Waiting]:
        return [one for one in self.entries if self.due.get(one.identity, now + 1) <= now][:most]

    def offered(self, waiting: Sequence[Waiting], due: int) -> None:
        self.due |= {one.identity: due for one in waiting}

    def passed_on(self, waiting: Sequence[Waiting], now: int, again_after: int) -> None:
        self.again.append((len(waiting), now, again_after))
        self.due |= {one.identity: now + again_after for one in waiting}


class Time:
    """A clock, and a bell that nobody rings: whoever waits for it has waited at once."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now

    def set(self) -> None: ...

    def clear(self) -> None: ...

    def is_set(self) -> bool:
        return False

    def wait(self, timeout: float | None = None) -> bool:
        self.now += timeout or 0.0
        return False


def mover(shelf: Shelf, queue: Queue, least: int = 8, wait: float = 0.2) -> Mover:
    return Mover(shelf, queue.put, least, wait, clock=lambda: 1000.0, shuffle=lambda batch: batch.reverse())


def run(mover: Mover, done: Callable[[], bool] = lambda: True, seconds: float = 0.1) -> None:
    """Until `done`, and for a while longer."""
    stop = threading.Event()
    thread = threading.Thread(target=mover.run, args=(stop,))
    thread.start()
    wait_until(done)
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
    run(waiting)
    assert queue.batches == []
    shelf.entries = Shelf(8).entries
    run(waiting, lambda: queue.batches != [])
    assert [len(batch) for batch in queue.batches] == [8]


def test_too_few_leave_when_the_first_has_waited() -> None:
    shelf, queue = Shelf(1), Queue()
    run(mover(shelf, queue, wait=0.1), lambda: queue.batches != [])
    assert queue.batches == [[b"entry 0"]]


def test_a_backlog_leaves_at_once_in_batches_of_at_most_256() -> None:
    shelf, queue = Shelf(0), Queue()
    shelf.entries = [Waiting(i.to_bytes(32, "big"), b"x") for i in range(600)]
    run(mover(shelf, queue, wait=3600), lambda: len(queue.entries) >= 600)
    assert [len(batch) for batch in queue.batches] == [256, 256, 88]


def test_the_bell_alone_lets_no_small_batch_leave() -> None:
    shelf, queue = Shelf(3), Queue()
    waiting = mover(shelf, queue, wait=3600)
    for _ in range(20):
        waiting.ring()
    run(waiting)
    assert queue.batches == []


def test_a_silent_queue_is_asked_again_after_another_wait() -> None:
    shelf, queue, time = Shelf(9), Queue(silent=True), Time()
    asked: list[float] = []

    def put(entries: Sequence[bytes]) -> None:
        asked.append(time.now)
        if len(asked) == 5:
            stop.set()
        queue.put(entries)

    stop = threading.Event()
    Mover(shelf, put, 8, 0.5, clock=time, monotonic=time, bell=time).run(stop)
    assert [later - earlier for earlier, later in pairwise(asked)] == [0.5] * 4


def test_a_backlog_beyond_the_share_leaves_as_fast_as_the_queue_takes_it() -> None:
    """However long a batch may wait: the queue has room for two, and what it holds is taken each second."""
    shelf, queue, time, stop = Shelf(0), Queue(), Time(), threading.Event()
    shelf.entries = [Waiting(i.to_bytes(32, "big"), b"%d" % i) for i in range(2560)]
    seconds: list[int] = []

    def put(entries: Sequence[bytes]) -> None:
        if seconds.count(int(time.now)) == 2:
            raise NotStored("no-answer")
        seconds.append(int(time.now))
        queue.put(entries)
        if len(queue.entries) == 2560 or time.now > 1100:
            stop.set()

    Mover(shelf, put, 8, 3600, clock=time, monotonic=time, bell=time).run(stop)
    assert sorted(queue.entries) == sorted(one.entry for one in shelf.entries)
    assert seconds == sorted(2 * list(range(1000, 1005)))


def test_what_the_queue_does_not_confirm_is_soon_due_again() -> None:
    shelf, queue = Shelf(3), Queue(silent=True)
    assert mover(shelf, queue).move() == 0
    assert (set(shelf.due.values()), shelf.again) == ({1_000_200}, [])


def test_what_the_queue_has_seen_hides_no_ballot_that_it_has_not() -> None:
    """After an outage of tally or queue: those that are put again are not counted, and leave by themselves."""
    shelf, queue = Shelf(9), Queue(lies=True)
    first = Mover(shelf, queue.put, 8, 3600, clock=lambda: 1000.0)
    assert first.move() == 0
    queue.batches.clear()
    queue.lies = False
    alone = Waiting(b"alone" * 6 + b"!!", b"alone")
    shelf.entries.append(alone)
    later = Mover(shelf, queue.put, 8, 3600, clock=lambda: 9000.0)
    run(later, lambda: len(queue.entries) >= 9)
    assert alone.entry not in queue.entries
    assert len(queue.entries) == 9
    shelf.entries += [Waiting(bytes([i]) * 32, b"entry %d" % i) for i in range(10, 17)]
    run(later, lambda: len(queue.entries) >= 17)
    assert len(queue.batches[-1]) == 8
    assert alone.entry in queue.batches[-1]


def test_in_an_outage_a_ballot_offered_once_is_never_counted_again() -> None:
    shelf, queue = Shelf(8), Queue(silent=True)
    first = mover(shelf, queue)
    assert first.move() == 0
    assert (shelf.count_fresh(99), first.move()) == (0, 0)


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


def filled(place: Place, *kinds: str) -> list[bytes]:
    """An outbox with an entry of each of these kinds; their identities."""
    identities = [hashlib.sha256(bytes([i])).digest() for i in range(len(kinds))]
    rows = [
        {"origin": place.meeting.origin, "identity": identity, "kind": kind, "entry": b"x", "due": 0, "puts": 0}
        for identity, kind in zip(identities, kinds, strict=True)
    ]
    with place.engine.begin() as connection:
        connection.execute(insert(outbox), rows)
    return identities


def test_an_entry_leaves_again_after_a_time_that_doubles(place: Place) -> None:
    (identity,) = filled(place, "ballot")
    assert [one.identity for one in place.outbox.fresh(bytes(32), 9)] == [identity]
    now = 1
    for after in (100, 200, 400):
        place.outbox.offered([Waiting(identity, b"x")], now + 5)
        assert (place.outbox.fresh(bytes(32), 9), place.outbox.due_again(now + 4, 9)) == ([], [])
        assert len(place.outbox.due_again(now + 5, 9)) == 1
        place.outbox.passed_on([Waiting(identity, b"x")], now, 100)
        assert place.outbox.due_again(now + after - 1, 9) == []
        assert len(place.outbox.due_again(now + after, 9)) == 1
        now += after


def test_the_time_after_which_it_leaves_again_is_an_hour_at_most(place: Place) -> None:
    """After ten doublings of ten minutes it would be a week."""
    (identity,) = filled(place, "ballot")
    for again_after, longest in ((600_000, 3_600_000), (7_200_000, 7_200_000)):
        for _ in range(15):
            place.outbox.passed_on([Waiting(identity, b"x")], 1, again_after)
        assert place.outbox.due_again(longest, 9) == []
        assert len(place.outbox.due_again(1 + longest, 9)) == 1


def test_a_clock_that_is_set_back_makes_nothing_wait_longer(place: Place) -> None:
    """What the queue has lost by then would be passed on again only two days later."""
    (identity,) = filled(place, "ballot")
    now, queue = [1_800_000_000.0], Queue()
    moving = Mover(place.outbox, queue.put, 1, 600, clock=lambda: now[0])
    assert (moving.move(), moving.repeat()) == (1, 0)
    now[0] -= 48 * 3600
    assert (moving.repeat(), moving.repeat()) == (1, 0)
    now[0] += 2 * 3600
    assert moving.repeat() == 1


@pytest.mark.parametrize("moment", ["offered", "passed_on"])
def test_what_is_signed_anew_while_a_mover_holds_it_as_it_was_is_not_taken_for_put(
    place: Place, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(place, "ballot")
    note = getattr(Outbox, moment)

    def just_before(*arguments: Any) -> None:
        with place.owner.begin() as connection:
            connection.execute(update(outbox).values(entry=b"anew", due=0))
        note(*arguments)

    monkeypatch.setattr(Outbox, moment, just_before)
    assert Mover(place.outbox, Queue().put, 1, 600).move() == 1
    assert [one.entry for one in place.outbox.fresh(bytes(32), 9)] == [b"anew"]


def test_when_the_vote_is_closing_all_that_waits_is_passed_on_at_once(place: Place) -> None:
    """What tally has lost an hour ago does not keep the vote from being closed for the next."""
    with place.running() as client:
        client.accepted(place.text(0))
        wait_until(lambda: place.queue.entries)
        with place.engine.begin() as connection:
            connection.execute(update(outbox).values(due=1 << 50, puts=10))
        place.queue.batches.clear()
        client.read_closing()
        wait_until(lambda: place.queue.entries)
        assert place.tally()[0].kind == "ballot"
        wait_until(lambda: [parse_entry(raw).kind for raw in place.queue.entries].count("reconcile") == 1)


def test_none_of_many_waits_for_ever(place: Place) -> None:
    """More than a batch holds: whichever identities they have, chance begins anywhere, and goes round."""
    identities = sorted(filled(place, *["ballot"] * 20))
    for start in (bytes(32), identities[7], identities[-1], b"\xff" * 32):
        found = [one.identity for one in place.outbox.fresh(start, 5)]
        following = [one for one in identities if one >= start] + identities
        assert found == following[:5]


def test_those_that_are_passed_on_again_go_the_longest_due_first(place: Place) -> None:
    identities = filled(place, *["ballot"] * 6)
    for due, identity in enumerate(identities, start=1):
        place.outbox.offered([Waiting(identity, b"x")], due)
    assert [one.identity for one in place.outbox.due_again(9, 4)] == identities[:4]


def test_ballots_are_not_hidden_among_what_is_none(place: Place) -> None:
    filled(place, *["ballot"] * 3, *["roll"] * 7)
    assert place.outbox.count_fresh(8) == 3


def test_what_is_no_ballot_is_counted_while_there_is_none(place: Place) -> None:
    filled(place, *["roll"] * 9)
    assert place.outbox.count_fresh(8) == 8


def test_a_mover_draws_where_a_batch_begins() -> None:
    shelf, starts = Shelf(1), list[bytes]()
    drawing = Mover(shelf, Queue().put, 8, 0.2, draw=lambda size: bytes([7]) * size)
    shelf.fresh = lambda start, most: starts.append(start) or []  # type: ignore[method-assign,func-returns-value]
    drawing.move()
    assert starts == [bytes([7]) * 32]


def test_what_is_passed_on_once_is_not_passed_on_again_at_once(place: Place) -> None:
    with place.running() as client:
        client.accepted(place.text(0))
        wait_until(lambda: len(place.queue.entries) == 1)
        client.accepted(place.text(1))
        wait_until(lambda: len(place.queue.entries) > 1)
        assert len(set(place.queue.entries)) == len(place.queue.entries) == 2


def test_a_mover_that_cannot_note_what_it_passed_on_passes_it_on_again() -> None:
    class Forgetful(Shelf):
        def passed_on(self, waiting: Sequence[Waiting], now: int, again_after: int) -> None:
            raise ConnectionError

    shelf, queue = Forgetful(2), Queue()
    with pytest.raises(ConnectionError):
        mover(shelf, queue).move()
    later = Mover(shelf, queue.put, 8, 0.2, clock=lambda: 1001.0)
    with pytest.raises(ConnectionError):
        later.repeat()
    assert [len(batch) for batch in queue.batches] == [2, 2]


def test_the_queue_is_silent_in_words_that_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def put(entries: Sequence[bytes]) -> None:
        raise NotStored("no-answer")

    moving = Mover(Shelf(3), put, 8, 0.2)
    for _ in range(3):
        moving.move()
        moving.repeat()
    said = capsys.readouterr().err
    assert "entry 0" not in said
    # As long as it is silent for the same reason, seldom.
    assert said.count("queue-silent") == 1


@pytest.mark.parametrize(("status", "body"), [(200, b""), (503, b""), (204, b""), (200, b"x" * (1 << 20))])
def test_only_the_queues_one_answer_counts(status: int, body: bytes) -> None:
    async def answering(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await receive()
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": body})

    with serving(answering) as url:
        queue = QueueClient(url, "token")
        if status == 204:
            queue.put([b"entry"])
        else:
            with pytest.raises(NotStored, match="another-answer"):
                queue.put([b"entry"])
        queue.close()
