"""Several tally processes on one ledger: one sequences, the others stand by and take over when it dies or falls silent;
and a ledger that shows to be an old copy is filled up and goes on.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from infra import database, failpoints
from infra.queue.egress import Outlet, egress
from infra.queue.ingress import Inlet
from tally.sequencer import adopt, leading, ledger, term
from tally.sequencer.leading import Leading
from tally.sequencer.ledger import EMPTY, Ledger, Overtaken
from tally.sequencer.term import Term, stand_by
from tests.databases import Database
from tests.loopback import PATIENCE, serving, wait_until
from tests.sequencer.house import TOKEN, HostDisk, House
from tests.sequencer.process import Tally

ORIGIN = "vote.example/led"


@pytest.fixture
def sessions(ledger_databases: list[Database]) -> Iterator[list[Engine]]:
    """Engines of two processes, each with one connection."""
    one = ledger_databases[0]
    made = [database.engine(one.url, one.passfile, name=f"tests-{n}", connections=1) for n in range(2)]
    yield made
    for engine in made:
        engine.dispose()


def test_one_at_a_time_and_then_the_other(sessions: list[Engine]) -> None:
    first, second = (Leading(engine, ORIGIN) for engine in sessions)
    assert first.seize() and not second.seize()
    first.confirm()
    first.leave()
    assert second.seize() and not first.seize()
    second.leave()


def test_another_logs_sequencer_is_another(sessions: list[Engine]) -> None:
    first, second = Leading(sessions[0], ORIGIN), Leading(sessions[1], "vote.example/other")
    assert first.seize() and second.seize()
    first.leave()
    second.leave()


def test_one_whose_session_was_ended_finds_out(sessions: list[Engine], ledger_databases: list[Database]) -> None:
    first, second = (Leading(engine, ORIGIN) for engine in sessions)
    assert first.seize()
    with ledger_databases[0].engine.connect() as connection:
        # The same role may end its own sessions.
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tests-0'")
        )
    wait_until(second.seize)
    with pytest.raises(OperationalError):
        first.confirm()
    assert not first.seize()
    second.leave()


def test_one_that_falls_silent_is_relieved(sessions: list[Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leading, "SILENT_SECONDS", 1)
    first, second = (Leading(engine, ORIGIN) for engine in sessions)
    assert first.seize()
    wait_until(second.seize)
    with pytest.raises(OperationalError):
        first.confirm()
    second.leave()


def test_one_stopped_while_it_stages_holds_nobody_up(
    open_house: House, ledger_databases: list[Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leading, "SILENT_SECONDS", 3)
    before, stopped, goes_on = len(open_house.vault.entries()), threading.Event(), threading.Event()
    ended = list[Exception]()

    def hook(name: str) -> None:
        if name == "sequencer.staging" and threading.current_thread() is first:
            stopped.set()
            goes_on.wait(2 * PATIENCE)

    def stage() -> None:
        try:
            held.step()
        except Exception as error:
            ended.append(error)

    with open_house.opened() as held:
        open_house.queue.put(open_house.ballot(0))
        first = threading.Thread(target=stage, daemon=True)
        second = threading.Thread(target=open_house.sequence, args=(open_house.ballot(1),), daemon=True)
        failpoints.set(hook)
        try:
            first.start()
            assert stopped.wait(PATIENCE)
            second.start()
            second.join(PATIENCE)
            assert not second.is_alive() and len(open_house.vault.entries()) == before + 2
        finally:
            failpoints.set(None)
            goes_on.set()
            first.join(PATIENCE)
    # It finds out as one whose database was away, and stands by.
    assert isinstance(ended[0], database.UNAVAILABLE)


def test_of_two_that_stage_at_once_the_one_that_commits_later_is_refused(
    open_house: House, ledger_databases: list[Database]
) -> None:
    ledger, newest, refused = open_house.ledger, open_house.ledger.newest(), list[Overtaken]()
    new = replace(newest, old_size=newest.size, size=newest.size + 1)

    def stage() -> None:
        try:
            with ledger.begin() as transaction:
                transaction.append(new, [b"second"])
        except Overtaken as error:
            refused.append(error)

    def waits() -> bool:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        with ledger_databases[0].engine.connect() as connection:
            return bool(connection.scalar(text(query)))

    second = threading.Thread(target=stage, daemon=True)
    with ledger.begin() as transaction:
        transaction.append(new, [b"first"])
        second.start()
        # It has seen the ledger as it was before: what it reads does not tell it.
        wait_until(waits)
    second.join(PATIENCE)
    assert len(refused) == 1 and "by another sequencer" in str(refused[0])
    assert ledger.entries(newest.size, new.size) == [b"first"]


STOPPED = """
import os, signal
from tally.sequencer import adopt, leading
leading.SILENT_SECONDS = 2
check_shown = adopt._check_shown
def stopped(*arguments):
    os.kill(os.getpid(), signal.SIGSTOP)
    check_shown(*arguments)
