"""`python -m tests.simulation [--seed N] [--schedules N]`: runs schedules, from a seed on; says which do not hold."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.schedule import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--schedules", type=int, default=1)
    asked = parser.parse_args()
    began, failed, entries = time.monotonic(), 0, 0
    for seed in range(asked.seed, asked.seed + asked.schedules):
        outcome = run(seed)
        entries += outcome.entries
        if outcome.broken:
            failed += 1
            print(outcome.report)
    took = time.monotonic() - began
    print(f"{asked.schedules} schedules, {entries} entries, {failed} did not hold; {took:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
