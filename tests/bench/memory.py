"""Whether memory grows with the number of ballots: one roll of 20,000 rows, one contest, 500 ballots and then all."""

from __future__ import annotations

import dataclasses

from rich.console import Console

from infra.demo.agenda import agenda
from infra.demo.holdings import draw_accounts
from infra.demo.meeting import issue, prepare
from infra.demo.processes import Stop
from infra.demo.published import published
from infra.demo.stage import Timer, stage
from tests.bench.electorate import Electorate
from tests.bench.figure import Figure
from tests.bench.processes import megabytes

ROWS, FEW = 20_000, 500
GROWTH = 0.10


def measure(console: Console) -> list[Figure]:
    """Each service's own memory, its workers' included, after few ballots and after one for every row."""
    whole = published()
    figures = dataclasses.replace(whole, nominees=whole.nominees[:1])
    accounts = draw_accounts(figures, ROWS, seed=1)
    with Stop() as stop, stage(lambda offices: agenda(figures, offices), Timer(console), stop) as running:
        prepare(running)
        issue(running, accounts, seed=1)
        electorate = Electorate(running)
        services = running.services.pids(running.processes)
        console.print(f"[bold]{FEW} ballots[/bold] ...")
        electorate.wait_recorded(electorate.cast(electorate.ready(accounts[:FEW])), 0.5)
        few = {name: megabytes(pid) for name, pid in services.items()}
        console.print(f"[bold]{ROWS} ballots[/bold] ...")
        for start in range(FEW, ROWS, 1000):
            electorate.wait_recorded(electorate.cast(electorate.ready(accounts[start : start + 1000])), 0.5)
        many = {name: megabytes(pid) for name, pid in services.items()}
    return [
        Figure(
            f"{name}: MB after {FEW}, after {ROWS} ballots",
            f"{few[name]:.0f}, {many[name]:.0f} ({many[name] / few[name] - 1:+.1%})",
            f"growth under {GROWTH:.0%}",
            many[name] < (1 + GROWTH) * few[name],
        )
        for name in services
    ]
