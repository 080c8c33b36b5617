"""Runs of faults of every kind until 50,000 acknowledged entries have been looked for in every custodian's log."""

from __future__ import annotations

from rich.console import Console

from infra.postgres import temporary_cluster
from tests.bench.figure import Figure, at_least, at_most
from tests.faults.machines import machines
from tests.faults.storm import run
from tests.faults.totals import Totals

ENTRIES = 50_000
EACH = 9_000
"""Entries of one run: what begins anew reads its log from the start, so many short logs try more than a long one."""
SECONDS = 45.0
"""Of one run, before all is mended."""
MOST_RUNS = 40


def measure(console: Console) -> list[Figure]:
    """Needs root, as the faults do."""
    found = Totals()
    with temporary_cluster("faults") as cluster, machines() as here:
        for seed in range(1, MOST_RUNS + 1):
            found += run(cluster, here, f"vote.example/storm-{seed}", seed, EACH, SECONDS)
            console.print(f"seed {seed}: {found}")
            if found.entries >= ENTRIES:
                break
    return [
        Figure("runs under faults", f"{found.runs}"),
        Figure("faults", f"{found.faults}"),
        at_least("entries acknowledged, and looked for in every log", found.entries, ENTRIES, "{:.0f}"),
        at_most("of them lost", found.lost, 0, "{:.0f}"),
    ]
