"""How long work shows itself: what is being done, how much of it, at which rate, and how long it will still take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text


class Rate(ProgressColumn):
    """Steps per second, over the last of them."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.1f}/s" if speed else "", style="progress.data.speed")


class Bar:
    """One line of progress on standard error; nothing is drawn where that is no terminal."""

    def __init__(self, progress: Progress, what: str, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=total)

    def advance(self, steps: int = 1) -> None:
        self._progress.advance(self._task, steps)

    def at(self, done: int, total: int) -> None:
        """So many steps of so many are done."""
        self._progress.update(self._task, completed=done, total=total)


@contextmanager
def bar(what: str, total: int | None) -> Iterator[Bar]:
    """A bar for `total` steps of `what`; it stays when it is done."""
    console = Console(stderr=True)
    with Progress(*columns(), console=console, disable=not console.is_terminal) as progress:
        yield Bar(progress, what, total)


def columns() -> tuple[ProgressColumn, ...]:
    """What a line shows. The bar alone gives way where the line is short: no number of it is ever cut off."""
    return (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        Rate(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
    )
