"""What a custodian knows of a log ahead of what it holds, in PostgreSQL: heads that were seen, and entries that were
brought before their head. Both are kept by the line of trees they are of, so that one line never stands in the way of
another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import Column, Connection, Engine, Row, Select, insert, literal, select, text
from sqlalchemy.exc import IntegrityError

from vault.custodian.cluster import SAFE, check_session, check_settings, check_stored
from vault.custodian.cosign import EMPTY, Head
from vault.custodian.pages import first_row, readable, rows_of
from vault.custodian.schema import brought, observed
from vault.custodian.storage import Overtaken

FIELDS = ("old_size", "size", "root", "frontier", "note", "time")
"""Of a head, as its columns are named."""
AGAINST = "against-"
"""Before the line of a head by which the log contradicts itself, which is none of those that were seen to follow."""
_SEEN = tuple(observed.c[name] if name != "frontier" else literal(b"").label(name) for name in FIELDS)


class RowsAhead:
    """The part of a `storage.Store` that is about what comes before its head."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # Each read is one statement: it needs no transaction around it, and saves the way to the server and back.
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")

    def brought(self, origin: str, line: str) -> int:
        """The end of what was brought in a line, 0 if nothing was."""
        query = select(brought.c.index).where(brought.c.origin == origin, brought.c.line == line)
        row = first_row(self._engine, query.order_by(brought.c.index.desc()))
        return 0 if row is None else row[0] + 1

    def bring(self, origin: str, line: str, start: int, leaves: Sequence[bytes], entries: Sequence[bytes]) -> None:
        """Stores entries apart from all others. Overtaken if there is one at `start` already."""
        with self._adding(origin) as connection:
            done = connection.execute(_BRING, placed(start, leaves, entries) | {"origin": origin, "line": line})
            check_stored(done, len(entries))

    def brought_hashes(self, origin: str, line: str, start: int, end: int) -> list[bytes]:
        """The leaf hashes of what was brought of [start, end)."""
        return self._brought(brought.c.leaf, origin, line, start, end)

    def brought_entries(self, origin: str, line: str, start: int, end: int) -> list[bytes]:
        """What was brought of the entries [start, end)."""
        return self._brought(brought.c.data, origin, line, start, end)

    def observed(self, origin: str, line: str | None = None, most: int | None = None) -> Head:
        """The largest tree whose head was seen here."""
        query = select(*_SEEN).where(observed.c.origin == origin)
        query = query.where(~observed.c.line.startswith(AGAINST) if line is None else observed.c.line == line)
        query = query if most is None else query.where(observed.c.size <= most)
        return self._head(query.order_by(observed.c.size.desc())) or EMPTY

    def observed_beyond(self, origin: str, size: int, most: int) -> list[Head]:
        """Of each line the largest tree of more than `size` and at most `most` entries whose head was seen here."""
        query = select(observed.c.line, *_SEEN).where(observed.c.origin == origin)
        query = query.where(~observed.c.line.startswith(AGAINST), observed.c.size > size, observed.c.size <= most)
        rows = rows_of(self._engine, query.order_by(observed.c.size))
        return [head_of(row) for row in {row.line: row for row in rows}.values()]

    def observe(self, origin: str, line: str, new: Head) -> None:
        """Stores a head that was seen. Overtaken if the old size has been continued in this line already."""
        fields = {name: getattr(new, name) for name in FIELDS if name != "frontier"}
        with self._adding(origin) as connection:
            check_stored(connection.execute(insert(observed).values(origin=origin, line=line, **fields)), 1)

    def contradict(self, origin: str, line: str, other: Head) -> None:
        """Stores the head by which the log contradicts itself. Overtaken if there is one of this line already."""
        # Of one line only one follows no size.
        self.observe(origin, AGAINST + line, replace(other, old_size=-1))

    def contradicted(self, origin: str, line: str) -> Head | None:
        """The head by which the log contradicts itself in a line, None if none was stored."""
        query = select(*_SEEN).where(observed.c.origin == origin, observed.c.line == AGAINST + line)
        return self._head(query)

    def _brought(self, column: Column[Any], origin: str, line: str, start: int, end: int) -> list[bytes]:
        query = select(column).where(brought.c.origin == origin, brought.c.line == line)
        query = query.where(brought.c.index >= start, brought.c.index < end).order_by(brought.c.index)
        with readable(), self._reading.connect() as connection:
            return [bytes(value) for value in connection.scalars(query)]

    def _head(self, query: Select[Any]) -> Head | None:
        row = first_row(self._engine, query)
        return head_of(row) if row else None

    @contextmanager
    def _adding(self, origin: str) -> Iterator[Connection]:
        """A transaction that is on disk when the block has been left. Overtaken if another has taken its place; Damaged
        if a row would come to stand on a page that cannot be read.
        """
        try:
            with readable(), self._engine.begin() as connection:
                # Whatever the role or the cluster is set to: the commit waits for the disk.
                connection.execute(text("SET LOCAL synchronous_commit TO on"))
                # A cluster may be set otherwise while it runs.
                check_settings(connection, *SAFE)
                # For `check_stored`.
                yield connection.execution_options(preserve_rowcount=True)
                # What has run at a row could have undone the first: nothing of it is kept then.
                check_session(connection)
        except IntegrityError:
            raise Overtaken(origin) from None


def head_of(row: Row[Any]) -> Head:
    return Head(row.old_size, row.size, bytes(row.root), bytes(row.frontier), bytes(row.note), row.time)


# One statement for all of them: row by row, or as so many parameters, they would take thrice the time.
_ROWS = """
    FROM unnest(CAST(:places AS bigint[]), CAST(:leaves AS bytea[]), CAST(:entries AS bytea[]))
    AS row (place, leaf, data)
"""
_INSERT = text(f"INSERT INTO public.entry (origin, index, leaf, data) SELECT :origin, place, leaf, data {_ROWS}")
_BRING = text(
    f"INSERT INTO public.brought (origin, line, index, leaf, data) SELECT :origin, :line, place, leaf, data {_ROWS}"
)
_KEEP = text("""
    INSERT INTO public.entry (origin, index, leaf, data) SELECT origin, index, leaf, data FROM public.brought
    WHERE origin = :origin AND line = :line AND index >= :start AND index < :end
""")


def placed(start: int, leaves: Sequence[bytes], entries: Sequence[bytes]) -> dict[str, list[Any]]:
    """The rows of these entries, as parameters."""
    if len(leaves) != len(entries):
        raise ValueError("every entry has one leaf hash")
    places = list(range(start, start + len(entries)))
    return {"places": places, "leaves": list(leaves), "entries": list(entries)}


def insert_entries(
    connection: Connection, origin: str, start: int, leaves: Sequence[bytes], entries: Sequence[bytes]
) -> None:
    values = placed(start, leaves, entries)
    if entries:
        check_stored(connection.execute(_INSERT, values | {"origin": origin}), len(entries))


def keep_brought(connection: Connection, origin: str, line: str, start: int, end: int) -> None:
    """Makes what was brought of [start, end) entries like all others."""
    if start < end:
        done = connection.execute(_KEEP, {"origin": origin, "line": line, "start": start, "end": end})
        check_stored(done, end - start)
