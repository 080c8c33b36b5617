"""How many entries a second are recorded under a quorum of custodians that write through to the disk, and how long it
takes from the queue to the published checkpoint.

Everything is real: PostgreSQL clusters, processes, connections. Entries are notices of 300 bytes, which one official
signs: checking them costs little, so that what is measured is the log and not the proofs of ballots.
"""

from __future__ import annotations

import os
import time

from rich.console import Console

from tests.bench.figure import Figure, at_least, at_most
from tests.bench.logging_house import LoggingHouse, logging_house
from tests.bench.processes import cpu_seconds, descendants

LENGTH = 300
ENTRIES = 20_000
WARM = 1_024


def measure(console: Console) -> list[Figure]:
    """The figures for 2 of 3 custodians, and 3 of 5."""
    figures: list[Figure] = []
    for W, custodians in ((2, 3), (3, 5)):
        console.print(f"[bold]{W} of {custodians}[/bold] ...")
        with logging_house(custodians, W) as house, house.serving():
            figures += record(house, f"{W} of {custodians}", ENTRIES)
    return figures


def record(house: LoggingHouse, quorum: str, entries: int) -> list[Figure]:
    """Of a queue that is full when tally comes; what is recorded while processes warm up is left out."""
    house.found()
    house.fill(house.notices(WARM + entries, LENGTH))
    with house.process("tally", "tally"):
        house.wait_published(1 + WARM)
        pids = descendants(os.getpid())
        before, size, start = cpu_seconds(pids), house.published(), time.monotonic()
        house.wait_published(1 + WARM + entries)
        took, used, recorded = time.monotonic() - start, cpu_seconds(pids) - before, 1 + WARM + entries - size
    rounds = [one for one in house.rounds() if one["size"] > size]
    waited = sum(one["ms"] * one["entries"] for one in rounds) / sum(one["entries"] for one in rounds) / 1000
    return [
        at_least(f"entries of {LENGTH} bytes recorded a second, {quorum}", recorded / took, 1600, "{:.0f}"),
        at_most(f"from take to published and acknowledged, average, s, {quorum}", waited, 1.2, "{:.3f}"),
        Figure(f"CPU time of all processes and databases, an entry, {quorum}", f"{used / recorded * 1e6:.0f} us"),
    ]
