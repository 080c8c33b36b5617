"""The tally's commands: `serve tally`, `schema tally` for the owner of its database, and those of the officials."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.commands import Config, group


def register(app: typer.Typer) -> None:
    """Adds `serve tally`, `schema tally`, `refused`, and the commands of officials and trustees where those are
    installed."""
    group(app, "serve", "Runs one service until it is told to stop.").command("tally")(serve_tally)
    schema = group(app, "schema", "Makes a service's tables, as the owner of its database.")
    schema.command("tally")(schema_tally)
    app.command("refused")(refused)
    try:
        from tally.officials import commands
    except ModuleNotFoundError as error:
        # An image of the sequencer holds no offline part.
        if error.name is None or not error.name.startswith("tally.officials"):
            raise
    else:
        commands.register(app)


def serve_tally(config: Config) -> None:
    """Sequences the log: takes from the queue, checks, and has custodians store it."""
    from tally.sequencer import service

    service.run(config)


def refused(
    config: Config,
    out: Annotated[Path, typer.Option("--out", help="A new folder.", metavar="DIR")],
) -> None:
    """Writes the entries that the log refuses to a folder, for who doubts the reason, as IDENTITY.INTAKE.LEAF.entry."""
    from tally.sequencer import refused, service

    print(f"{out}: {refused.write_all(*service.kept_in(config), out)} refused entries")


def schema_tally(
    database: Annotated[str, typer.Option("--database", help="The owner's URL of the database.", metavar="URL")],
    passfile: Annotated[Path, typer.Option("--passfile", help="The owner's password file.", metavar="FILE")],
    role: Annotated[str, typer.Option("--role", help="The role that the service logs in as.")],
    to: Annotated[int | None, typer.Option("--to", help="The version to go to; the newest otherwise.")] = None,
) -> None:
    """Makes the ledger's tables, of which nobody can change or shorten the log's; or
    brings those that are there to this release's version, or to another, with the rows in place."""
    from infra.owner import as_owner
    from tally.sequencer.schema import install

    with as_owner(database, passfile, role) as connection:
        before, now = install(connection, role, to)
    print(f"tally: version {before} -> {now}")
