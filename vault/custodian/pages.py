"""Reading around a page of the database that cannot be read: what is on the others is still there."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Column, Connection, Engine, Row, Select, text
from sqlalchemy.exc import DBAPIError

from infra.database import NAMESPACE
from vault.custodian.storage import Damaged

DAMAGED = ("XX", "58030", "58P01")
"""How the SQLSTATE begins by which the database says that its own files are damaged, cannot be read, or are gone."""
MOST_RANGES = 1024
"""Asked for one after another, to find what an index has under rows that cannot be read: 127 for each of these."""


@contextmanager
def readable() -> Iterator[None]:
    """Damaged for rows on a page whose checksum is wrong, that the disk does not give, or that an index cannot find any
    more.
    """
    try:
        yield
    except DBAPIError as error:
        if str(getattr(error.orig, "sqlstate", None)).startswith(DAMAGED):
            raise Damaged("a page of the database cannot be read") from None
        raise


@contextmanager
def by_index(engine: Engine) -> Iterator[Connection]:
    """A connection on which no page is read but those that hold the rows asked for. Damaged."""
    with readable(), engine.begin() as connection:
        # What a parallel worker lacks, memory that is shared with it, is said to be a file that is gone.
        connection.execute(text("SET LOCAL max_parallel_workers_per_gather TO 0"))
        connection.execute(text("SET LOCAL enable_seqscan TO off"))
        yield connection


def first_row(engine: Engine, query: Select[Any]) -> Row[Any] | None:
    """The first row of a query, if the page that it is on can be read; Damaged otherwise."""
    return next(iter(rows_of(engine, query.limit(1))), None)


def rows_of(engine: Engine, query: Select[Any]) -> Sequence[Row[Any]]:
    """The rows of a query, if the pages that they are on can be read; Damaged otherwise."""
    with suppress(Damaged), readable(), engine.connect() as connection:
        # One statement, which needs no transaction around it.
        return connection.execution_options(isolation_level="AUTOCOMMIT").execute(query).all()
    # The whole table may have been read for it.
    with by_index(engine) as connection:
        return connection.execute(query).all()


def numbers_by_index(engine: Engine, query: Select[Any], number: Column[Any], start: int, end: int) -> list[int]:
    """The numbers in [start, end) that a query finds by an index, those included whose rows cannot be read: where one
    number alone is asked for and its page cannot be read, the index has it. Damaged if the index itself is, or if there
    is no end to them.
    """
    with by_index(engine) as connection:
        # No row has this number: if that cannot be told, it is the index.
        connection.execute(query.where(number == -1))
    found: list[int] = []
    ranges = [(start, end)]
    for _ in range(MOST_RANGES):
        if not ranges:
            return found
        first, last = ranges.pop()
        try:
            with by_index(engine) as connection:
                found += connection.scalars(query.where(number >= first, number < last))
        except Damaged:
            middle = (first + last) // 2
            if last - first == 1:
                found.append(first)
            else:
                ranges += [(middle, last), (first, middle)]
    raise Damaged("an index of the database cannot be read")


def end_by_index(engine: Engine, query: Select[Any], number: Column[Any], start: int) -> int:
    """The end of rows that follow each other from `start` on, those included that cannot be read: the index has them.
    Damaged if the index itself is.
    """

    def gone(place: int) -> bool:
        with suppress(Damaged), by_index(engine) as connection:
            return connection.execute(query.where(number == place)).first() is None
        return False

    # No row has the number -1: if that cannot be told, it is the index.
    for most in (1 << power for power in range(60 * gone(-1))):
        if gone(start + most):
            return start + bisect_left(range(most), True, key=lambda offset: gone(start + offset))
    raise Damaged("an index of the database cannot be read")


def on_readable_pages(engine: Engine, table: str, query: Select[Any]) -> Iterator[int]:
    """What a query of one table gives without its pages that cannot be read, in the order of the pages."""
    size = text("SELECT pg_relation_size(CAST(:table AS regclass)) / current_setting('block_size')::int")
    there = text("ctid >= CAST(:page AS tid) AND ctid < CAST(:next AS tid)")
    with engine.connect() as connection:
        pages = connection.scalar(size, {"table": f"{NAMESPACE}.{table}"}) or 0
    for page in range(pages):
        of_page = query.where(there.bindparams(page=f"({page},0)", next=f"({page + 1},0)"))
        with suppress(Damaged), readable(), engine.connect() as connection:
            yield from list(connection.scalars(of_page))
