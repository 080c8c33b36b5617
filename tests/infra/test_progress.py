"""The lines of progress on a terminal of 80 columns, and of as few as they need."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console
from rich.progress import Progress, ProgressColumn

from audit.commands import columns as verifying
from infra.progress import columns

Columns = tuple[ProgressColumn, ...]


@pytest.mark.parametrize(
    ("made", "what", "width"),
    [(columns, "ballots recorded", 80), (columns, "ballots recorded", 54), (verifying, "verifying", 80)],
)
@pytest.mark.parametrize("total", [500, 119_067])
def test_no_number_is_cut_off(made: Callable[[], Columns], what: str, width: int, total: int) -> None:
    out, now = io.StringIO(), [0.0]
    console = Console(file=out, width=width, force_terminal=True, color_system=None)
    progress = Progress(*made(), console=console, get_time=lambda: now[0], auto_refresh=False)
    task = progress.add_task(what, total=total, rate="12,345")
    for _ in range(100):
        now[0] += 0.004
        progress.advance(task, 1)
    console.print(progress.get_renderable())
    (line,) = out.getvalue().splitlines()
    rate = "12,345/s" if made is verifying else "250.0/s"
    assert len(line) <= width and what in line and f"100/{total}" in line and rate in line
    seconds = -(-(total - 100) // 250)
    assert f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}" in line