adopt._check_shown = stopped
"""
"""All that it has read back is in its transaction."""


def test_one_stopped_while_it_reads_the_log_back_holds_nobody_up(
    open_house: House, other_ledger: Ledger, ledger_databases: list[Database], tmp_path: Path
) -> None:
    after, before = replace(open_house, ledger=other_ledger), len(open_house.vault.entries())
    tally = Tally(tmp_path, open_house, ledger_databases[1], "http://127.0.0.1:9")
    with tally.running(STOPPED) as process:
        wait_until(lambda: "State:\tT" in Path(f"/proc/{process.pid}/status").read_text())
        assert other_ledger.newest() == EMPTY
        second = threading.Thread(target=after.sequence, args=(open_house.ballot(),), daemon=True)
        second.start()
        second.join(PATIENCE)
        assert not second.is_alive() and other_ledger.newest().size == before + 1
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: tally.figures().get("size") == before + 1)
    assert open_house.replay().ballots == 1


def test_one_that_waits_for_custodians_long_is_not_taken_for_stopped(
    open_house: House, other_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leading, "SILENT_SECONDS", 1)
    monkeypatch.setattr(leading, "BEAT_SECONDS", 0.2)
    check_shown = adopt._check_shown
    monkeypatch.setattr(adopt, "_check_shown", lambda *arguments: (time.sleep(1.5), check_shown(*arguments)))
    with replace(open_house, ledger=other_ledger).sequencer():
        assert list(other_ledger.all_entries()) == list(open_house.ledger.all_entries())


def test_one_that_has_lost_its_turn_does_not_keep_its_transaction(
    open_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leading, "SILENT_SECONDS", 1)
    monkeypatch.setattr(leading, "BEAT_SECONDS", 0.2)
    over = threading.Event()
    over.set()
    with (
        pytest.raises(OperationalError),
        open_house.ledger.begin() as transaction,
        transaction.lasting(term.checking(over)),
    ):
        time.sleep(1.5)
        transaction.sign(open_house.ledger.newest().size, b"late")


def test_one_stopped_while_it_fills_the_index_holds_nobody_up(
    open_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(connection: Connection, *_: object) -> None:
        time.sleep(1.5)
        connection.execute(text("SELECT 1"))

    monkeypatch.setattr(leading, "SILENT_SECONDS", 1)
    monkeypatch.setattr(ledger, "rebuild", stopped)
    with pytest.raises(OperationalError):
        open_house.ledger.fill_index()


def test_what_another_has_staged_since_is_not_signed(open_house: House) -> None:
    signed = list[int]()

    def hook(name: str) -> None:
        if name == "sequencer.staged":
            failpoints.set(None)
            open_house.sequence(open_house.ballot(1))
            signed.append(open_house.ledger.newest().size)

    with open_house.opened() as overtaken:
        open_house.queue.put(open_house.ballot(0))
        failpoints.set(hook)
        try:
            with pytest.raises(Overtaken):
                overtaken.step()
        finally:
            failpoints.set(None)
        assert overtaken._push._stage is not None and overtaken._push._stage.size < signed[0]
    assert open_house.replay().ballots == 2


def test_when_the_one_is_killed_the_other_goes_on(
    open_house: House, ledger_databases: list[Database], queue_database: Database, tmp_path: Path
) -> None:
    inlet, outlet = Inlet(queue_database.engine), Outlet(queue_database.engine, time.monotonic)
    before = open_house.vault.size(0)
    with serving(egress(outlet, TOKEN)) as url:
        first, second = (Tally(tmp_path / name, open_house, ledger_databases[0], url) for name in ("first", "second"))
        with first.running() as one:
            wait_until(lambda: first.figures().get("size") == before)
            with second.running() as other:
                wait_until(lambda: second.said("standing-by"))
                inlet.store([open_house.ballot(0)])
                wait_until(lambda: open_house.vault.size(0) == before + 1)
                os.kill(one.pid, signal.SIGKILL)
                inlet.store([open_house.ballot(1)])
                wait_until(lambda: open_house.vault.size(0) == before + 2)
                other.terminate()
                assert other.wait(PATIENCE) == 0
        assert second.said("leading")
    assert open_house.replay().ballots == 2


def test_who_stands_by_marks_what_another_signs(open_house: House, sessions: list[Engine]) -> None:
    first, second = (Leading(engine, ORIGIN) for engine in sessions)
    host, stop, terms = replace(open_house, mark=HostDisk()), threading.Event(), list[Term]()

    def make_term() -> Term:
        terms.append(host.term())
        return terms[-1]

    assert first.seize()
    serving = threading.Thread(target=stand_by, args=(make_term, second, stop), daemon=True)
    serving.start()
    wait_until(lambda: bool(terms) and terms[0].mark._found is not None)
    open_house.sequence(open_house.ballot())
    wait_until(lambda: host.mark.text == open_house.ledger.newest().checkpoint(open_house.meeting.origin).text)
    stop.set()
    serving.join(PATIENCE)
    first.leave()


def test_a_ledger_restored_from_a_copy_is_filled_up_and_goes_on(
    open_house: House, other_ledger: Ledger, sessions: list[Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(term, "RETRY_SECONDS", 0.05)
    copy = replace(open_house, ledger=other_ledger)
    copy.record()
    open_house.record(open_house.ballot(0), open_house.ballot(1))
    copied, reached = other_ledger.newest().size, open_house.ledger.newest().size
    assert copied < reached
    stop, terms = threading.Event(), list[Term]()

    def make_term() -> Term:
        terms.append(copy.term())
        return terms[-1]

    serving = threading.Thread(target=stand_by, args=(make_term, Leading(sessions[0], ORIGIN), stop), daemon=True)
    serving.start()
    copy.queue.put(open_house.ballot(2))
    wait_until(lambda: copy.vault.size(0) == reached + 1 and not copy.queue.rows)
    stop.set()
    serving.join(PATIENCE)
    assert len(terms) == 2
    assert list(other_ledger.all_entries())[:reached] == list(open_house.ledger.all_entries())
    assert open_house.replay().ballots == 3
