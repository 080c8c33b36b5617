"""The queue's commands: its two services, its table, and copies of what waits in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.commands import Config, group


def register(app: typer.Typer) -> None:
    """Adds `serve queue-ingress`, `serve queue-egress`, `schema queue`, `queue backup` and `queue restore`."""
    serve = group(app, "serve", "Runs one service until it is told to stop.")
    serve.command("queue-ingress")(serve_ingress)
    serve.command("queue-egress")(serve_egress)
    group(app, "schema", "Makes a service's tables, as the owner of its database.").command("queue")(schema_queue)
    queue = group(app, "queue", "Copies of what waits in the queue.")
    queue.command("backup")(back_up_queue)
    queue.command("restore")(restore_queue)


def serve_ingress(config: Config) -> None:
    """Takes entries from intake and says nothing back."""
    from infra.queue import ingress

    ingress.run(config)


def serve_egress(config: Config) -> None:
    """Hands entries to tally and deletes what tally acknowledges."""
    from infra.queue import egress

    egress.run(config)


def schema_queue(
    database: Annotated[str, typer.Option("--database", help="The owner's URL of the database.", metavar="URL")],
    passfile: Annotated[Path, typer.Option("--passfile", help="The owner's password file.", metavar="FILE")],
    ingress: Annotated[str, typer.Option("--ingress", help="The role that ingress logs in as.")],
    egress: Annotated[str, typer.Option("--egress", help="The role that egress logs in as.")],
    to: Annotated[int | None, typer.Option("--to", help="The version to go to; the newest otherwise.")] = None,
) -> None:
    """Makes the queue's one table, into which ingress can only put and from which egress can only take; or
    brings those that are there to this release's version, or to another, with the rows in place."""
    from infra.owner import as_owner
    from infra.queue.schema import install

    with as_owner(database, passfile, ingress, egress) as connection:
        before, now = install(connection, ingress, egress, to=to)
    print(f"queue: version {before} -> {now}")


def back_up_queue(
    config: Config,
    out: Annotated[Path, typer.Option("--out", help="The new file to write.", metavar="FILE")],
) -> None:
    """Copies what waits to a file, with the configuration of egress; both services may run meanwhile."""
    from infra.queue import copies

    print(f"{out}: {copies.back_up(copies.opened(config), out)} entries")


def restore_queue(
    file: Annotated[Path, typer.Argument(help="What `queue backup` wrote.", metavar="FILE")],
    config: Config,
) -> None:
    """Puts the entries of a copy into the queue, with the configuration of ingress: whole, or not at all."""
    from infra.queue import copies

    print(f"{file}: {copies.restore(copies.opened(config), file)} entries")
