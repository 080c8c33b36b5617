"""Ballots checked on all cores: a pool of processes that are given once all that is fixed while voting is open.

Nothing else crosses: ballots with the weights of their rows go in, a refusal or nothing comes out. A worker that dies,
or says nothing any more, is replaced and what it was checking is checked again; workers end with the process that
started them, however it ends.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from weakref import WeakKeyDictionary

from audit.protocol.elgamal import Ciphertext
from audit.protocol.refused import Refused
from audit.record.checker import BallotChecker
from audit.record.entries import read_text
from infra.log import failure, quieten_libraries

Pair = tuple[bytes, bytes]  # a ballot's text, and the 64 bytes of its row's encrypted weight
Verdict = Refused | None

CHUNK = 8
"""Most ballots sent to a worker at once; sending this many costs nothing beside checking them."""
SILENT_SECONDS = 120.0
"""Without a verdict, after which all workers are replaced. A check takes bounded time; one that is stopped or starved
does not, and a caller would wait for it for ever. How many wait to be checked before it bears on nobody's time: it is
counted anew with each verdict on what was given before.
"""


@dataclass
class _Given:
    """What workers were given: the `number`-th, to those of `executor`. `since`: when it was given, or the last of what
    was given before it came back; from then on a worker has it, or is about to take it.
    """

    executor: ProcessPoolExecutor
    number: int
    since: float


class CheckingPool:
    """`workers` processes that run the stateless half of checking over ballots. `close` ends them."""

    def __init__(self, checker: BallotChecker, workers: int) -> None:
        self._checker = checker
        self._workers = workers
        self._starting, self._counting = threading.Lock(), threading.Lock()
        self._executor = self._start()
        self._given = WeakKeyDictionary[Future[list[Verdict]], _Given]()
        self._number = 0

    def check_texts(self, pairs: Sequence[tuple[bytes, Ciphertext]]) -> list[Verdict]:
        """For each (text of a ballot, weight E of its row), in order: why its form, signature or proofs fail, or None.

        The intake's line on it is not part of the text: `BallotChecker.check_line` is cheap and runs anywhere.
        BrokenProcessPool if workers died or fell silent, and those that replaced them, too.
        """
        raw = [(text, weight.raw) for text, weight in pairs]
        # A small batch is shared by all cores too.
        step = max(1, min(CHUNK, len(raw) // self._workers))
        chunks = [raw[i : i + step] for i in range(0, len(raw), step)]
        executor = self._executor
        try:
            return self._collect(executor, chunks)
        except BrokenProcessPool:
            return self._collect(self._restart(executor), chunks)

    def submit_text(self, text: bytes, weight: Ciphertext) -> Future[list[Verdict]]:
        """The one verdict on one ballot, in a list, when it is ready. The caller waits for no longer than `patience`
        and then calls `replace`; it must not cancel the future, or others of the same workers might never be ready.

        The future raises BrokenProcessPool if its worker died; the next submission starts new workers.
        """
        pair, executor = [(text, weight.raw)], self._executor
        try:
            return self._give(executor, pair)
        except BrokenProcessPool:
            return self._give(self._restart(executor), pair)

    def patience(self, given: Future[list[Verdict]]) -> float:
        """For how many seconds from now a verdict on this, or on what was given before it, may still be waited for."""
        with self._counting:
            return self._given[given].since + SILENT_SECONDS - time.monotonic()

    def replace(self, silent: Future[list[Verdict]]) -> None:
        """Has others take the place of the workers that were given this and are silent, unless they did already:
        whoever waits for those hears BrokenProcessPool.
        """
        self._restart(self._given[silent].executor)

    def close(self) -> None:
        """Ends the workers, also those that are stopped, without waiting for what nobody asks for any more."""
        _kill(self._executor)
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _collect(self, executor: ProcessPoolExecutor, chunks: list[list[Pair]]) -> list[Verdict]:
        futures = [self._give(executor, chunk) for chunk in chunks]
        return [verdict for future in futures for verdict in self._result(future)]

    def _result(self, given: Future[list[Verdict]]) -> list[Verdict]:
        while not given.done() and (left := self.patience(given)) > 0:
            with suppress(TimeoutError):
                return given.result(left)
        if not given.done():
            self.replace(given)
        return given.result()

    def _give(self, executor: ProcessPoolExecutor, pairs: list[Pair]) -> Future[list[Verdict]]:
        given = executor.submit(_check, pairs)
        with self._counting:
            self._number += 1
            self._given[given] = _Given(executor, self._number, time.monotonic())
        given.add_done_callback(self._came_back)
        return given

    def _came_back(self, given: Future[list[Verdict]]) -> None:
        # Workers take things in the order in which they were given. What came back of later ones says nothing of who
        # has an earlier one: while a crowd comes, one of several workers may be stopped.
        with self._counting:
            for later in self._given.values():
                if later.number > self._given[given].number:
                    later.since = time.monotonic()

    def _restart(self, broken: ProcessPoolExecutor) -> ProcessPoolExecutor:
        with self._starting:
            if self._executor is broken:
                # All of them: beside one that died, another may be stopped, and would be waited for at the end.
                _kill(broken)
                broken.shutdown(wait=False)
                self._executor = self._start()
            return self._executor

    def _start(self) -> ProcessPoolExecutor:
        # Spawned, not forked: a fork would copy database connections and threads' locks into the worker.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._workers, context, initializer=_begin, initargs=(self._checker,))


def _kill(executor: ProcessPoolExecutor) -> None:
    # What they had, nobody has seen: no ballot is refused for it. One that has broken has no processes any more.
    for process in list((executor._processes or {}).values()):
        process.kill()


_checker: BallotChecker


def _begin(checker: BallotChecker) -> None:
    global _checker
    _checker = checker
    quieten_libraries()
    # Ctrl-C goes to the whole group of processes: the parent decides when workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _check(pairs: Sequence[Pair]) -> list[Verdict]:
    return [_verdict(text, weight) for text, weight in pairs]


def _verdict(text: bytes, weight: bytes) -> Verdict:
    try:
        _checker.check_ballot(read_text(text), Ciphertext.from_bytes(weight))
    except Refused as refusal:
        return refusal
    except MemoryError:
        # Of this machine, and no ballot's fault, which would be refused for good: as if the worker had been killed.
        os._exit(1)
    except Exception as error:
        # A fault of this program that a ballot has brought to light costs that ballot, not the others of its batch.
        failure(error)
        return Refused("syntax", "this ballot cannot be read")
    return None
