"""The `psephos` command. It owns no command of its own beyond the queue's services: each room installs an entry point
in group `psephos.commands`, a function that is handed the root and adds what the room can do. A room that is not
installed, as in an image that holds only what it runs, adds nothing."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Annotated

import typer

GROUP = "psephos.commands"

Config = Annotated[Path, typer.Option("--config", help="The service's TOML file.", metavar="FILE.toml")]


def main() -> None:
    """Runs the command line: exits 0 if the command worked, 1 with one sentence for each fault if not, 2 if misused."""
    try:
        root()(prog_name="psephos")
    except Exception as error:
        if not _is_expected(error):
            raise
        print(f"psephos: {error}", file=sys.stderr)
        sys.exit(1)


def root() -> typer.Typer:
    """The Typer app with the commands of every installed room, in the rooms' alphabetical order."""
    app = typer.Typer(
        help="Shareholder votes that anybody can check.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        register = _load(entry)
        if register is not None:
            register(app)
    return app


def group(parent: typer.Typer, name: str, help: str = "") -> typer.Typer:
    """The sub-command group `name` of `parent`: the one another room has made already, or a new one.

    So several rooms can each add to `psephos serve`; the first help text given stands.
    """
    for known in parent.registered_groups:
        if known.name == name and known.typer_instance is not None:
            if help and not isinstance(known.help, str):
                known.help = help
            return known.typer_instance
    made = typer.Typer(no_args_is_help=True)
    parent.add_typer(made, name=name, **({"help": help} if help else {}))
    return made
