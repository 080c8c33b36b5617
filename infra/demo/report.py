"""What the demo shows at its end: every nominee's counted figures beside the published ones, and where they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from infra.demo.published import CHOICES, Published


def differences(result: Mapping[str, Any], figures: Published) -> list[str]:
    """One sentence for every figure of a result that is not the published one; none if all are equal to the share."""
    found = []
    if result["present"] != figures.present:
        found.append(f"{result['present']:,} shares present, published were {figures.present:,}")
    for nominee in figures.nominees:
        counted = result["contests"].get(nominee.id, {})
        for choice, votes in figures.result[nominee.id].items():
            if counted.get(choice) != votes:
                found.append(f"{nominee.name}, {choice}: counted {counted.get(choice)}, published {votes}")
        decided = "elected" if nominee.elected else "not elected"
        if result["outcome"].get(nominee.id) != decided:
            found.append(f"{nominee.name}: {result['outcome'].get(nominee.id)}, published {decided}")
    return found


def table_of(result: Mapping[str, Any], figures: Published) -> Table:
    """The table: two rows a nominee."""
    table = Table(title="Election of directors: counted from the log, beside the published figures")
    table.add_column("nominee", no_wrap=True)
    table.add_column("")
    for choice in CHOICES:
        table.add_column(choice, justify="right", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    for nominee in figures.nominees:
        counted = result["contests"].get(nominee.id, {})
        numbers = [f"{counted[choice]:,}" if choice in counted else "-" for choice in CHOICES]
        table.add_row(nominee.name, "counted", *numbers, str(result["outcome"].get(nominee.id, "-")))
        published = [f"{votes:,}" for votes in nominee.votes]
        table.add_row("", "published", *published, "elected" if nominee.elected else "not elected", end_section=True)
    return table


def print_result(console: Console, result: Mapping[str, Any], figures: Published) -> None:
    """Prints the table, the votes present, and whether all is equal."""
    console.print(table_of(result, figures))
    silent = f"{figures.broker_non_votes:,} of them broker non-votes"
    lost = [n.name for n in figures.nominees if result["outcome"].get(n.id) == "not elected"]
    console.print(f"Present: {result['present']:,} shares, {silent}; published: {figures.present:,}.")
    console.print(f"Ballots counted: {result['ballots']:,}. Not elected: {', '.join(lost) or 'nobody'}.")
    wrong = differences(result, figures)
    if wrong:
        console.print("\n".join(wrong), style="bold red")
    else:
        console.print("Equal to the published figures, to the share.", style="bold green")


def print_steps(console: Console, steps: Sequence[tuple[str, float]]) -> None:
    """What every step took, and all of them."""
    table = Table(title="What it took", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, seconds in steps:
        table.add_row(name, f"{seconds:.1f} s")
    table.add_section()
    table.add_row("all", f"{sum(seconds for _, seconds in steps):.1f} s")
    console.print(table)
