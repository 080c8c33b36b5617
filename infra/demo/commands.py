"""`psephos demo`: a real meeting, voted again on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

ACCOUNTS = 500
SEED = 2019


def register(app: typer.Typer) -> None:
    """Adds `demo`."""
    app.command("demo")(demo)


def demo(
    accounts: Annotated[int, typer.Option("--accounts", help="Accounts on the register.", metavar="N")] = ACCOUNTS,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="Leave record, register, result, receipts, logs here.", metavar="DIR")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Another number draws another register.")] = SEED,
) -> None:
    """Votes a real meeting again with every service as a process of its own, and verifies the record it leaves."""
    # Every command loads this module: what only the demo needs is loaded when it runs.
    from infra.demo import run
    from infra.demo.processes import Interrupted

    try:
        run.run(accounts, keep, seed)
    except Interrupted as interrupted:
        print(f"psephos: {interrupted}", file=sys.stderr)
        raise typer.Exit(interrupted.code) from None
