"""One turn at the log: it is waited for, an old copy of the ledger is filled up, and rounds follow each other until the
process is told to end or the turn is lost.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from audit.record.manifest import Manifest
from audit.record.restart import Restart
from infra import lasting, log
from infra.database import RETRY_SECONDS, UNAVAILABLE, tell
from tally.sequencer.adopt import Awaits, adopt_any
from tally.sequencer.claim import Claim
from tally.sequencer.courier import LedgerBehind
from tally.sequencer.custodian import Custodian
from tally.sequencer.egress import QueueUnavailable
from tally.sequencer.leading import BEAT_SECONDS, Leading
from tally.sequencer.ledger import EMPTY, Ledger
from tally.sequencer.mark import Mark, NotMarked
from tally.sequencer.push import Push, Stopped
from tally.sequencer.sequence import Sequencer
from tally.sequencer.survey import survey

POLL_SECONDS = 0.1
FINISH_SECONDS = 5.0
"""In which the round under way may end once it is time to stop; what it has staged the next start goes on with."""
STANDBY_SECONDS = 0.25
"""Between two looks of one that stands by."""
WAITED_OUT = (*UNAVAILABLE, NotMarked)

Start = Callable[[str, Callable[[], None], Callable[[], None]], threading.Thread]

_log = log.Log(
    "tally",
    queue_unavailable=("kind",),
    standing_by=(),
    leading=(),
    leading_lost=(),
    ledger_behind=(),
    mark_unusable=("cause",),
)
_silent, _unmarked = log.Seldom(10), log.Seldom(10)


class Stop(Protocol):
    """When to end; see `threading.Event`."""

    def is_set(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool: ...


@dataclass(frozen=True)
class Threads:
    """What watches over a turn, and waits for what it sees: clock and threads are arguments. `start` as `lasting`'s."""

    start: Start = lasting.start
    event: Callable[[], threading.Event] = threading.Event
    clock: Callable[[], float] = monotonic


THREADS = Threads()


@dataclass(frozen=True)
class Term:
    """What sequences from one beginning to the next: nothing in its memory is of use to the one that follows. `word`:
    whom the officials leave out now; `awaits` is told for which custodians a beginning waits.
    """

    ledger: Ledger
    manifest: Manifest
    custodians: Sequence[Custodian]
    word: Callable[[], Restart]
    push: Push
    sequencer: Sequencer
    mark: Mark
    report: Callable[[Sequencer], None]
    clock: Callable[[], float] = monotonic
    awaits: Awaits = lambda custodians: None

    def serve(self, stop: Stop, behind: bool, claim: Claim | None = None) -> None:
        """Sequences until stopped; `behind`: the ledger is known to be an old copy, or, if there is a `claim`, only
        that says so. Raises as `sequence`, and LedgerBehind if it shows to be one.
        """
        try:
            self.begin(behind, pausing(stop), checking(stop), claim)
            self.push.start()
            sequence(self.sequencer, stop, self.report)
        except Stopped:
            pass
        finally:
            self.awaits(())
            self.push.close()
            self.sequencer.close()

    def begin(
        self,
        behind: bool,
        pause: Callable[[], None],
        check: Callable[[], None] = lambda: None,
        claim: Claim | None = None,
    ) -> None:
        """Makes sure that an empty ledger is that of a new log, or fills it, or an old copy, from the custodians;
        `pause` waits between two attempts and raises to give up, as `check` does without waiting. Fork. A ledger of
        which nothing is signed may be either, unless it fits this host's mark.

        A ledger that fits this host's mark, and that one custodian's `claim` alone calls an old copy, goes on once W
        custodians have answered: as without the claim, which asks nobody, but what was claimed is judged before.
        """
        word = self.word()
        self.push.left_out = word.without
        while True:
            try:
                if not behind and self.ledger.newest_signed() != EMPTY:
                    return
                whole = self.mark.there and not self.mark.lacking()
                begun = whole and self.ledger.newest() != EMPTY
                if not behind and begun:
                    return
                alone = claim if begun else None
                showing = survey(self.custodians, self.manifest, pause, word, check, alone, self.clock, self.awaits)
                sign, tell = self.sequencer.signed_note, self.push.tell_fork
                if not showing or adopt_any(
                    self.ledger, self.manifest, showing, sign, check, word, whole, self.awaits, tell
                ):
                    self.awaits(())
                    self.push.settled = True
                    # All have answered, or the mark fitted: what was marked and is with none of them is gone, and
                    # nobody has seen it.
                    self.mark.set(self.ledger.newest())
                    if claim is not None and self.ledger.newest().size < claim.size:
                        self.push.tell_fork(claim.label, claim.note, claim.size)
                    return
            except WAITED_OUT as error:
                _tell(error)
            pause()


