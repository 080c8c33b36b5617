"""Many rows in one statement, column by column: one round trip, and little to do for each row on either side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Column, Connection, LargeBinary, Table, Text, column, func, select
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.sql.expression import bindparam
from sqlalchemy.types import TypeEngine


def insert_rows(
    connection: Connection, table: Table, origin: str, rows: Sequence[dict[str, Any]], *, passing: bool = False
) -> None:
    """Inserts rows of one log, all with the same columns beside `origin`; with `passing`, those that are there already
    are passed over, otherwise IntegrityError.
    """
    if rows:
        names = tuple(rows[0])
        values = {name: [row[name] for row in rows] for name in names}
        connection.execute(_statement(table, names, passing), {"origin": origin, **values})


@cache
def _statement(table: Table, names: tuple[str, ...], passing: bool) -> Any:
    kinds = {name: _kind(table.c[name]) for name in names}
    arrays = [bindparam(name, type_=ARRAY(kind)) for name, kind in kinds.items()]
    columns = (column(name, kind) for name, kind in kinds.items())
    given = func.unnest(*arrays).table_valued(*columns, name="given").render_derived()
    rows = select(bindparam("origin", type_=Text), *(given.c[name] for name in names))
    statement = upsert(table).from_select(["origin", *names], rows)
    return statement.on_conflict_do_nothing() if passing else statement


def _kind(column: Column[Any]) -> TypeEngine[Any]:
    return BYTEA() if isinstance(column.type, LargeBinary) else column.type
