"""How long it takes from kill -9 of the one that sequences to the next published checkpoint: started again at once, and
with another standing by, also over a long log, and while one custodian of three is down. The queue holds more than was
under way.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack

from rich.console import Console

from tests.bench.figure import Figure, at_most
from tests.bench.logging_house import LoggingHouse, logging_house

AHEAD = 10_000
"""Entries that wait in the queue at the least when one is killed, and before that."""
WARM = 2_000
LONG = 20_000
TURNS = 3
BOUND = 3.0
STANDS_BY = "kill -9, another stands by"
THEN = "to the next published checkpoint, s"


def measure(console: Console) -> list[Figure]:
    with logging_house(3, 2) as house, house.serving():
        house.found()
        console.print("[bold]kill -9[/bold] ...")
        again = max(started_again(house) for _ in range(TURNS))
        other = max(taken_over(house) for _ in range(TURNS))
        with house.process("tally", "tally"):
            while house.published() < LONG:
                fill_up(house)
        long = house.published()
        over_long = taken_over(house)
        # Custodian 2: what is published is read from the first.
        os.kill(house.custodian_pids()["custodian-2"], signal.SIGKILL)
        one_down = max(taken_over(house) for _ in range(TURNS))
    return [
        at_most(f"kill -9, started again at once, {THEN}", again, BOUND),
        at_most(f"{STANDS_BY}, {THEN}", other, BOUND),
        at_most(f"{STANDS_BY}, over {long:,} entries, {THEN}", over_long, BOUND),
        at_most(f"{STANDS_BY}, one custodian of three is down, {THEN}", one_down, BOUND),
    ]


def fill_up(house: LoggingHouse) -> None:
    missing = house.published() + AHEAD - house.filled
    if missing > 0:
        house.fill(house.notices(missing, 300, house.filled))


def started_again(house: LoggingHouse) -> float:
    fill_up(house)
    with house.process("tally", "tally") as process:
        house.wait_published(house.published() + WARM)
        fill_up(house)
        process.kill()
        process.wait()
    start = time.monotonic()
    with house.process("tally", "tally"):
        return next_checkpoint(house, start)


def taken_over(house: LoggingHouse) -> float:
    fill_up(house)
    with ExitStack() as stack:
        process = stack.enter_context(house.process("tally", "tally"))
        house.wait_published(house.published() + WARM)
        house.another_log.write_bytes(b"")
        stack.enter_context(house.process("tally", "another-tally"))
        # From here on it reads what is staged as it comes.
        while b'"warm"' not in house.another_log.read_bytes():
            time.sleep(0.05)
            fill_up(house)
        fill_up(house)
        process.kill()
        process.wait()
        return next_checkpoint(house, time.monotonic())


def next_checkpoint(house: LoggingHouse, start: float) -> float:
    # What the dead one published last is read first.
    size = house.published()
    house.wait_published(size + 1)
    return time.monotonic() - start
