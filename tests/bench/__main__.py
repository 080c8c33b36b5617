"""`./run bench [NAME...]`: measured figures as a table; nothing here is a test.

Names are `proof`, `mix`, `path`, `demo`, `care`, `record`, `recovery`, `faults`, `memory`, `large-mix`, `roll` and
`large-log`; without any, all but the last five, which break things for minutes (as root), cast 20,000 ballots, mix
100,000 rows and record 1,000,000 entries. What else runs on the machine is measured along.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from rich.console import Console

from tests.bench.figure import Figure, print_figures

TITLES = {
    "proof": "One choose-one contest of three choices",
    "mix": "Mixing a roll, and verifying the mix",
    "path": "The whole path, nine contests, the demo's batch setting",
    "demo": "The demo",
    "care": "A custodian's care for what it holds",
    "record": "Entries recorded under a quorum of custodians",
    "recovery": "After kill -9 of the sequencer",
    "faults": "Faults of every kind, until 50,000 acknowledged entries have been counted",
    "memory": "Memory",
    "large-mix": "Mixing a roll of 100,000 rows",
    "roll": "A roll of 100,000 rows: its log, and a voter's client",
    "large-log": "A log of 1,000,000 entries",
}
ASKED_FOR = ("faults", "memory", "large-mix", "roll", "large-log")


def main(names: list[str]) -> int:
    """Measures and prints what is asked for; 2 for a name that is none."""
    console = Console()
    unknown = [name for name in names if name not in TITLES]
    if unknown:
        print(f"bench: {', '.join(unknown)}: there are {', '.join(TITLES)}", file=sys.stderr)
        return 2
    for name in names or [name for name in TITLES if name not in ASKED_FOR]:
        print_figures(console, TITLES[name], measurement(name, console)())
    return 0


def measurement(name: str, console: Console) -> Callable[[], list[Figure]]:
    # Each is loaded when its turn comes, so that none costs another anything.
    if name == "proof":
        from tests.bench import proof

        return proof.measure
    if name in ("mix", "large-mix"):
        from tests.bench import mix

        return lambda: mix.measure(mix.LARGE if name == "large-mix" else mix.SIZES)
    if name == "path":
        from tests.bench import path

        return lambda: path.measure(console)
    if name == "demo":
        from tests.bench import demo

        return demo.measure
    if name == "care":
        from tests.bench import care

        return care.measure
    if name == "faults":
        from tests.bench import faults

        return lambda: faults.measure(console)
    if name == "roll":
        from tests.bench import roll

        return lambda: roll.measure(console)
    if name == "record":
        from tests.bench import record

        return lambda: record.measure(console)
    if name == "recovery":
        from tests.bench import recovery

        return lambda: recovery.measure(console)
    if name == "large-log":
        from tests.bench import large_log

        return lambda: large_log.measure(console)
    from tests.bench import memory

    return lambda: memory.measure(console)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