def stand_by(
    make_term: Callable[[], Term], leading: Leading, stop: threading.Event, threads: Threads = THREADS
) -> None:
    """Waits for its turn, serves, and waits again if the turn was lost, until told to stop. All else that ends a term
    ends it.
    """
    term: Term | None = None
    behind: LedgerBehind | None = None
    lacking = 0  # how many entries the ledger held when it was found to be behind
    said = False
    while not stop.is_set():
        term = term or make_term()
        try:
            if behind is not None and not lacking:
                lacking = term.ledger.newest().size
            if not leading.seize():
                if behind is not None and term.ledger.newest().size > lacking:
                    # Another goes on with it, and has made sure. Not before: two that forget at once, while one claim
                    # stands, would find it out in turn and never judge it.
                    behind = None
                if not said:
                    _log.info("standing-by")
                said = True
                # What is read now need not be read when the turn comes.
                stage = term.sequencer.follow()
                if stage is None:
                    stop.wait(STANDBY_SECONDS)
                else:
                    term.mark.follow(stage)
                continue
            _log.info("leading")
            said = False
            with turn(leading, term.push, stop, threads) as over:
                term.serve(over, behind is not None, behind.claim if behind is not None else None)
            # A turn may be lost before all have been asked: then what was found stands.
            if term.push.settled:
                behind = None
            term = None
        except WAITED_OUT as error:
            _tell(error)
            stop.wait(RETRY_SECONDS)
        except LedgerBehind as error:
            # A copy of the ledger from before: the log is read back, as if it were lost.
            _log.error("ledger-behind")
            term, behind, lacking = None, error, 0
        finally:
            leading.leave()


@contextmanager
def turn(leading: Leading, push: Push, stop: threading.Event, threads: Threads = THREADS) -> Iterator[threading.Event]:
    """The end of a term: set when the process is told to stop, or has lost its turn; who waits in `push` is told then,
    but for a stop after FINISH_SECONDS.
    """
    over, ended = threads.event(), threads.event()

    def watch() -> None:
        confirmed = threads.clock()
        try:
            while not over.is_set() and not stop.wait(POLL_SECONDS):
                if threads.clock() - confirmed > BEAT_SECONDS:
                    leading.confirm()
                    confirmed = threads.clock()
        except UNAVAILABLE as error:
            tell(error)
            _log.warning("leading-lost")
            ended.set()
        over.set()
        ended.wait(FINISH_SECONDS)
        push.close()

    def end() -> None:
        over.set()
        push.close()

    # Without it, nobody would see that the turn is lost, or that it is time to stop: the term ends with it.
    thread = threads.start("turn", watch, end)
    try:
        yield over
    finally:
        over.set()
        ended.set()
        thread.join()


def sequence(sequencer: Sequencer, stop: Stop, report: Callable[[Sequencer], None]) -> None:
    """Opens and steps until stopped. While the database or the queue is away it waits, and begins anew if another has
    continued the log while it was idle; all else ends it.
    """
    while not stop.is_set():
        try:
            while not stop.is_set() and sequencer.follow() is not None:
                pass
            sequencer.open()
            _rounds(sequencer, stop, report)
            # By then, one whose turn another has knows it.
            stop.wait(RETRY_SECONDS)
        except WAITED_OUT as error:
            _tell(error)
            stop.wait(RETRY_SECONDS)


def _rounds(sequencer: Sequencer, stop: Stop, report: Callable[[Sequencer], None]) -> None:
    while not stop.is_set():
        try:
            wait = 0.0 if sequencer.step() else POLL_SECONDS
            if wait and sequencer.is_overtaken():
                # What another has staged it may have left to be pushed: that waits for nothing that comes.
                return
        except QueueUnavailable as error:
            if _silent.due(str(error)):
                _log.warning("queue-unavailable", kind=log.word(str(error)))
            wait = RETRY_SECONDS
        report(sequencer)
        stop.wait(wait)


def pausing(stop: Stop) -> Callable[[], None]:
    """Waits between two attempts; raises Stopped when it is time to stop."""

    def pause() -> None:
        if stop.wait(RETRY_SECONDS):
            raise Stopped

    return pause


def checking(stop: Stop) -> Callable[[], None]:
    """Raises Stopped when it is time to stop."""

    def check() -> None:
        if stop.is_set():
            raise Stopped

    return check


def _tell(error: BaseException) -> None:
    """Logs what is waited out; of the mark, what is wrong with its file."""
    if not isinstance(error, NotMarked):
        tell(error)
    elif _unmarked.due(str(error)):
        _log.error("mark-unusable", cause=log.word(str(error)))
