"""`python -m tests.simulation [--seed N] [--schedules N | --seconds N]`: runs schedules, from a seed on, or for so many
seconds from one that nobody has run before; says which do not hold, each with the line that runs it again.
"""

from __future__ import annotations

import argparse
import itertools
import secrets
import sys
import time
from collections.abc import Iterator

from tests.simulation.schedule import run

SEEDS = 1 << 48
"""Of which so few are ever run that chance draws a new one."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, help="the first; 1, or by chance for --seconds, unless it is said")
    count = parser.add_mutually_exclusive_group()
    count.add_argument("--schedules", type=int, default=1)
    count.add_argument("--seconds", type=float)
    asked = parser.parse_args()
    began, failed, schedules, entries = time.monotonic(), 0, 0, 0
    for seed in seeds(asked, began):
        outcome = run(seed)
        schedules, entries = schedules + 1, entries + outcome.entries
        if outcome.broken:
            failed += 1
            print(outcome.report, flush=True)
    took = time.monotonic() - began
    print(f"{schedules} schedules, {entries} entries, {failed} did not hold; {took:.1f} s")
    return 1 if failed else 0


def seeds(asked: argparse.Namespace, began: float) -> Iterator[int]:
    if asked.seconds is None:
        first = 1 if asked.seed is None else asked.seed
        yield from range(first, first + asked.schedules)
        return
    first = secrets.randbelow(SEEDS) if asked.seed is None else asked.seed
    print(f"from seed {first}", flush=True)
    yield from itertools.takewhile(lambda _: time.monotonic() < began + asked.seconds, itertools.count(first))


if __name__ == "__main__":
    sys.exit(main())
