"""The whole path, from posting to a proof with W cosignatures: what it costs and how long it takes; and what it costs
to verify the record that comes of it, beside the proofs alone.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from rich.console import Console

from audit.ballot_checks import check_roll
from audit.log.export import export_record
from audit.log.merkle import CompactRange
from audit.log.reader import FolderReader, HttpReader, open_head, read_entries
from audit.protocol.shuffle import verify_shuffle
from audit.record.checker import BallotChecker
from audit.record.election import Election
from audit.record.entries import parse_entry, read_text
from audit.record.manifest import Manifest, load_manifest
from audit.record.mixes import RollRows
from audit.record.mixing import look_ahead, place_of
from audit.record.seen import MemorySeen
from audit.verify import verify_record
from infra.demo.agenda import agenda
from infra.demo.holdings import draw_accounts
from infra.demo.meeting import issue, prepare
from infra.demo.processes import Stop
from infra.demo.published import published
from infra.demo.stage import Stage, Timer, stage
from tests.bench.electorate import Electorate, Ready
from tests.bench.figure import Figure, at_least, at_most
from tests.bench.processes import cpu_seconds, descendants
from tests.bench.proof import seconds

ACCOUNTS = 500
ALONE = 40
"""Ballots cast one by one."""
LOOK_SECONDS = 0.02
SETTLE_SECONDS = 3.0
CHUNK = 16
TURNS = 3


def measure(console: Console) -> list[Figure]:
    """All figures of the path, over the demo's services and agenda."""
    figures = published()
    accounts = draw_accounts(figures, ACCOUNTS, seed=1)
    with Stop() as stop, stage(lambda offices: agenda(figures, offices), Timer(console), stop) as running:
        prepare(running)
        issue(running, accounts, seed=1)
        electorate = Electorate(running)
        console.print("[bold]measuring[/bold] ...")
        ballots = electorate.ready([account for account in accounts if account.present])
        checker = electorate.election.checker()
        alone, together = ballots[:ALONE], ballots[ALONE:]
        return [
            *unloaded(electorate, alone),
            *loaded(electorate, checker, together),
            *verification(running, checker, ballots),
        ]


def unloaded(electorate: Electorate, ballots: Sequence[Ready]) -> list[Figure]:
    """From posting to proof, one ballot at a time."""
    waits = []
    for ballot in ballots:
        start = time.monotonic()
        electorate.wait_recorded([electorate.hand_in(ballot)], LOOK_SECONDS)
        waits.append(time.monotonic() - start)
    return [
        at_most("posting to proof, unloaded, p50, s", statistics.median(waits), 2.0),
        at_most(f"posting to proof, unloaded, p99 ({len(waits)} ballots), s", percentile(waits, 0.99), 2.0),
    ]


def percentile(values: Sequence[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def loaded(electorate: Electorate, checker: BallotChecker, ballots: Sequence[Ready]) -> list[Figure]:
    """All at once: the CPU time of every process started, databases and idling included, in verifications."""
    time.sleep(SETTLE_SECONDS)
    pids = descendants(os.getpid())
    before, start = cpu_seconds(pids), time.monotonic()
    electorate.wait_recorded(electorate.cast(ballots), 0.1)
    took, used = time.monotonic() - start, cpu_seconds(pids) - before
    each = used / len(ballots)
    one = min(seconds(lambda: check(checker, ballots[0]), 10) for _ in range(5))
    return [
        Figure("one verification of a nine-contest ballot", f"{one * 1e3:.1f} ms"),
        Figure("CPU time of all services, a ballot", f"{each * 1e3:.1f} ms"),
        at_most("that, divided by two verifications", each / (2 * one), 1.67),
        Figure(f"ballots a second, {len(ballots)} at once, client on the same cores", f"{len(ballots) / took:.0f}"),
    ]


def verification(running: Stage, checker: BallotChecker, ballots: Sequence[Ready]) -> list[Figure]:
    """The rate at which a record is verified, beside that of checking its proofs alone, on the same processes: those
    of its ballots, rolls and mixes, each on all cores.
    """
    record, manifest = running.desk / "record", load_manifest(running.manifest)[0]
    export_record(HttpReader(running.record_url), manifest.log, record)
    chunks = [ballots[i : i + CHUNK] for i in range(0, len(ballots), CHUNK)]
    services = descendants(os.getpid())
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), initializer=begin, initargs=(checker,)) as pool:
        list(pool.map(check_chunk, chunks))  # until every process has started
        workers = descendants(os.getpid()) - services
        before_voting = setup_proofs(FolderReader(record), manifest, pool)
        proofs, verifying = Cost(), Cost()
        # In turns, so that whatever else the machine does slows both or none.
        for _ in range(TURNS):
            proofs.add(workers, lambda: (before_voting(), list(pool.map(check_chunk, chunks))))
            verifying.add(workers, lambda: verify_record(FolderReader(record), None, pool))
    return [
        Figure("all proofs alone, ballots a second on all cores", f"{len(ballots) / proofs.seconds:.0f}"),
        Figure("psephos verify, ballots a second on the same", f"{len(ballots) / verifying.seconds:.0f}"),
        at_least("verifying, divided by the proofs alone", proofs.seconds / verifying.seconds, 0.85),
        at_least("the same by CPU time, which no other load touches", proofs.cpu / verifying.cpu, 0.85),
    ]


def setup_proofs(reader: FolderReader, manifest: Manifest, pool: Executor) -> Callable[[], object]:
    """What checks the proofs of rolls and mixes of this record, and nothing else of it."""
    head = open_head(reader, manifest.log)
    assert head is not None
    election, seen, rolls, mixes = Election(), MemorySeen(), [], []
    for raw in read_entries(reader, CompactRange(), head):
        entry = parse_entry(raw)
        if entry.kind == "open":
            break
        if entry.kind == "roll":
            rolls.append((manifest, election.Y, raw))
        if entry.kind == "mix":
            election.admit_unproven(entry, seen)
            ahead = look_ahead(election, entry)
            if ahead.roll is not None:
                place = place_of(election, ahead.former, entry.signatures[0].name)
                shown = entry.fields["generator"], entry.fields["proof"]
                mixes.append((place, *shown, RollRows.of(ahead.former), ahead.rows))
        election.apply(entry)
        seen.add(entry)

    def check_all() -> None:
        verdicts = list(pool.map(check_roll, *zip(*rolls, strict=True)))
        assert not any(verdict.refusal for verdict in verdicts)
        for mix in mixes:
            verify_shuffle(*mix, pool)

    return check_all


@dataclass
class Cost:
    """The least that several runs of one thing took, on the clock and of the CPU."""

    seconds: float = float("inf")
    cpu: float = float("inf")

    def add(self, workers: set[int], call: Callable[[], object]) -> None:
        start, before = time.monotonic(), cpu_seconds(workers) + time.process_time()
        call()
        self.seconds = min(self.seconds, time.monotonic() - start)
        self.cpu = min(self.cpu, cpu_seconds(workers) + time.process_time() - before)


_checker: BallotChecker


def begin(checker: BallotChecker) -> None:
    global _checker
    _checker = checker


def check_chunk(ballots: Sequence[Ready]) -> int:
    for ballot in ballots:
        check(_checker, ballot)
    return len(ballots)


def check(checker: BallotChecker, ballot: Ready) -> None:
    checker.check_ballot(read_text(ballot.text), ballot.weight)

