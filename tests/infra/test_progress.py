"""The line of progress on a terminal of 80 columns."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from infra.progress import columns


@pytest.mark.parametrize("what", ["rows", "ballots recorded", "mixing the roll of preferred"])
@pytest.mark.parametrize("total", [500, 119_067])
def test_what_remains_is_visible_at_80_columns(what: str, total: int) -> None:
    out, now = io.StringIO(), [0.0]
    console = Console(file=out, width=80, force_terminal=True, color_system=None)
    progress = Progress(*columns(), console=console, get_time=lambda: now[0], auto_refresh=False)
    task = progress.add_task(what, total=total)
    for _ in range(100):
        now[0] += 0.4
        progress.advance(task, 1)
    console.print(progress.get_renderable())
    (line,) = out.getvalue().splitlines()
    assert len(line) <= 80 and what in line and f"100/{total}" in line and "2.5/s" in line
    seconds = int((total - 100) / 2.5)
    assert f"{seconds // 3600}:{seconds // 60 % 60:02d}:" in line
