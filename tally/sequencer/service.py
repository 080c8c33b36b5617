"""The tally service: reads its settings, joins ledger, queue and custodians, and sequences until it is told to end.

It listens on nothing. It holds the log's two signing keys and nothing secret about any voter.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, time

from audit.log.keys import Signer
from audit.record.manifest import Manifest, load_manifest
from infra import log
from infra.config import ConfigError, load
from infra.database import RETRY_SECONDS, UNAVAILABLE, check_url, engine, tell
from infra.keys import read_signer, read_token
from infra.workers import CheckingPool
from tally.sequencer.adopt import adopt_any, survey
from tally.sequencer.custodian import Custodian
from tally.sequencer.egress import Egress, QueueUnavailable
from tally.sequencer.ledger import EMPTY, Ledger, Stage
from tally.sequencer.push import Push, Stopped
from tally.sequencer.sequence import Sequencer
from tally.sequencer.status import write_status

POLL_SECONDS = 0.1
STATUS_SECONDS = 1.0

_log = log.Log("tally", queue_unavailable=("kind",), started=("workers",), ended=())
_silent = log.Seldom(10)


@dataclass(frozen=True)
class Place:
    """Where another service listens, and the file that holds the token it asks for."""

    url: str
    token: Path


@dataclass(frozen=True)
class TallyConfig:
    """`keys`: the log's private keys, Ed25519 then ML-DSA-44; `custodians`: all of the manifest's; `status`: the
    figures' file.
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

    def __post_init__(self) -> None:
        check_url(self.database)
        if self.workers < 1:
            raise ValueError("`workers` must be at least 1")


def run(path: Path) -> None:
    """Sequences until SIGTERM or SIGINT. ConfigError, KeyFileError, Refused (the manifest); Overtaken, LedgerBehind,
    Fork, Damaged.
    """
    config = load(TallyConfig, path)
    manifest, _ = load_manifest(config.manifest, config.manifest_hash)
    signers = [read_signer(key) for key in config.keys]
    check_office(path, config, manifest, signers)
    log.quieten_libraries()
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    ledger = Ledger(engine(config.database, config.passfile, name="psephos-tally", connections=8), manifest.origin)
    custodians = [Custodian(c.url, manifest.origin, read_token(c.token)) for c in config.custodians]
    push = Push(ledger, manifest.log, custodians)
    egress = Egress(config.egress.url, read_token(config.egress.token))
    sequencer = Sequencer(
        ledger,
        manifest,
        signers,
        push,
        egress,
        lambda checker: CheckingPool(checker, config.workers),
        lambda: int(time()),
        # Threads: the group's arithmetic runs outside of Python's lock, and they cost nothing when mixing is over.
        ThreadPoolExecutor(config.workers, "mix"),
    )
    _log.info("started", workers=config.workers)
    threading.Thread(target=_call_back, args=(stop, push), daemon=True).start()
    try:
        begin(ledger, manifest, custodians, sequencer.signed_note, _pause(stop))
        push.start()
        sequence(sequencer, stop, config.status)
    except Stopped:
        pass
    finally:
        push.close()
        sequencer.close()
    _log.info("ended")


def check_office(path: Path, config: TallyConfig, manifest: Manifest, signers: Sequence[Signer]) -> None:
    """ConfigError unless the keys are the log's and every custodian of the manifest has a place."""
    faults = []
    if [signer.verifier for signer in signers] != list(manifest.log.log):
        faults.append("key `keys` does not hold the log's two keys in the manifest's order")
    if len(config.custodians) != len(manifest.log.custodians):
        faults.append(f"key `custodians` names {len(config.custodians)}; the manifest, {len(manifest.log.custodians)}")
    if faults:
        raise ConfigError(path, faults)


def begin(
    ledger: Ledger,
    manifest: Manifest,
    custodians: Sequence[Custodian],
    sign: Callable[[Stage], bytes],
    pause: Callable[[], None],
) -> None:
    """Makes sure that an empty ledger is that of a new log, or fills it from the custodians; `pause` waits between two
    attempts and raises to give up.
    """
    if ledger.newest() != EMPTY:
        return
    while showing := survey(custodians, manifest, pause):
        if adopt_any(ledger, manifest, showing, sign) is not None:
            return
        pause()


def sequence(sequencer: Sequencer, stop: threading.Event, status: Path) -> None:
    """Opens and steps until stopped. While the database or the queue is away it waits; all else ends it."""
    while not stop.is_set():
        try:
            sequencer.open()
            _rounds(sequencer, stop, status)
        except UNAVAILABLE as error:
            tell(error)
            stop.wait(RETRY_SECONDS)


def _rounds(sequencer: Sequencer, stop: threading.Event, status: Path) -> None:
    written = 0.0
    while not stop.is_set():
        try:
            wait = 0.0 if sequencer.step() else POLL_SECONDS
        except QueueUnavailable as error:
            if _silent.due(str(error)):
                _log.warning("queue-unavailable", kind=log.word(str(error)))
            wait = RETRY_SECONDS
        if monotonic() - written > STATUS_SECONDS:
            sequencer.write_status(lambda figures: write_status(status, figures))
            written = monotonic()
        stop.wait(wait)


def _pause(stop: threading.Event) -> Callable[[], None]:
    def pause() -> None:
        if stop.wait(RETRY_SECONDS):
            raise Stopped

    return pause


def _call_back(stop: threading.Event, push: Push) -> None:
    # Whatever the sequencer waits for in `push`, it is told at once that the process ends.
    stop.wait()
    push.close()
