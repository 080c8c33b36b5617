"""Crashes between any two steps, custodians that are away or behind, and two sequencers at once: nothing acknowledged
is lost, nothing is said twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from sqlalchemy.exc import OperationalError

from audit.record.entries import parse_entry
from infra import failpoints
from infra.log import Seldom
from infra.queue.frames import Row
from tally.sequencer import term
from tally.sequencer.egress import QueueUnavailable
from tally.sequencer.ledger import Damaged, Overtaken, Transaction
from tally.sequencer.sequence import Sequencer
from tests.loopback import PATIENCE, wait_until
from tests.sequencer.house import House
from vault.custodian.sql_store import SqlStore


class Crash(BaseException):
    """The process ends here."""


def lost(*_: object) -> object:
    raise Crash


def reported_lost(call: Callable[..., object]) -> Callable[..., object]:
    def done(*arguments: object) -> object:
        call(*arguments)
        raise Crash

    return done


STEPS = {
    "stage": lambda s: (Transaction, "append"),
    "commit": lambda s: (s, "_stage"),
    "sign": lambda s: (s._ledger, "sign"),
    "cosign": lambda s: (s._push, "witness"),
    "witness": lambda s: (s._ledger, "witness"),
    "publish": lambda s: (s._push, "publish"),
    "acknowledge": lambda s: (s._egress, "ack"),
}


@pytest.mark.parametrize("persisted", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_loses_nothing_and_repeats_nothing(
    open_house: House, monkeypatch: pytest.MonkeyPatch, step: str, persisted: bool
) -> None:
    before = [entry.raw for entry in open_house.vault.entries()]
    ballots = [open_house.ballot(account) for account in range(3)]
    open_house.queue.put(*ballots)
    with open_house.opened() as sequencer:
        crash(sequencer, step, persisted, monkeypatch)
        with pytest.raises(Crash):
            sequencer.step()
    monkeypatch.undo()
    reached = open_house.ledger.newest().size
    signed = open_house.ledger.signed(reached)
    assert sorted(entry.raw for entry in open_house.record()) == sorted(before + ballots)
    assert open_house.queue.rows == {}
    assert open_house.replay().ballots == 3
    # The log never signs a second note over one tree.
    assert signed in (None, open_house.ledger.signed(reached))


def crash(sequencer: Sequencer, step: str, persisted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name = STEPS[step](sequencer)
    monkeypatch.setattr(owner, name, reported_lost(getattr(owner, name)) if persisted else lost)


@pytest.fixture
def crashing() -> Iterator[Callable[[str], None]]:
    """Has the process end at a failpoint."""

    def crash_at(wanted: str) -> None:
        def hook(name: str) -> None:
            if name == wanted:
                raise Crash

        failpoints.set(hook)

    yield crash_at
    failpoints.set(None)


@pytest.mark.parametrize("name", [name for name in failpoints.NAMES if name.startswith("sequencer.")])
def test_a_process_that_ends_at_a_failpoint_loses_nothing_and_repeats_nothing(
    open_house: House, crashing: Callable[[str], None], name: str
) -> None:
    before, ballot = [entry.raw for entry in open_house.vault.entries()], open_house.ballot()
    open_house.queue.put(ballot)
    with open_house.opened() as sequencer:
        crashing(name)
        with pytest.raises(Crash):
            sequencer.step()
    failpoints.set(None)
    assert [entry.raw for entry in open_house.record()] == [*before, ballot]
    assert open_house.queue.rows == {}


def test_a_repetition_of_what_another_has_only_staged_is_not_acknowledged(open_house: House) -> None:
    ballot = open_house.ballot()
    with open_house.opened() as one, open_house.opened() as two:
        open_house.queue.put(ballot, ballot)
        one.stage(open_house.queue.take(1))
        with pytest.raises(Overtaken):
            two.step()
        assert len(open_house.queue.rows) == 2


def test_a_repetition_of_what_another_has_signed_and_sent_to_nobody_is_not_acknowledged(open_house: House) -> None:
    """The index has it; no custodian holds it, and who has signed it may be gone."""
    before, ballot = open_house.ledger.newest().size, open_house.ballot()
    open_house.queue.put(ballot)
    with open_house.opened() as one:
        with open_house.opened() as two:
            staged = two.stage(open_house.queue.take(256))
            two._sign(open_house.ledger.newest(), staged.entries)
        with pytest.raises(Overtaken):
            one.step()
        assert list(open_house.queue.rows.values()) == [ballot]
        assert set(one._push.sizes().values()) <= {0, before}
    assert open_house.record()[-1].raw == ballot


def test_a_lost_acknowledgement_is_passed_over(open_house: House) -> None:
    open_house.queue.deaf = True
    open_house.queue.put(open_house.ballot())
    with open_house.opened() as sequencer:
        sequencer.step()
        sequencer.step()
        assert sequencer.figures.repeated == 1
    assert open_house.replay().ballots == 1


def test_one_custodian_away_delays_nobody_and_is_brought_up_later(open_house: House) -> None:
    vault, before = open_house.vault, len(open_house.vault.entries())
    vault.down(2)
    for revision in range(3):
        open_house.record(open_house.ballot(revision=revision))
    assert vault.size(0) == vault.size(1) == before + 3
    vault.up(2)
    with open_house.opened():
        wait_until(lambda: vault.size(2) == before + 3)
    assert open_house.replay(2).ballots == 3


def test_a_custodian_brought_up_while_the_sequencer_runs_is_sent_what_it_misses(open_house: House) -> None:
    vault, before = open_house.vault, len(open_house.vault.entries())
    with open_house.opened() as sequencer:
        vault.down(1)
        open_house.queue.put(open_house.ballot())
        sequencer.step()
        vault.up(1)
        wait_until(lambda: vault.size(1) == before + 1)
        wait_until(lambda: set(sequencer._push.sizes().values()) == {before + 1})


def test_without_w_custodians_nothing_is_published_or_acknowledged(open_house: House) -> None:
    vault, before = open_house.vault, len(open_house.vault.entries())
    open_house.queue.put(open_house.ballot())
    with open_house.opened() as sequencer:
        vault.down(1)
        vault.down(2)
        round = threading.Thread(target=sequencer.step, daemon=True)
        round.start()
        wait_until(lambda: open_house.ledger.signed(before + 1) is not None)
        wait_until(lambda: sequencer._push.sizes()[sequencer._push._couriers[0].label] == before + 1)
        assert vault.size(0) == before
        assert len(open_house.queue.rows) == 1
        vault.up(1)
        round.join(PATIENCE)
    assert open_house.queue.rows == {}
    assert vault.size(0) == vault.size(1) == before + 1


def test_one_that_has_nothing_to_do_finds_that_another_has_continued_the_log(open_house: House) -> None:
    """What that one has staged, and may have left to be pushed, would else wait for the next entry."""
    before, stop = open_house.ledger.newest().size, threading.Event()

    def report(idle: Sequencer) -> None:
        if idle.election.size > before:
            stop.set()
            return
        with open_house.opened() as other:
            open_house.queue.put(open_house.ballot(0))
            other.stage(open_house.queue.take(256))
        open_house.queue.rows.clear()

    with open_house.sequencer() as idle:
        term.sequence(idle, stop, report)
    assert open_house.replay().ballots == 1


def test_a_second_sequencer_loses_and_ends(open_house: House) -> None:
    first, second = open_house.ballot(0), open_house.ballot(1)
    with open_house.opened() as one, open_house.opened() as two:
        open_house.queue.put(first)
        one.step()
        open_house.queue.put(second)
        with pytest.raises(Overtaken):
            two.step()
        one.step()
    assert [entry.raw for entry in open_house.vault.entries()][-2:] == [first, second]


def test_the_database_away_between_two_rounds_costs_a_new_beginning_only(open_house: House) -> None:
    open_house.queue.put(open_house.ballot())
    with open_house.opened() as sequencer:
        open_house.ledger.engine.dispose()
        sequencer.step()
        sequencer.open()
    assert open_house.replay().ballots == 1


def test_a_flipped_byte_in_the_ledger_stops_the_sequencer(open_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    ballot = open_house.ballot()
    open_house.record(ballot)
    entries = list(open_house.ledger.all_entries())
    other = [*entries[:-1], parse_entry(open_house.ballot()).raw]
    monkeypatch.setattr(open_house.ledger, "entries", lambda start, end: other[start:end])
    with open_house.sequencer() as sequencer, pytest.raises(Damaged):
        sequencer.open()


def away(times: int, call: Callable[..., object]) -> Callable[..., object]:
    """`call`, after failing so many times as a database does that is restarting."""
    left = iter(range(times))

    def tried(*arguments: object) -> object:
        if next(left, None) is not None:
            raise OperationalError("statement", {}, Exception("the server closed the connection"))
        return call(*arguments)

    return tried


def test_a_storage_error_twice_in_a_row_and_a_reload_that_fails_lose_nothing(
    open_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(term, "RETRY_SECONDS", 0.01)
    before, ballots = len(open_house.vault.entries()), [open_house.ballot(account) for account in range(3)]
    stop = threading.Event()
    with open_house.sequencer() as sequencer:
        for name, times in (("append", 2), ("entries", 1), ("sign", 1), ("witness", 1), ("newest", 1)):
            owner = Transaction if name == "append" else open_house.ledger
            monkeypatch.setattr(owner, name, away(times, getattr(owner, name)))
        loop = threading.Thread(target=term.sequence, args=(sequencer, stop, lambda _: None), daemon=True)
        loop.start()
        open_house.queue.put(*ballots)
        wait_until(lambda: open_house.vault.size(0) == before + 3 and not open_house.queue.rows)
        stop.set()
        loop.join(PATIENCE)
    assert sorted(entry.raw for entry in open_house.vault.entries()[before:]) == sorted(ballots)


def test_while_the_ledgers_disk_is_full_nothing_is_acknowledged_and_then_it_goes_on(
    open_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(term, "RETRY_SECONDS", 0.01)
    before, ballot = open_house.ledger.newest().size, open_house.ballot()
    append, tried, full = Transaction.append, threading.Semaphore(0), threading.Event()
    full.set()

    def append_if_room(*arguments: object) -> None:
        append(*arguments)
        if full.is_set():
            # As PostgreSQL says it of a row, or of the commit: what was written in the transaction is undone.
            tried.release()
            raise OperationalError("statement", {}, Exception("no space left on device"))

    monkeypatch.setattr(Transaction, "append", append_if_room)
    stop = threading.Event()
    with open_house.sequencer() as sequencer:
        loop = threading.Thread(target=term.sequence, args=(sequencer, stop, lambda _: None), daemon=True)
        loop.start()
        open_house.queue.put(ballot)
        for _ in range(3):
            assert tried.acquire(timeout=PATIENCE)
        assert open_house.ledger.newest().size == open_house.vault.size(0) == before
        assert list(open_house.queue.rows.values()) == [ballot]
        full.clear()
        wait_until(lambda: not open_house.queue.rows)
        stop.set()
        loop.join(PATIENCE)
    assert open_house.vault.entries()[-1].raw == ballot


def test_the_queue_away_is_waited_for(
    open_house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(term, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(term, "_silent", Seldom(10))
    take, left = open_house.queue.take, iter(range(3))

    def unavailable(most: int) -> list[Row]:
        if next(left, None) is not None:
            raise QueueUnavailable("status 401")
        return take(most)

    monkeypatch.setattr(open_house.queue, "take", unavailable)
    stop = threading.Event()
    with open_house.sequencer() as sequencer:
        loop = threading.Thread(target=term.sequence, args=(sequencer, stop, lambda _: None), daemon=True)
        loop.start()
        open_house.queue.put(open_house.ballot())
        wait_until(lambda: not open_house.queue.rows)
        stop.set()
        loop.join(PATIENCE)
    assert open_house.replay().ballots == 1
    assert capsys.readouterr().err.count('"queue-unavailable", "kind": "status-401"') == 1


def test_custodians_whose_storage_fails_twice_have_nothing_lost(
    open_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, ballot = [entry.raw for entry in open_house.vault.entries()], open_house.ballot()
    with open_house.opened() as sequencer:
        monkeypatch.setattr(SqlStore, "append", away(4, SqlStore.append))
        open_house.queue.put(ballot)
        sequencer.step()
    for custodian in range(3):
        wait_until(lambda custodian=custodian: open_house.vault.size(custodian) in (len(before), len(before) + 1))
    assert [entry.raw for entry in open_house.vault.entries()] == [*before, ballot]


def test_a_custodian_that_signs_with_another_key_does_not_count(
    open_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault, before = open_house.vault, len(open_house.vault.entries())
    with open_house.opened() as sequencer:
        for custodian in (1, 2):
            vault.impostor(custodian)
        open_house.queue.put(open_house.ballot())
        round = threading.Thread(target=sequencer.step, daemon=True)
        round.start()
        wait_until(lambda: open_house.ledger.signed(before + 1) is not None)
        round.join(0.5)
        assert round.is_alive()
        assert open_house.ledger.witnessed(before + 1) is None
        vault.up(1)
        round.join(PATIENCE)
    assert vault.size(0) == before + 1


@pytest.mark.parametrize("beyond", [-1, 1])
def test_a_stage_continues_the_last_one_and_no_other_size(open_house: House, beyond: int) -> None:
    newest = open_house.ledger.newest()
    start = newest.size + beyond
    with pytest.raises(Overtaken, match="does not end at"), open_house.ledger.begin() as transaction:
        transaction.append(replace(newest, old_size=start, size=start + 3), [b"entry"] * 3)
    assert open_house.ledger.newest() == newest
