"""The tally service: reads its settings, joins ledger, queue and custodians, and sequences until it is told to end.

It listens on nothing. It holds the log's two signing keys and nothing secret about any voter. Several may run on one
ledger: one of them sequences, the others stand by (`leading`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, time
from typing import Protocol

from sqlalchemy import Engine

from audit.log.keys import Signer
from audit.record.manifest import Manifest, load_manifest
from audit.record.restart import Restart, open_restart
from infra import log
from infra.config import ConfigError, load
from infra.database import RETRY_SECONDS, UNAVAILABLE, check_url, engine, tell
from infra.keys import read_signer, read_token
from infra.stopping import on_signal
from infra.workers import CheckingPool
from tally.sequencer.adopt import adopt_any
from tally.sequencer.custodian import Custodian, Wire, label_of
from tally.sequencer.egress import Egress, QueueUnavailable
from tally.sequencer.leading import BEAT_SECONDS, Leading
from tally.sequencer.ledger import EMPTY, Ledger
from tally.sequencer.mark import Mark, NotMarked, mark_at
from tally.sequencer.push import LedgerBehind, Push, Stopped
from tally.sequencer.schema import SCHEMA
from tally.sequencer.sequence import Sequencer
from tally.sequencer.status import Report
from tally.sequencer.survey import NOBODY, survey

POLL_SECONDS = 0.1
FINISH_SECONDS = 5.0
"""In which the round under way may end once it is time to stop; what it has staged the next start goes on with."""
STANDBY_SECONDS = 0.25
"""Between two looks of one that stands by."""
WAITED_OUT = (*UNAVAILABLE, NotMarked)

_log = log.Log(
    "tally",
    queue_unavailable=("kind",),
    started=("workers",),
    standing_by=(),
    leading=(),
    leading_lost=(),
    ledger_behind=(),
    custodians_left_out=("count",),
    ended=(),
)
_silent = log.Seldom(10)


class Stop(Protocol):
    """When to end; see `threading.Event`."""

    def is_set(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool: ...


@dataclass(frozen=True)
class Place:
    """Where another service listens, and the file that holds the token it asks for."""

    url: str
    token: Path


@dataclass(frozen=True)
class TallyConfig:
    """`keys`: the log's private keys, Ed25519 and ML-DSA-44, those that will replace them, and those that they have
    replaced; `custodians`: all of the manifest's, in its order, or who took their place; `status`: the figures' file,
    beside which the mark stands, on a disk that outlives the process; `restart`: the officials' word that a lost log
    may go on without some custodians.
    """

    manifest: Path
    manifest_hash: bytes
    database: str
    passfile: Path
    egress: Place
    keys: tuple[Path, ...]
    custodians: tuple[Place, ...]
    workers: int
    status: Path
    restart: Path | None = None

    def __post_init__(self) -> None:
        check_url(self.database)
        if self.workers < 1:
            raise ValueError("`workers` must be at least 1")

    @property
    def mark(self) -> Path:
        """The file of the mark: of the name of `status`, with the ending .mark."""
        return self.status.with_suffix(".mark")


def kept_in(path: Path) -> tuple[Engine, str]:
    """The ledger's database, and the log it is of, that the configuration at `path` names. Raises as `run`."""
    config = load(TallyConfig, path)
    manifest, _ = load_manifest(config.manifest, config.manifest_hash)
    return engine(config.database, config.passfile, name="psephos-tally", connections=2), manifest.origin


def run(path: Path) -> None:
    """Sequences, or stands by, until SIGTERM or SIGINT. ConfigError, KeyFileError, OSError, Refused (the manifest, the
    officials' word); Overtaken, Fork, Damaged.
    """
    config = load(TallyConfig, path)
    manifest, _ = load_manifest(config.manifest, config.manifest_hash)
    signers = [read_signer(key) for key in config.keys]
    check_office(path, config, manifest, signers)
    word = open_restart(config.restart.read_bytes(), manifest) if config.restart else NOBODY
    log.quieten_libraries()
    if config.restart:
        # To be removed once they are replaced: while it stands, what they hold stops nobody.
        _log.error("custodians-left-out", count=len(word.without))
    stop = threading.Event()
    on_signal(stop.set)
    ledger = Ledger(engine(config.database, config.passfile, name="psephos-tally", connections=8), manifest.origin)
    SCHEMA.check(ledger.engine)
    one_session = engine(config.database, config.passfile, name="psephos-tally-leading", connections=1)
    leading = Leading(one_session, manifest.origin)
    report = Report(config.status, [label_of(c.url) for c in config.custodians], lambda: leading.held)
    wires = [Wire(c.url, manifest.origin, read_token(c.token)) for c in config.custodians]
    custodians = [
        Custodian(label_of(c.url), report.timed(number, wire))
        for number, (c, wire) in enumerate(zip(config.custodians, wires, strict=True), start=1)
    ]
    egress = Egress(config.egress.url, read_token(config.egress.token))
    # Threads: the group's arithmetic runs outside of Python's lock, and they cost nothing when mixing is over.
    mixes, ahead = ThreadPoolExecutor(config.workers, "mix"), ThreadPoolExecutor(1, "ahead")

    def make_term() -> Term:
        push, mark = Push(ledger, manifest, custodians, word.without), mark_at(config.mark, ledger)
        sequencer = Sequencer(
            ledger,
            manifest,
            signers,
            push,
            egress,
            lambda checker: CheckingPool(checker, config.workers),
            lambda: int(time()),
            mark,
            mixes,
            ahead,
        )
        sequencer.counted = report.round
        return Term(ledger, manifest, custodians, word, push, sequencer, mark, report)

    report.keep(stop)
    _log.info("started", workers=config.workers)
    try:
        stand_by(make_term, leading, stop)
    finally:
        for executor in (mixes, ahead):
            executor.shutdown(cancel_futures=True)
    _log.info("ended")


