"""The sequencer's figures, in files that the host's collector reads: tally listens on nothing. One holds JSON, the
other, beside it, the text format of Prometheus, for the textfile collector of its node exporter."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from audit.record.admission import PHASES
from infra import log
from infra.exchange import Answer
from infra.metrics import SIZES, Metrics
from infra.reasons import REASONS
from tally.sequencer.mark import keep

if TYPE_CHECKING:
    from tally.sequencer.custodian import Custodian, Exchange
    from tally.sequencer.decide import Decision
    from tally.sequencer.sequence import Sequencer

SECONDS = 1.0
"""Between two writings of the files."""
MAY_PASS = (errno.ENOSPC, errno.EDQUOT)
"""A disk that is full gets room; what else keeps a file from being written, somebody has to mend."""

_log = log.Log("tally.status", status_not_written=("cause",))


@dataclass
class Figures:
    """`size`, `ballots` and `refusals` of the log; entries that came `repeated` or were nobody's (`foreign`) since the
    process began; how many entries each custodian is known to hold, and to serve; those that have shown another tree,
    signed by the log's keys, since the process began.
    """

    size: int = 0
    phase: str = "none"
    ballots: int = 0
    refusals: int = 0
    repeated: int = 0
    foreign: int = 0
    custodians: dict[str, int] = field(default_factory=dict)
    published: dict[str, int] = field(default_factory=dict)
    forks: list[str] = field(default_factory=list)


def write_status(path: Path, figures: Figures) -> None:
    """Replaces the file at `path` as a whole, with the time at which it was written (POSIX seconds)."""
    content = {**dataclasses.asdict(figures), "time": int(time.time()), "pid": os.getpid()}
    replace(path, json.dumps(content, sort_keys=True).encode() + b"\n")


def replace(path: Path, content: bytes) -> None:
    """Puts these bytes in the place of the file, as a whole: who reads sees the old ones or the new. After a crash it
    may be empty: for what is written again soon.
    """
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)


class Report:
    """Writes a sequencer's figures to the file at `path`, and as `metrics` to the one of the same name that ends in
    .prom, once a second; `custodians` are their labels, in the manifest's order, by which they have their numbers.
    """

    def __init__(self, path: Path, custodians: Sequence[str], leads: Callable[[], bool] = lambda: True) -> None:
        self._path, self._custodians, self._leads = path, custodians, leads
        self._writing = threading.Lock()
        self._written = 0.0
        self._said = log.Seldom(10)
        self._sequencer: Sequencer | None = None
        self.metrics = metrics = Metrics()
        numbers = [str(number) for number in range(1, len(custodians) + 1)]
        self._time = metrics.level("written_time", "When this was written (POSIX seconds).")
        self._leading = metrics.level("leading", "1 if this process sequences, 0 if it stands by.")
        self._size = metrics.level("log_size", "Entries of the log.")
        self._phase = metrics.level("log_phase", "1 for the phase of the election.", phase=PHASES)
        self._ballots = metrics.level("log_ballots", "Ballots in the log.")
        self._behind = metrics.level("custodian_behind", "Entries that a custodian lacks.", custodian=numbers)
        unpublished = "Entries that a custodian does not serve yet."
        self._unpublished = metrics.level("custodian_unpublished", unpublished, custodian=numbers)
        self._forked = metrics.level("custodian_forks", "1 if one has shown another tree.", custodian=numbers)
        for number in numbers:
            self._forked.set(0, custodian=number)
        self._awaited = metrics.level("custodian_awaited", "1 while a start waits for one.", custodian=numbers)
        self.awaits(())
        self._forks = list[str]()
        self._repeated = metrics.count("rows_repeated", "Rows that stood in the log already.")
        self._foreign = metrics.count("rows_foreign", "Rows that were nobody's.")
        self._refused = metrics.count("refusals", "Entries refused in the log.", reason=REASONS)
        self._batches = metrics.spread("batch_entries", "Entries sequenced at a time.", SIZES)
        self._rounds = metrics.spread("round_seconds", "From taking a batch to its publication.")
        self._cosigned = metrics.spread("cosignature_seconds", "Until a custodian had cosigned.", custodian=numbers)

    def __call__(self, sequencer: Sequencer) -> None:
        """From now on these figures are written; at once, unless some were within the last second."""
        self._sequencer = sequencer
        if time.monotonic() - self._written > SECONDS:
            self.write()

    def begin(self) -> None:
        """Writes the metrics for the first time. OSError if that cannot succeed until somebody mends it: then neither
        can the mark be written, which stands beside them, nor anything be signed.
        """
        try:
            self._put()
        except OSError as error:
            if error.errno not in MAY_PASS:
                raise

    def keep(self, stop: threading.Event) -> None:
        """Writes until told to stop, in a thread of its own: also while a round waits for custodians."""

        def write() -> None:
            while not stop.wait(SECONDS):
                self.write()

        threading.Thread(target=write, name="report", daemon=True).start()

    def write(self) -> None:
        """Writes both files; a disk that is full here does not stop the log."""
        try:
            self._put()
        except OSError as error:
            cause = log.word(str(error.strerror))
            if self._said.due(cause):
                _log.error("status-not-written", cause=cause)

    def round(self, decision: Decision, seconds: float) -> None:
        """Counts a round that is over."""
        self._rounds.note(seconds)
        if decision.entries:
            self._batches.note(len(decision.entries))
        self._repeated.add(decision.repeated)
        self._foreign.add(decision.foreign)
        refusals = (entry.fields["reason"] for entry in decision.entries if entry.kind == "refusal")
        for reason, times in Counter(refusals).items():
            self._refused.add(times, reason=reason)

    def awaits(self, custodians: Collection[Custodian]) -> None:
        """Tells for which custodians a start waits: for their answer, or for the entries of what they show."""
        labels = {custodian.label for custodian in custodians}
        for number, label in enumerate(self._custodians, start=1):
            self._awaited.set(label in labels, custodian=str(number))

    def forked(self, custodian: str, note: bytes) -> None:
        """Tells of a tree that the log's keys have signed and the ledger has not, and keeps the first such note of each
        custodian in a file: it shows to anybody that these keys have signed two logs.
        """
        number = self._custodians.index(custodian) + 1
        self._forked.set(1, custodian=str(number))
        if custodian not in self._forks:
            self._forks.append(custodian)
        path = self._path.with_suffix(f".fork-{number}")
        try:
            # Of one that is empty, a crash has left no more than the name.
            if not path.exists() or not path.stat().st_size:
                keep(path, note)
        except OSError as error:
            log.failure(error)

    def timed(self, number: int, exchange: Exchange) -> Exchange:
        """The same exchange; how long custodian `number` takes to store and cosign is noted."""

        def exchanged(method: str, path: str, content: bytes | None, most: int) -> Answer:
            began = time.monotonic()
            answer = exchange(method, path, content, most)
            if path == "append" and answer.status == 200:
                self._cosigned.note(time.monotonic() - began, custodian=str(number))
            return answer

        return exchanged

    def _put(self) -> None:
        """Writes both files. OSError."""
        with self._writing:
            self._written = time.monotonic()
            self._time.set(int(time.time()))
            self._leading.set(self._leads())
            if self._sequencer is not None:
                self._sequencer.write_status(self._show)
            replace(self._path.with_suffix(".prom"), self.metrics.text())

    def _show(self, figures: Figures) -> None:
        self._size.set(figures.size)
        self._phase.only({figures.phase: 1})
        self._ballots.set(figures.ballots)
        figures.forks = self._forks
        for number, label in enumerate(self._custodians, start=1):
            for level, sizes in ((self._behind, figures.custodians), (self._unpublished, figures.published)):
                level.set(max(0, figures.size - sizes.get(label, 0)), custodian=str(number))
        write_status(self._path, figures)
