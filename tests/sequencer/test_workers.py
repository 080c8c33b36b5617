"""Ballots checked by worker processes, which die with nobody's ballot and do not outlive who started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest

from audit.protocol.elgamal import ZERO, Ciphertext
from audit.record.entries import Entry, make_text
from infra import workers
from infra.workers import CheckingPool
from tests.loopback import wait_until
from tests.simulator.meeting import Meeting

FOR = (1, 0, 0)


@pytest.fixture(scope="module")
def meeting() -> Meeting:
    return Meeting().prepared()


@pytest.fixture(scope="module")
def pool(meeting: Meeting) -> Iterator[CheckingPool]:
    made = CheckingPool(meeting.election.checker(), 2)
    yield made
    made.close()


def pairs(meeting: Meeting) -> list[tuple[bytes, Ciphertext]]:
    """A ballot of every account, with its weight."""
    bodies = [meeting.ballot(account, {"nominee-1": FOR}) for account in meeting.accounts]
    texts = [make_text("ballot", meeting.origin, body) for body in bodies]
    return [(text, account.E) for text, account in zip(texts, meeting.accounts, strict=True)]


def test_verdicts_come_in_the_order_of_the_ballots(meeting: Meeting, pool: CheckingPool) -> None:
    good = pairs(meeting)
    bad = [(good[0][0], good[1][1]), (b"nothing", good[0][1])]
    mixed = (good + bad) * 5
    reasons = [verdict and verdict.reason for verdict in pool.check_texts(mixed)]
    assert reasons == [None, None, None, "bad-proof", "syntax"] * 5


def test_one_ballot_is_checked_alone(meeting: Meeting, pool: CheckingPool) -> None:
    assert pool.submit_text(*pairs(meeting)[0]).result(30) == [None]


def test_nothing_to_check_is_no_fault(pool: CheckingPool) -> None:
    assert pool.check_texts([]) == []


def test_workers_that_die_are_replaced(meeting: Meeting, pool: CheckingPool) -> None:
    pool.check_texts(pairs(meeting))
    for pid in list(pool._executor._processes):
        os.kill(pid, signal.SIGKILL)
    assert pool.check_texts(pairs(meeting)) == [None] * 3
    assert pool.submit_text(*pairs(meeting)[0]).result(30) == [None]


def test_one_that_is_stopped_is_replaced_for_whoever_waits(meeting: Meeting, pool: CheckingPool) -> None:
    pool.check_texts(pairs(meeting))
    for pid in list(pool._executor._processes):
        os.kill(pid, signal.SIGSTOP)
    waited_for = pool.submit_text(*pairs(meeting)[0])
    pool.replace(waited_for)
    with pytest.raises(BrokenProcessPool):
        waited_for.result(30)
    assert pool.submit_text(*pairs(meeting)[0]).result(30) == [None]
    # Who waited as long for the same ones, and says so later, has nobody replaced.
    others = pool._executor
    pool.replace(waited_for)
    assert pool._executor is others


def test_one_that_is_stopped_is_not_waited_for_beside_one_that_died(meeting: Meeting, pool: CheckingPool) -> None:
    pool.check_texts(pairs(meeting) * 4)
    manager, (stopped, dead) = pool._executor._executor_manager_thread, list(pool._executor._processes)
    os.kill(stopped, signal.SIGSTOP)
    os.kill(dead, signal.SIGKILL)
    assert pool.check_texts(pairs(meeting)) == [None] * 3
    manager.join(30)
    assert not manager.is_alive() and not running(stopped)


def test_a_pool_whose_workers_are_stopped_ends(meeting: Meeting) -> None:
    pool = CheckingPool(meeting.election.checker(), 1)
    pool.check_texts(pairs(meeting))
    (stopped,) = list(pool._executor._processes)
    os.kill(stopped, signal.SIGSTOP)
    waited_for = pool.submit_text(*pairs(meeting)[0])
    ending = threading.Thread(target=pool.close, daemon=True)
    ending.start()
    ending.join(30)
    assert not ending.is_alive() and not running(stopped) and waited_for.done()


class Slow:
    """What takes its time over each ballot, and is stopped by one of no weight."""

    def check_ballot(self, _: Entry, weight: Ciphertext) -> None:
        if weight == ZERO:
            os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(0.15)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[CheckingPool]:
    made = CheckingPool(Slow(), 2)  # type: ignore[arg-type]
    made.check_texts([(b"", ZERO)] * 2)
    monkeypatch.setattr(workers, "SILENT_SECONDS", 2.5)
    yield made
    made.close()


def test_a_crowd_that_waits_for_its_turn_has_nobody_replaced(meeting: Meeting, slow: CheckingPool) -> None:
    """It waits longer than workers may be silent."""
    ballots, busy = pairs(meeting)[:1] * 40, set(slow._executor._processes)
    waiting = [slow.submit_text(*ballot) for ballot in ballots]
    while not waiting[-1].done():
        assert all(slow.patience(one) > 0 or one.done() for one in waiting)
        time.sleep(0.1)
    assert slow.check_texts(ballots) == [None] * 40
    assert set(slow._executor._processes) == busy


def test_verdicts_on_later_ballots_keep_none_waiting_for_one_that_is_stopped(
    meeting: Meeting, slow: CheckingPool
) -> None:
    text, weight = pairs(meeting)[0]
    stuck = slow.submit_text(text, ZERO)
    wait_until(lambda: slow.submit_text(text, weight).result(30) == [None] and slow.patience(stuck) <= 0)
    slow.replace(stuck)
    with pytest.raises(BrokenProcessPool):
        stuck.result(30)


class Exhausted:
    """What checks where there is no memory left."""

    def check_ballot(self, *_: object) -> None:
        raise MemoryError


def test_a_worker_without_memory_refuses_nothing(meeting: Meeting) -> None:
    short = CheckingPool(Exhausted(), 1)  # type: ignore[arg-type]
    with pytest.raises(BrokenProcessPool):
        short.check_texts(pairs(meeting)[:1])
    short.close()


def test_a_worker_that_says_nothing_any_more_is_replaced(
    meeting: Meeting, pool: CheckingPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def restart(broken: ProcessPoolExecutor) -> ProcessPoolExecutor:
        monkeypatch.undo()
        return pool._restart(broken)

    pool.check_texts(pairs(meeting) * 4)
    stopped = list(pool._executor._processes)
    monkeypatch.setattr(workers, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(pool, "_restart", restart)
    os.kill(stopped[0], signal.SIGSTOP)
    assert pool.check_texts(pairs(meeting) * 4) == [None] * 12
    assert not set(stopped) & set(pool._executor._processes)
    wait_until(lambda: not any(map(running, stopped)))


PARENT = """
import os, signal
from infra.workers import CheckingPool
from tests.simulator.meeting import Meeting

if __name__ == "__main__":
    pool = CheckingPool(Meeting().prepared().election.checker(), 1)
    pool.check_texts([(b"", __import__("audit.protocol.elgamal", fromlist=["ZERO"]).ZERO)])
    print(*pool._executor._processes, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_with_a_parent_that_is_killed(tmp_path: object) -> None:
    script = os.path.join(str(tmp_path), "parent.py")
    with open(script, "w") as file:
        file.write(PARENT)
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL
    (pid,) = map(int, done.stdout.split())
    wait_until(lambda: not running(pid))


def running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
