"""Whether memory, or the cost of an entry, grows with the log: from 1,000 to 1,000,000 entries.

The entries are refusals: ballots that came before the vote was open, each answered by one entry of the log. Nothing of
those stays in the state of an election but their number, as nothing stays of ballots.

The run takes long, and a machine that others use is not as fast at its end as at its beginning. So an entry's cost is
compared with that of making the ballots themselves, here and meanwhile: also Python, and a signature each.
"""

from __future__ import annotations

import os
import time

from rich.console import Console

from audit.protocol.group import G, b64
from tests.bench.figure import Figure
from tests.bench.logging_house import LoggingHouse, logging_house
from tests.bench.processes import cpu_seconds, descendants, megabytes

SIZES = (1_000, 10_000, 100_000, 1_000_000)
SAMPLE = 20_000
"""Entries over which the cost of one is taken, but no more than five times what the log holds: enough to even out what
PostgreSQL does now and then.
"""
AHEAD = 8_000
GROWTH = 0.10


def measure(console: Console, sizes: tuple[int, ...] = SIZES) -> list[Figure]:
    """At each size: what each process holds in memory, and what the next entries cost."""
    with logging_house(3, 2) as house, house.serving():
        house.found()
        with house.process("tally", "tally") as tally:
            pids = {"tally": tally.pid, **house.custodian_pids()}
            marks = []
            for size in sizes:
                marks.append(mark(house, pids, size))
                memory, cost = marks[-1]
                shown = ", ".join(f"{name} {held:.1f} MB" for name, held in memory.items())
                console.print(f"{size:,}: {shown}; {cost[0] * 1e6:.0f} and {cost[1] * 1e6:.0f} us an entry")
    figures = []
    for name in pids:
        first, *_, last = (memory[name] for memory, _ in marks)
        shown = ", ".join(f"{memory[name]:.0f}" for memory, _ in marks)
        grown = last / first - 1
        text = f"growth under {GROWTH:.0%}"
        what = f"{name}: MB after {shown_sizes(sizes)} entries"
        figures.append(Figure(what, f"{shown} ({grown:+.1%})", text, grown < GROWTH))
    for number, whose in enumerate(("queue, tally and custodians", "their PostgreSQL", "making one ballot")):
        shown = ", ".join(f"{cost[number] * 1e6:.0f}" for _, cost in marks)
        figures.append(Figure(f"CPU time of {whose}, us an entry, after {shown_sizes(sizes)}", shown))
    ratios = [(ours + theirs) / making for _, (ours, theirs, making) in marks]
    grown = ratios[-1] / ratios[0] - 1
    shown = ", ".join(f"{ratio:.2f}" for ratio in ratios) + f" ({grown:+.1%})"
    name = f"CPU time of all of them an entry, by that of making one ballot, after {shown_sizes(sizes)}"
    figures.append(Figure(name, shown, f"growth under {GROWTH:.0%}", grown < GROWTH))
    return figures


def shown_sizes(sizes: tuple[int, ...]) -> str:
    return ", ".join(f"{size:,}" for size in sizes)


def mark(house: LoggingHouse, pids: dict[str, int], size: int) -> tuple[dict[str, float], tuple[float, float, float]]:
    """Grows the log to `size`: the memory of each process after the entries that follow, and the CPU time of one of
    those, in our own processes and in their databases, and of making its ballot here.
    """
    grow(house, size)
    ours = set().union(*({pid} | descendants(pid) for pid in {**pids, "egress": house.egress_pid}.values()))
    theirs = descendants(os.getpid()) - ours
    before, first, filled = (cpu_seconds(ours), cpu_seconds(theirs)), house.published(), house.filled
    making = grow(house, first + min(SAMPLE, 5 * size)) / (house.filled - filled)
    count = house.published() - first
    cost = (cpu_seconds(ours) - before[0]) / count, (cpu_seconds(theirs) - before[1]) / count, making
    return {name: megabytes(pid) for name, pid in pids.items()}, cost


def grow(house: LoggingHouse, size: int) -> float:
    """Until the log has as many entries; the CPU time of making the ballots for it."""
    made = 0.0
    while (reached := house.published()) < size:
        if house.filled - reached < AHEAD and house.filled < size:
            begun = time.thread_time()
            raws = ballots(house, min(1_024, size - house.filled))
            made += time.thread_time() - begun
            house.fill(raws)
        else:
            time.sleep(0.05)
    return made


def ballots(house: LoggingHouse, count: int) -> list[bytes]:
    """Ballots of nobody, each another: well-formed, and too early."""
    meeting, made = house.meeting, []
    proof = {"c": b64(bytes(32)), "z": b64(bytes(32))}
    for number in range(house.filled, house.filled + count):
        said = {"contests": {"number": number}, "pseudonym": b64(G.raw), "revision": 0, "roll": "common"}
        body = {"manifest": meeting.hash, "signature": proof, **said}
        made.append(meeting.signed("ballot", body, meeting.intake))
    return made
