"""The demo as its user starts it, with 500 accounts; the set-up was done before."""

from __future__ import annotations

import subprocess
import sys
import time

from tests.bench.figure import Figure, at_most

DEMO = [sys.executable, "-P", "-c", "from infra.commands import main; main()", "demo", "--accounts", "500"]


def measure() -> list[Figure]:
    """How long it takes; CalledProcessError if it fails."""
    start = time.monotonic()
    subprocess.run(DEMO, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return [at_most("./run demo with 500 accounts, s", time.monotonic() - start, 90.0, "{:.0f}")]
