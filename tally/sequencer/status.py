"""The sequencer's figures, in a file that the host's collector reads: tally listens on nothing."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tally.sequencer.sequence import Sequencer

SECONDS = 1.0
"""Between two writings of the file."""


@dataclass
class Figures:
    """`size`, `ballots` and `refusals` of the log; entries that came `repeated` or were nobody's (`foreign`) since the
    process began; how many entries each custodian is known to hold.
    """

    size: int = 0
    phase: str = "none"
    ballots: int = 0
    refusals: int = 0
    repeated: int = 0
    foreign: int = 0
    custodians: dict[str, int] = field(default_factory=dict)


def write_status(path: Path, figures: Figures) -> None:
    """Replaces the file at `path` as a whole, with the time at which it was written (POSIX seconds)."""
    part = path.with_name(f".{path.name}.part")
    content = {**dataclasses.asdict(figures), "time": int(time.time()), "pid": os.getpid()}
    part.write_text(json.dumps(content, sort_keys=True) + "\n")
    part.replace(path)


class Report:
    """Writes a sequencer's figures to the file at `path`, once a second at most."""

    def __init__(self, path: Path) -> None:
        self._path, self._written = path, 0.0

    def __call__(self, sequencer: Sequencer) -> None:
        if time.monotonic() - self._written > SECONDS:
            sequencer.write_status(lambda figures: write_status(self._path, figures))
            self._written = time.monotonic()
