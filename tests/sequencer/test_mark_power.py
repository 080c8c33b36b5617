"""The power of a tally's host fails: what was marked there is marked."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tally.sequencer.ledger import Stage
from tally.sequencer.mark import mark_at
from tests.faults.power import cut
from tests.storage.small_disk import run, small_disk

LEDGER: Any = SimpleNamespace(origin="vote.example/marked")
"""No more of it is asked for when a stage is marked."""


@pytest.mark.parametrize("marks", [1, 2])
def test_a_mark_that_is_set_outlasts_a_power_cut(marks: int) -> None:
    """The first, of a file that was not there before, and one in the place of another."""
    with small_disk(16) as disk:
        path = disk.folder / "status.mark"
        for size in range(1, marks + 1):
            run("sync", "-f", disk.folder)
            stage = Stage(size - 1, size, bytes([size]) * 32, b"")
            mark_at(path, LEDGER).set(stage)
        cut(disk)
        disk.unmount()
        disk.mount()
        assert path.read_bytes() == stage.checkpoint(LEDGER.origin).text
