"""The `psephos` command. It owns no command of its own beyond keys and the queue's services: each room installs an
entry point in group `psephos.commands`, a function that is handed the root and adds what the room can do. A room that
is not installed, as in an image that holds only what it runs, adds nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from enum import StrEnum
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Annotated, cast

import typer

from audit.log import keys
from audit.protocol.refused import Refused
from infra.config import ConfigError
from infra.keys import KeyFileError, read_signer, write_secret

GROUP = "psephos.commands"
ROOMS = frozenset({"audit", "infra", "intake", "tally", "vault"})

Config = Annotated[Path, typer.Option("--config", help="The service's TOML file.", metavar="FILE.toml")]


def main() -> None:
    """Runs the command line: exits 0 if the command worked, 1 with one sentence for each fault if not, 2 if misused."""
    try:
        root()(prog_name="psephos")
    except Exception as error:
        if not _is_expected(error):
            raise
        print(f"psephos: {_sentence(error)}", file=sys.stderr)
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
    parent.add_typer(made, name=name, help=help or None)
    return made


class KeyType(StrEnum):
    """What a key is for: entries and the log's heads; a custodian's cosignatures; the log's heads again,
    post-quantum."""

    ED25519 = "ed25519"
    COSIGNATURE = "cosignature"
    ML_DSA_44 = "ml-dsa-44"


KEY_TYPES = {KeyType.ED25519: keys.ED25519, KeyType.COSIGNATURE: keys.COSIGNATURE, KeyType.ML_DSA_44: keys.ML_DSA_44}


def register(app: typer.Typer) -> None:
    """Adds `services`, `key new`, `key show`, `serve queue-ingress`, `serve queue-egress`, `schema queue`,
    `queue backup` and `queue restore`."""
    key = group(app, "key", "Keys that sign entries, log heads and cosignatures.")
    key.command("new")(new_key)
    key.command("show")(show_key)
    app.command("services")(show_services)
    serve = group(app, "serve", "Runs one service until it is told to stop.")
    serve.command("queue-ingress")(serve_ingress)
    serve.command("queue-egress")(serve_egress)
    group(app, "schema", "Makes a service's tables, as the owner of its database.").command("queue")(schema_queue)
    queue = group(app, "queue", "Copies of what waits in the queue.")
    queue.command("backup")(back_up_queue)
    queue.command("restore")(restore_queue)


def new_key(
    name: Annotated[str, typer.Argument(help="The name it signs under, e.g. intake-1.vote.example.")],
    out: Annotated[Path, typer.Option("--out", help="The file to keep the private key in.", metavar="FILE")],
    type: Annotated[KeyType, typer.Option("--type", help="What the key is for.")] = KeyType.ED25519,
) -> None:
    """Makes a private key, keeps it in a file only its owner may read, and prints the verifier key that goes with
    it."""
    signer = keys.Signer(name, KEY_TYPES[type], os.urandom(keys.SEED_SIZE))
    write_secret(out, signer.private + "\n")
    print(signer.vkey)


def show_key(file: Annotated[Path, typer.Argument(help="A private key's file.", metavar="FILE")]) -> None:
    """Prints the verifier key that belongs to a private key."""
    print(read_signer(file).vkey)


def show_services(
    configs: Annotated[list[Path], typer.Argument(help="The services' TOML files.", metavar="FILE.toml...")],
) -> None:
    """Shows of every service whether it can do its work, and its figures, by its private port. Exit code 1 if one
    cannot."""
    from infra import services

    raise typer.Exit(services.show(configs))


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
    from infra.database import engine
    from infra.queue.schema import install

    with engine(database, passfile, name="psephos-schema").begin() as connection:
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


def _load(entry: EntryPoint) -> Callable[[typer.Typer], None] | None:
    """The room's function; None if the room is not installed. A library that the room misses is a fault, and raised."""
    try:
        return cast("Callable[[typer.Typer], None]", entry.load())
    except ModuleNotFoundError as error:
        if error.name is not None and (entry.module == error.name or entry.module.startswith(f"{error.name}.")):
            return None
        raise


def _is_expected(error: Exception) -> bool:
    """Whether somebody outside the program can have caused it, so that its own sentence helps more than a traceback."""
    # Loaded only here, for most commands reach no database.
    from sqlalchemy.exc import OperationalError

    from infra.database import NoDatabaseUrl

    if isinstance(error, Refused | ConfigError | KeyFileError | OperationalError | NoDatabaseUrl):
        return True
    # A file or an address that somebody named. Errors of our own rooms are written to be read, faults of the program
    # (LookupError, ValueError, TypeError and their kind) excepted.
    if isinstance(error, OSError):
        return True
    ours = type(error).__module__.partition(".")[0] in ROOMS
    return ours and not isinstance(error, LookupError | ValueError | TypeError | AssertionError)


def _sentence(error: Exception) -> str:
    """What the error says: without SQLAlchemy's link to its own manual, and of a file its name and what is wrong."""
    from sqlalchemy.exc import DBAPIError

    if isinstance(error, DBAPIError):
        return f"the database: {str(error.orig).strip()}"
    if isinstance(error, OSError) and error.strerror:
        named = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return ": ".join([*named, error.strerror])
    return str(error)