def check_office(path: Path, config: TallyConfig, manifest: Manifest, signers: Sequence[Signer]) -> None:
    """ConfigError unless the keys are the log's and every custodian of the manifest has a place."""
    faults = []
    if len(signers) < 2 or any(signer.name != manifest.log_key.name for signer in signers):
        # Which of them count, the log says: some may have been replaced, others may be meant to take their place.
        faults.append(f"key `keys` does not hold the two keys of {manifest.log_key.name}, or holds others than its own")
    if len(config.custodians) != len(manifest.log.custodians):
        faults.append(f"key `custodians` names {len(config.custodians)}; the manifest, {len(manifest.log.custodians)}")
    if faults:
        raise ConfigError(path, faults)


@dataclass(frozen=True)
class Term:
    """What sequences from one beginning to the next: nothing in its memory is of use to the one that follows."""

    ledger: Ledger
    manifest: Manifest
    custodians: Sequence[Custodian]
    word: Restart
    push: Push
    sequencer: Sequencer
    mark: Mark
    report: Callable[[Sequencer], None]

    def serve(self, stop: Stop, behind: bool) -> None:
        """Sequences until stopped; `behind`: the ledger is known to be an old copy. Raises as `sequence`, and
        LedgerBehind if it shows to be one.
        """
        try:
            self.begin(behind, pausing(stop), checking(stop))
            self.push.start()
            sequence(self.sequencer, stop, self.report)
        except Stopped:
            pass
        finally:
            self.push.close()
            self.sequencer.close()

    def begin(self, behind: bool, pause: Callable[[], None], check: Callable[[], None] = lambda: None) -> None:
        """Makes sure that an empty ledger is that of a new log, or fills it, or an old copy, from the custodians;
        `pause` waits between two attempts and raises to give up, as `check` does without waiting. Fork.
        """
        while True:
            try:
                if not behind and self.ledger.newest() != EMPTY:
                    return
                showing = survey(self.custodians, self.manifest, pause, self.word, check)
                sign = self.sequencer.signed_note
                inadmissible = adopt_any(self.ledger, self.manifest, showing, sign, check, self.word.least)
                if not showing or inadmissible is not None:
                    self.push.inadmissible = inadmissible or frozenset()
                    # All have answered: what was marked and is with none of them is gone, and nobody has seen it.
                    self.mark.set(self.ledger.newest())
                    return
            except WAITED_OUT as error:
                tell(error)
            pause()


def stand_by(make_term: Callable[[], Term], leading: Leading, stop: threading.Event) -> None:
    """Waits for its turn, serves, and waits again if the turn was lost, until told to stop. All else that ends a term
    ends it.
    """
    term: Term | None = None
    behind = said = False
    while not stop.is_set():
        term = term or make_term()
        try:
            if not leading.seize():
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
            with turn(leading, term.push, stop) as over:
                term.serve(over, behind)
            term, behind = None, False
        except WAITED_OUT as error:
            tell(error)
            stop.wait(RETRY_SECONDS)
        except LedgerBehind:
            # A copy of the ledger from before: the log is read back, as if it were lost.
            _log.error("ledger-behind")
            term, behind = None, True
        finally:
            leading.leave()


@contextmanager
def turn(leading: Leading, push: Push, stop: threading.Event) -> Iterator[threading.Event]:
    """The end of a term: set when the process is told to stop, or has lost its turn; who waits in `push` is told then,
    but for a stop after FINISH_SECONDS.
    """
    over, ended = threading.Event(), threading.Event()

    def watch() -> None:
        confirmed = monotonic()
        try:
            while not over.is_set() and not stop.wait(POLL_SECONDS):
                if monotonic() - confirmed > BEAT_SECONDS:
                    leading.confirm()
                    confirmed = monotonic()
        except UNAVAILABLE as error:
            tell(error)
            _log.warning("leading-lost")
            ended.set()
        over.set()
        ended.wait(FINISH_SECONDS)
        push.close()

    thread = threading.Thread(target=watch, name="turn", daemon=True)
    thread.start()
    try:
        yield over
    finally:
        over.set()
        ended.set()
        thread.join()


def sequence(sequencer: Sequencer, stop: Stop, report: Callable[[Sequencer], None]) -> None:
    """Opens and steps until stopped. While the database or the queue is away it waits; all else ends it."""
    while not stop.is_set():
        try:
            while not stop.is_set() and sequencer.follow() is not None:
                pass
            sequencer.open()
            _rounds(sequencer, stop, report)
        except WAITED_OUT as error:
            tell(error)
            stop.wait(RETRY_SECONDS)


def _rounds(sequencer: Sequencer, stop: Stop, report: Callable[[Sequencer], None]) -> None:
    while not stop.is_set():
        try:
            wait = 0.0 if sequencer.step() else POLL_SECONDS
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
