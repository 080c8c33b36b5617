"""Intake's commands: `serve intake`, `schema intake`, and those of its offline parts, the register and the voter."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from infra.commands import Config, group

OFFLINE = ("intake.register", "intake.voter")


def register(app: typer.Typer) -> None:
    """Adds `serve intake`, `schema intake`, `outbox backup` and `outbox restore`, and what the offline parts that are
    installed add."""
    group(app, "serve", "Runs one service until it is told to stop.").command("intake")(serve_intake)
    group(app, "schema", "Makes a service's tables, as the owner of its database.").command("intake")(schema_intake)
    outbox = group(app, "outbox", "Copies of what an intake has promised.")
    outbox.command("backup")(back_up_outbox)
    outbox.command("restore")(restore_outbox)
    for part in OFFLINE:
        # An image that runs the door does not hold them.
        if find_spec(part) is not None and find_spec(f"{part}.commands") is not None:
            import_module(f"{part}.commands").register(app)


def serve_intake(config: Config) -> None:
    """Takes entries at the door, checks them, and passes them on."""
    from intake.door import serve

    serve.run(config)


def schema_intake(
    database: Annotated[str, typer.Option("--database", help="The owner's URL of the database.", metavar="URL")],
    passfile: Annotated[Path, typer.Option("--passfile", help="The owner's password file.", metavar="FILE")],
    role: Annotated[str, typer.Option("--role", help="The role that the service logs in as.")],
    to: Annotated[int | None, typer.Option("--to", help="The version to go to; the newest otherwise.")] = None,
) -> None:
    """Makes an intake's tables; or
    brings those that are there to this release's version, or to another, with the rows in place."""
    from infra.owner import as_owner
    from intake.door.schema import install

    with as_owner(database, passfile, role) as connection:
        before, now = install(connection, role, to)
    print(f"intake: version {before} -> {now}")


def back_up_outbox(
    config: Config,
    out: Annotated[Path, typer.Option("--out", help="The new file to write.", metavar="FILE")],
) -> None:
    """Copies what this intake has promised, and what waits, to a file; the service may run meanwhile."""
    from infra.config import load
    from intake.door import copies, serve
    from intake.door.config import DoorConfig

    count = copies.back_up(*serve.opened(config, load(DoorConfig, config)), out)
    print(f"{out}: {count} promises")


def restore_outbox(
    file: Annotated[Path, typer.Argument(help="What `outbox backup` wrote.", metavar="FILE")],
    config: Config,
    replaced: Annotated[
        bool, typer.Option("--replaced-key", help="Also one that this intake has signed with a key replaced since.")
    ] = False,
) -> None:
    """Takes a copy in, whole or not at all, while the service stands still; what is there already stays as it is."""
    from infra.config import load
    from intake.door import copies, serve
    from intake.door.config import DoorConfig

    settings = load(DoorConfig, config)
    database, manifest, signer = serve.opened(config, settings)
    count = copies.restore(database, manifest, signer, file, serve.readers(settings, manifest), replaced)
    print(f"{file}: {count} promises that were not known here")
