"""The tally service: reads its settings, joins ledger, queue and custodians, and sequences until it is told to end.

It listens on nothing. It holds the log's two signing keys and nothing secret about any voter. Several may run on one
ledger: one of them sequences, the others stand by (`leading`).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import time

from sqlalchemy import Engine

from audit.log.keys import Signer
from audit.record.manifest import Manifest, load_manifest
from audit.record.restart import Restart, open_restart
from infra import log
from infra.config import ConfigError, load
from infra.database import check_url, engine
from infra.exchange import check_address
from infra.keys import read_signer, read_token
from infra.stopping import on_signal
from infra.workers import CheckingPool
from tally.sequencer.custodian import Custodian, Wire, label_of
from tally.sequencer.egress import Egress
from tally.sequencer.leading import Leading
from tally.sequencer.ledger import Ledger
from tally.sequencer.mark import mark_at
from tally.sequencer.push import Push
from tally.sequencer.schema import SCHEMA
from tally.sequencer.sequence import Sequencer
from tally.sequencer.status import Report
from tally.sequencer.survey import NOBODY
from tally.sequencer.term import Term, stand_by

_log = log.Log(
    "tally",
    started=("workers",),
    custodians_left_out=("count",),
    restart_word_over=("until",),
    ended=(),
)


@dataclass(frozen=True)
class Place:
    """Where another service listens, and the file that holds the token it asks for."""

    url: str
    token: Path

    def __post_init__(self) -> None:
        check_address(self.url)


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
    stop = threading.Event()
    on_signal(stop.set)
    ledger = Ledger(engine(config.database, config.passfile, name="psephos-tally", connections=8), manifest.origin)
    SCHEMA.check(ledger.engine)
    one_session = engine(config.database, config.passfile, name="psephos-tally-leading", connections=1)
    leading = Leading(one_session, manifest.origin)
    report = Report(config.status, [label_of(c.url) for c in config.custodians], lambda: leading.held)
    try:
        report.begin()
    except OSError as error:
        raise ConfigError(path, [f"key `status`: {config.status} cannot be written: {error.strerror}"]) from None
    wires = [Wire(c.url, manifest.origin, read_token(c.token)) for c in config.custodians]
    custodians = [
        Custodian(label_of(c.url), report.timed(number, wire))
        for number, (c, wire) in enumerate(zip(config.custodians, wires, strict=True), start=1)
    ]
    egress = Egress(config.egress.url, read_token(config.egress.token))
    # Threads: the group's arithmetic runs outside of Python's lock, and they cost nothing when mixing is over.
    mixes, ahead = ThreadPoolExecutor(config.workers, "mix"), ThreadPoolExecutor(1, "ahead")

    def make_term() -> Term:
        push, mark = Push(ledger, manifest, custodians), mark_at(config.mark, ledger)
        push.told = report.forked
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
        return Term(
            ledger,
            manifest,
            custodians,
            lambda: counting(word, int(time())),
            push,
            sequencer,
            mark,
            report,
            awaits=report.awaits,
        )

    report.keep(stop)
    _log.info("started", workers=config.workers)
    try:
        stand_by(make_term, leading, stop)
    finally:
        for executor in (mixes, ahead):
            executor.shutdown(cancel_futures=True)
    _log.info("ended")


def counting(word: Restart, now: int) -> Restart:
    """The officials' word as long as it counts, nobody's after that."""
    if word.without and now > word.until:
        _log.error("restart-word-over", until=word.until)
        return NOBODY
    if word.without:
        # To be removed once they are replaced: while it counts, what they hold stops nobody.
        _log.error("custodians-left-out", count=len(word.without))
    return word


def check_office(path: Path, config: TallyConfig, manifest: Manifest, signers: Sequence[Signer]) -> None:
    """ConfigError unless the keys are the log's and every custodian of the manifest has a place, told apart from the
    others' by host and port.
    """
    faults = []
    if len(signers) < 2 or any(signer.name != manifest.log_key.name for signer in signers):
        # Which of them count, the log says: some may have been replaced, others may be meant to take their place.
        faults.append(f"key `keys` does not hold the two keys of {manifest.log_key.name}, or holds others than its own")
    if len(config.custodians) != len(manifest.log.custodians):
        faults.append(f"key `custodians` names {len(config.custodians)}; the manifest, {len(manifest.log.custodians)}")
    twice = [label for label, times in Counter(label_of(place.url) for place in config.custodians).items() if times > 1]
    if twice:
        # Figures, evidence and what one has claimed would be taken for another's.
        faults.append(f"key `custodians` names {twice[0]} twice: each needs a host and port of its own, in 40 signs")
    if faults:
        raise ConfigError(path, faults)
