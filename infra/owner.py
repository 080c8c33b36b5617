"""What the owner of a service's tables does: makes them, or brings them to another version, for roles that are there
already. Who made a mistake with roles, as is common at a first set-up, reads which one and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from infra.database import engine


class WrongRole(Exception):
    """A role that does not exist, that may not do what it is given for, or that may do too much."""


@contextmanager
def as_owner(database: str, passfile: Path, *roles: str) -> Iterator[Connection]:
    """The owner's connection to the database, within one transaction, to make tables that `roles` will use.

    WrongRole unless each of these exists, once, and is not the owner, who could change what its service may not; or if
    whoever connects here is not the owner. As `infra.database.engine`.
    """
    with engine(database, passfile, name="psephos-schema", owner=True).begin() as connection:
        # Before anything fails: then the transaction answers nothing more.
        owner = connection.scalar(text("SELECT current_user"))
        _check(connection, roles)
        try:
            yield connection
        except ProgrammingError as error:
            if not isinstance(error.orig, InsufficientPrivilege):
                raise
            said = error.orig.diag.message_primary
            raise WrongRole(f"{owner} may not make these tables ({said}): run it as their owner") from None


def _check(connection: Connection, roles: tuple[str, ...]) -> None:
    for role in roles:
        found = connection.scalar(
            text("SELECT rolname = current_user FROM pg_roles WHERE rolname = :role"), {"role": role}
        )
        if found is None:
            name = connection.scalar(text("SELECT quote_ident(:role)"), {"role": role})
            raise WrongRole(
                f"the role {name} does not exist: create it first (CREATE ROLE {name} LOGIN PASSWORD '...')"
            )
        if found:
            raise WrongRole(f"{role} is who runs this, the tables' owner: the service needs a role of its own")
    if len(set(roles)) < len(roles):
        raise WrongRole(f"{roles[0]} is named twice: each service needs a role of its own")
