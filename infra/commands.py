"""The `psephos` command. It owns no command of its own but those for keys: each room installs an entry point in group
`psephos.commands`, a function that is handed the root and adds what the room can do. A room that is not installed, as
in an image that holds only what it runs, adds nothing."""

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
from infra.keys import KeyFileError, new_token, read_signer, write_secret

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
    """Adds `services`, `key new`, `key show` and `key token`."""
    key = group(app, "key", "Keys that sign entries, log heads and cosignatures; tokens that services ask for.")
    key.command("new")(new_key)
    key.command("show")(show_key)
    key.command("token")(make_token)
    app.command("services")(show_services)


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


def make_token(
    out: Annotated[Path, typer.Option("--out", help="The file to keep the token in.", metavar="FILE")],
) -> None:
    """Makes a bearer token, in a file only its owner may read: for one service, and for the one that asks it."""
    new_token(out)
    print(f"{out}: 256 random bits, for nobody else to read")


def show_services(
    configs: Annotated[list[Path], typer.Argument(help="The services' TOML files.", metavar="FILE.toml...")],
) -> None:
    """Shows of every service whether it can do its work, and its figures, by its private port. Exit code 1 if one
    cannot."""
    from infra import services

    raise typer.Exit(services.show(configs))


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
    if isinstance(error, Refused | ConfigError | KeyFileError) or _is_of_database(error):
        return True
    # A file or an address that somebody named. Errors of our own rooms are written to be read, faults of the program
    # (LookupError, ValueError, TypeError and their kind) excepted.
    if isinstance(error, OSError):
        return True
    ours = type(error).__module__.partition(".")[0] in ROOMS
    return ours and not isinstance(error, LookupError | ValueError | TypeError | AssertionError)


def _is_of_database(error: Exception) -> bool:
    """Whether the database cannot be used, or is not named. What has not been loaded has raised nothing: most commands
    reach no database, and need none installed.
    """
    names = {"sqlalchemy.exc": "OperationalError", "infra.database": "NoDatabaseUrl"}
    kinds = [getattr(sys.modules[module], name) for module, name in names.items() if module in sys.modules]
    return isinstance(error, tuple(kinds))


def _sentence(error: Exception) -> str:
    """What the error says: without SQLAlchemy's link to its own manual, and of a file its name and what is wrong."""
    if (cause := getattr(error, "orig", None)) is not None and _is_of_database(error):
        return f"the database: {str(cause).strip()}"
    if isinstance(error, OSError) and error.strerror:
        named = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return ": ".join([*named, error.strerror])
    return str(error)
