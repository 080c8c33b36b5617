"""Runs the whole demo: draws a register, holds the meeting on a stage of its own, compares what comes out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from rich.console import Console

from audit.log.sources import CHECKPOINT
from infra.demo.agenda import agenda
from infra.demo.holdings import Account, draw_accounts
from infra.demo.meeting import cast, confirm, count, issue, prepare, verify
from infra.demo.processes import Stop
from infra.demo.published import Published, published
from infra.demo.report import differences, print_result, print_steps
from infra.demo.stage import Stage, Timer, stage


class NotEqual(Exception):
    """The counted figures are not the published ones."""


class NotEmpty(Exception):
    """The folder to keep the record in holds something already; nothing in it is touched."""


def run(accounts: int, keep: Path | None, seed: int) -> None:
    """Holds the meeting with so many accounts and prints what came of it; `keep` is an empty folder, or a new one.

    Raises NotEqual, NotEmpty, TooFewAccounts, TooManyAccounts, and as `stage`.
    """
    console = Console(stderr=False, highlight=False)
    figures = published()
    drawn = draw_accounts(figures, accounts, seed)
    kept = expect_empty(keep)
    with Stop() as stop:
        timer = Timer(console)
        logs = kept / "logs" if kept is not None else None
        with stage(lambda offices: agenda(figures, offices), timer, stop, logs) as running:
            try:
                hold(running, drawn, figures, seed)
            finally:
                if kept is not None:
                    leave(running, kept)


def hold(running: Stage, accounts: tuple[Account, ...], figures: Published, seed: int) -> None:
    """The whole meeting; NotEqual unless it comes out as published."""
    console, present = running.timer.console, sum(account.present for account in accounts)
    prepare(running)
    issue(running, accounts, seed)
    cast(running, accounts, figures)
    result_file = count(running, present)
    confirm(running)
    console.print(without_table(verify(running, running.desk / "record", result_file, present)), markup=False)
    result = json.loads(result_file.read_text(encoding="utf-8"))
    print_result(console, result, figures)
    print_steps(console, running.timer.steps)
    wrong = differences(result, figures)
    if wrong:
        raise NotEqual("the figures counted are not those published: " + "; ".join(wrong))


def without_table(said: str) -> str:
    """What the verifier checked and had to trust; its table of results is shown again beside the published figures."""
    return said[max(0, said.find("checked:")) :].strip()


def expect_empty(folder: Path | None) -> Path | None:
    """The folder, made if need be; NotEmpty if anything is in it."""
    if folder is None:
        return None
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise NotEmpty(f"{folder}: is not empty, and nothing in it is overwritten")
    return folder


def leave(running: Stage, folder: Path) -> None:
    """Copies what may be kept, as far as there is any: no key, no control number, no ballot's choices."""
    for name in ("record", "receipts", "register.csv", "result.json", "manifest", "election.toml"):
        source = running.desk / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        elif source.exists():
            shutil.copyfile(source, folder / name)
    if (folder / "receipts").exists():
        # Where `verify-receipt` looks for it.
        shutil.copyfile(running.desk / "manifest", folder / "receipts" / "manifest")
    for output in (folder / "logs").glob("*.out"):
        output.unlink()
    record = folder / "record"
    # Written last of all that makes a record.
    whole = (record / CHECKPOINT).exists()
    end = f"anyone verifies it with: ./run psephos verify {record}" if whole else "no record, it did not get that far"
    said = f"Kept in {folder}; {end}"
    running.timer.console.print(said, soft_wrap=True)
