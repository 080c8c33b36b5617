"""What every measurement comes to: rows of a table, each with what it is to be compared with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One row. `bound` says in words what is wanted, `met` whether it is so; None where nothing is promised."""

    name: str
    value: str
    bound: str = ""
    met: bool | None = None


def at_most(name: str, value: float, bound: float, form: str = "{:.2f}") -> Figure:
    return Figure(name, form.format(value), "at most " + form.format(bound), value <= bound)


def at_least(name: str, value: float, bound: float, form: str = "{:.2f}") -> Figure:
    return Figure(name, form.format(value), "at least " + form.format(bound), value >= bound)


def print_figures(console: Console, title: str, figures: Iterable[Figure]) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("figure")
    table.add_column("measured", justify="right")
    table.add_column("wanted")
    for figure in figures:
        style = {True: "green", False: "bold red", None: None}[figure.met]
        table.add_row(figure.name, figure.value, figure.bound, style=style)
    console.print(table)
