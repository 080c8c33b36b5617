"""The auditor's commands. They need no key, no account and no service of the election: a log, or a copy, is enough."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table

from audit import dispute_command, exporting, receipts
from audit.log.reader import ReadError, open_reader
from audit.protocol.refused import Refused
from audit.receipts import hash_in
from audit.verify import NotVerified, compare_result, verify_record
from audit.verify import Progress as Told
from audit.verify_report import Report, checked, in_shares, result_lines, trusted

MAX_RESULT = 1 << 20


def register(app: typer.Typer) -> None:
    """Adds `verify`, `verify-receipt`, `dispute` and `export-record`."""
    app.command("verify")(verify)
    receipts.register(app)
    dispute_command.register(app)
    exporting.register(app, lambda: told("exporting"))


def verify(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A record's folder, or a custodian's URL/ORIGIN.")],
    pinned: Annotated[
        str | None, typer.Option("--manifest", metavar="HASH", help="The manifest's hash, as the letter shows it.")
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option("--also", metavar="SOURCE", help="Another source, whose rekeys must not be missing; repeatable."),
    ] = None,
    result: Annotated[
        Path | None, typer.Option("--result", metavar="FILE", help="A result.json that must be the log's result.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Recomputes a whole election from its log: every signature, proof, sum and share, and the result."""
    try:
        # What is said on the command line comes first: an hour of checking must not end at a misspelt file.
        wanted, said = hash_in(pinned), None if result is None else read_result(result)
        with executor() as workers, told() as progress:
            others = [open_reader(other) for other in also or ()]
            report = verify_record(open_reader(source), wanted, workers, progress, others)
        if said is not None:
            compare_result(report, said, str(result))
    except NotVerified as fault:
        fail(fault, f"NOT VERIFIED: {fault}", as_json)
    except (Refused, ReadError, OSError, BrokenProcessPool) as error:
        nothing = unchecked(error)
        fail(nothing, str(nothing), as_json)
    with reader_may_leave():
        if as_json:
            print(json.dumps(report.to_json()))
        else:
            show(report)


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Whoever reads the output may have seen enough before its end (`| head`): that does not change the exit code."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still kept back would be written, and fail, once more when the process ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())


class Lines(Console):
    """A console that leaves it to its caller what a broken pipe means."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


def fail(fault: NotVerified, text: str, as_json: bool) -> NoReturn:
    """Ends the command: a sentence for people, and with --json the same for machines, whatever is wrong."""
    if as_json:
        print(json.dumps(fault.to_json()))
    print(f"psephos: {text}", file=sys.stderr)
    raise typer.Exit(1)


def unchecked(error: Refused | ReadError | OSError | BrokenProcessPool) -> NotVerified:
    """Why nothing could be checked at all, in the form in which faults are told."""
    if isinstance(error, Refused):
        return NotVerified(str(error), error.reason)
    if isinstance(error, ReadError):
        return NotVerified(error.detail, error.reason, error.where)
    if isinstance(error, OSError):
        return NotVerified(error.strerror or str(error), "unreadable", str(error.filename or ""))
    text = "a worker process was killed, perhaps for want of memory: nothing is shown"
    return NotVerified(text, "worker-killed")


def read_result(file: Path) -> bytes:
    """The whole of `--result`. OSError; NotVerified if it is too long to be one."""
    with file.open("rb") as stream:
        raw = stream.read(MAX_RESULT + 1)
    if len(raw) > MAX_RESULT:
        raise NotVerified(f"is longer than the {MAX_RESULT} bytes it may have", "too-long", str(file))
    return raw


@contextmanager
def executor() -> Iterator[ProcessPoolExecutor]:
    """Worker processes, one for each core that this process may use; all ended when it is left, whatever the reason."""
    cores = len(os.sched_getaffinity(0))
    # Not fork: progress is drawn by a thread, and a fork would copy its locks.
    context = multiprocessing.get_context("forkserver")
    workers = ProcessPoolExecutor(cores, mp_context=context, initializer=begin_worker)
    try:
        yield workers
    finally:
        workers.shutdown(wait=True, cancel_futures=True)


def begin_worker() -> None:
    """Ctrl-C reaches the whole group of processes, but only the first ends them; and none outlives that one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


@contextmanager
def told(what: str = "verifying") -> Iterator[Told]:
    """Progress on standard error, with rate and remaining time; nothing of it where that is no terminal."""
    console = Console(stderr=True)
    with Progress(*columns(), console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None, rate="0")

        def progress(done: int, total: int) -> None:
            speed = bar.tasks[0].speed or 0.0
            bar.update(task, completed=done, total=total, rate=f"{speed:,.0f}")

        yield progress


def columns() -> tuple[ProgressColumn, ...]:
    """What the line of progress shows. The bar alone gives way where the line is short: no number is ever cut off."""
    return (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[rate]}/s"),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        TextColumn("elapsed,"),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        TextColumn("left"),
    )


def show(report: Report) -> None:
    """The result and the sentences, on standard output."""
    console = Lines(soft_wrap=True, highlight=False)
    manifest = report.manifest
    console.print(f"{manifest.meeting['issuer']}: {manifest.title} ({manifest.origin})", markup=False)
    if report.result is None:
        print(f"there is no result yet: the election is {report.election.phase}")
    else:
        state = "certified" if report.certified else "not certified yet"
        present = in_shares(report.result["present"], report.manifest.decimals)
        part = " in what is decrypted" if "withheld" in report.result else ""
        print(f"{report.result['ballots']:,} ballots, {present} votes present{part}; {state}")
        console.print(table(report))
    for title, lines in (("checked", checked(report)), ("had to be trusted", trusted(report))):
        print(f"{title}:")
        for line in lines:
            print(f"- {line}")
    print("VERIFIED")


def table(report: Report) -> Table:
    assert report.result is not None
    drawn = Table("item", "choice", "votes")
    drawn.columns[2].justify = "right"
    for contest, choice, votes in result_lines(report.result, report.manifest):
        drawn.add_row("" if choice == "" else contest, choice, votes, end_section=choice == "")
    return drawn
