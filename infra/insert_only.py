"""Tables that only grow. What is recorded here cannot be rebuilt from anywhere, so the database itself refuses to
change it: the service's role may INSERT and SELECT, and triggers that fire for everybody, superusers and sessions that
play a replica included, refuse UPDATE, DELETE and TRUNCATE. Only who owns the tables can take the triggers away, and no
service runs as that role. A subscription to another database changes rows past them."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, MetaData, Table, text

GUARD = "psephos_insert_only"

GUARD_BODY = """
BEGIN
    RAISE EXCEPTION 'table % only grows: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END """
"""What the guard does, word for word: one that does something else is none."""

_FUNCTION = f"CREATE OR REPLACE FUNCTION {GUARD}() RETURNS trigger LANGUAGE plpgsql AS $${GUARD_BODY}$$"


def create_insert_only(connection: Connection, metadata: MetaData, role: str) -> None:
    """Creates the tables of `metadata` with their triggers, and lets `role` INSERT and SELECT and nothing else.

    Run by the tables' owner, inside a transaction; running it again changes nothing.
    """
    metadata.create_all(connection)
    guard(connection, metadata.sorted_tables, role)


def guard(connection: Connection, tables: Iterable[Table], role: str) -> None:
    """Gives these tables their triggers and `role` its rights; again, it changes nothing."""
    connection.execute(text(_FUNCTION))
    quote = connection.dialect.identifier_preparer.quote
    for table in tables:
        name = quote(table.name)
        for statement in (
            f"DROP TRIGGER IF EXISTS {GUARD} ON {name}",
            f"CREATE TRIGGER {GUARD} BEFORE UPDATE OR DELETE OR TRUNCATE ON {name} EXECUTE FUNCTION {GUARD}()",
            # ALWAYS: also where session_replication_role would switch ordinary triggers off.
            f"ALTER TABLE {name} ENABLE ALWAYS TRIGGER {GUARD}",
            f"REVOKE ALL ON {name} FROM PUBLIC, {quote(role)}",
            f"GRANT INSERT, SELECT ON {name} TO {quote(role)}",
        ):
            connection.execute(text(statement))
