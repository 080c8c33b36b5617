"""The vault's commands: `serve custodian`, `schema custodian` for the owner of its database, and those that look after
what a custodian holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.commands import Config, group


def register(app: typer.Typer) -> None:
    """Adds `serve custodian`, `schema custodian`, `custodian create`, `custodian scrub` and `custodian rebuild`."""
    group(app, "serve", "Runs one service until it is told to stop.").command("custodian")(serve_custodian)
    schema = group(app, "schema", "Makes a service's tables, as the owner of its database.")
    schema.command("custodian")(schema_custodian)
    custodian = group(app, "custodian", "Looks after what a custodian holds.")
    custodian.command("create")(create)
    custodian.command("scrub")(scrub)
    custodian.command("rebuild")(rebuild)


def serve_custodian(
    config: Config,
    follow: Annotated[
        list[str] | None,
        typer.Option("--follow", metavar="URL/ORIGIN", help="Pull from this custodian instead; may be repeated."),
    ] = None,
) -> None:
    """Keeps and cosigns logs, and serves them as tiles. With --follow it keeps a log that others publish, cosigns
    nothing, and ends with the code of the worst alarm: 3 fork, 8 hidden rekey, 9 overruled tree, 4 changed byte, 5
    shrunken log, 6 own damage, 7 silence.
    """
    if follow:
        from vault.custodian import serve_following

        raise typer.Exit(serve_following.run(config, follow))
    from vault.custodian import serve

    serve.run(config)


def create(config: Config) -> None:
    """Says that a custodian is new and has signed nothing yet, and makes its folder if it has one; or has it keep a log
    more. One that was lost is not created but rebuilt.
    """
    from vault.custodian import care

    care.create(config)


def scrub(
    config: Config,
    peers: Annotated[
        list[str] | None,
        typer.Option("--peer", metavar="URL", help="A custodian to repair from; may be repeated."),
    ] = None,
) -> None:
    """Re-reads all that a custodian holds, and repairs it with verified bytes. Exit code 0: all was right; 3: something
    was not, and is repaired; 4: something is not repaired.
    """
    from vault.custodian import care

    raise typer.Exit(care.scrub(config, peers or ()))


def rebuild(
    config: Config,
    sources: Annotated[
        list[str], typer.Option("--from", metavar="URL", help="A custodian to read from; give all the others.")
    ],
    at_once: Annotated[
        bool,
        typer.Option("--at-once", help="Do not wait until others have cosigned since: trust the log's keys instead."),
    ] = False,
) -> None:
    """Makes an empty custodian whole from others' published tiles. It may go on where it was interrupted."""
    from vault.custodian import care

    care.rebuild(config, sources, at_once=at_once)


def schema_custodian(
    database: Annotated[str, typer.Option("--database", help="The owner's URL of the database.", metavar="URL")],
    passfile: Annotated[Path, typer.Option("--passfile", help="The owner's password file.", metavar="FILE")],
    role: Annotated[str, typer.Option("--role", help="The role that the service logs in as.")],
    to: Annotated[int | None, typer.Option("--to", help="The version to go to; the newest otherwise.")] = None,
) -> None:
    """Makes a custodian's tables, which nobody can change or shorten; or
    brings those that are there to this release's version, or to another, with the rows in place."""
    from infra.owner import as_owner
    from vault.custodian.schema import install

    with as_owner(database, passfile, role) as connection:
        before, now = install(connection, role, to)
    print(f"custodian: version {before} -> {now}")
