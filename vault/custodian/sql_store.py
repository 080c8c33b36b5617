"""What a custodian holds, in PostgreSQL, through a role that can only add to it.

An append is one transaction: entries, the hashes of tiles that became full, and the head. A crash leaves all of it or
none, and nothing has been cosigned before the commit is on disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, func, insert, literal, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError

from audit.log.merkle import CompactRange
from audit.log.tiles import WIDTH
from infra import failpoints
from vault.custodian.cosign import EMPTY, Head
from vault.custodian.nodes import completed
from vault.custodian.schema import IS_REKEY, entry, head, node, observed, published
from vault.custodian.storage import Overtaken, Unsafe


class SqlStore:
    """The tables of one custodian, for all logs it keeps: a `storage.Store`. Methods raise SQLAlchemyError when the
    database cannot be used.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def check_safe(self) -> None:
        """Unsafe unless the cluster writes through to disk and checks every page it reads."""
        with self._engine.connect() as connection:
            for setting in ("fsync", "full_page_writes", "data_checksums"):
                if connection.scalar(select(func.current_setting(setting))) != "on":
                    raise Unsafe(f"the database runs with {setting} off: a custodian must not vouch for what it holds")

    def newest(self, origin: str) -> Head:
        """The head with the most entries; of a log that has none yet, the empty tree's."""
        query = select(*_HEAD).where(head.c.origin == origin).order_by(head.c.size.desc()).limit(1)
        return self._head(query) or EMPTY

    def head_at(self, origin: str, size: int) -> Head | None:
        """The head of exactly this size, None if there is none."""
        return self._head(select(*_HEAD).where(head.c.origin == origin, head.c.size == size))

    def last_time(self) -> int:
        """The latest time ever cosigned, over all logs (POSIX seconds); 0 if none was."""
        newest = [select(t.c.time).order_by(t.c.time.desc()).limit(1) for t in (head, observed)]
        with self._engine.connect() as connection:
            return max(connection.scalar(query) or 0 for query in newest)

    def append(self, origin: str, new: Head, leaves: Sequence[bytes], entries: Sequence[bytes]) -> None:
        """Stores head and entries.

        When it returns they are on disk. Overtaken if the old size has been continued already.
        """
        with self._adding(origin) as connection:
            connection.execute(insert(head).values(origin=origin, **{name: getattr(new, name) for name in _FIELDS}))
            insert_entries(connection, origin, new.size - len(entries), leaves, entries)
            complete_nodes(connection, origin, new.old_size, new.size)
            failpoints.at("custodian.committing")

    def rekeys(self, origin: str) -> list[int]:
        """The numbers of the entries that are rekeys, by the index over these alone."""
        query = select(entry.c.index).where(entry.c.origin == origin, IS_REKEY).order_by(entry.c.index)
        with self._engine.connect() as connection:
            return list(connection.scalars(query))

    def staged(self, origin: str) -> int:
        """How many entries are stored, those included that no head covers yet."""
        query = select(entry.c.index).where(entry.c.origin == origin).order_by(entry.c.index.desc()).limit(1)
        with self._engine.connect() as connection:
            last = connection.scalar(query)
        return 0 if last is None else last + 1

    def stage(self, origin: str, start: int, leaves: Sequence[bytes], entries: Sequence[bytes]) -> None:
        """Stores entries ahead of their head. Overtaken if there is an entry at `start` already."""
        with self._adding(origin) as connection:
            insert_entries(connection, origin, start, leaves, entries)

    def observed(self, origin: str) -> Head:
        """The largest tree whose head was seen here."""
        query = select(*_SEEN).where(observed.c.origin == origin).order_by(observed.c.size.desc()).limit(1)
        return self._head(query) or EMPTY

    def observed_at(self, origin: str, size: int) -> Head | None:
        """The observed head of exactly this size, None if there is none."""
        return self._head(select(*_SEEN).where(observed.c.origin == origin, observed.c.size == size))

    def observe(self, origin: str, new: Head) -> None:
        """Stores a head that was seen. Overtaken if the old size has been continued already."""
        fields = {name: getattr(new, name) for name in _FIELDS if name != "frontier"}
        with self._adding(origin) as connection:
            connection.execute(insert(observed).values(origin=origin, **fields))

    @contextmanager
    def _adding(self, origin: str) -> Iterator[Connection]:
        """A transaction that is on disk when the block has been left. Overtaken if another has taken its place."""
        try:
            with self._engine.begin() as connection:
                # Whatever the role or the cluster is set to: the commit waits for the disk.
                connection.execute(text("SET LOCAL synchronous_commit TO on"))
                yield connection
        except IntegrityError:
            raise Overtaken(origin) from None

    def published(self, origin: str) -> tuple[int, bytes]:
        """Size and note of the newest published checkpoint; (0, b"") if there is none."""
        query = (
            select(published.c.size, published.c.note)
            .where(published.c.origin == origin)
            .order_by(published.c.size.desc())
            .limit(1)
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return (row.size, bytes(row.note)) if row else (0, b"")

    def publish(self, origin: str, size: int, note: bytes) -> None:
        """Stores a published checkpoint. The first one of a size stands: another only bears more cosignatures."""
        with self._adding(origin) as connection:
            connection.execute(upsert(published).values(origin=origin, size=size, note=note).on_conflict_do_nothing())

    def hashes(self, origin: str, level: int, start: int, end: int) -> list[bytes]:
        """The 32-byte hashes [start, end) of a tile level: leaf hashes at 0, roots of full tiles of the level below
        above it.
        """
        with self._engine.connect() as connection:
            return tile_hashes(connection, origin, level, start, end)

    def entries(self, origin: str, start: int, end: int) -> list[bytes]:
        """The entries [start, end)."""
        query = (
            select(entry.c.data)
            .where(entry.c.origin == origin, entry.c.index >= start, entry.c.index < end)
            .order_by(entry.c.index)
        )
        with self._engine.connect() as connection:
            return [bytes(data) for data in connection.scalars(query)]

    def _head(self, query: Select[Any]) -> Head | None:
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return head_of(row) if row else None


_HEAD = (head.c.old_size, head.c.size, head.c.root, head.c.frontier, head.c.note, head.c.time)
_FIELDS = tuple(column.name for column in _HEAD)
_SEEN = tuple(observed.c[name] if name != "frontier" else literal(b"").label(name) for name in _FIELDS)


def head_of(row: Row[Any]) -> Head:
    return Head(row.old_size, row.size, bytes(row.root), bytes(row.frontier), bytes(row.note), row.time)


def insert_entries(
    connection: Connection, origin: str, start: int, leaves: Sequence[bytes], entries: Sequence[bytes]
) -> None:
    rows = [
        {"origin": origin, "index": index, "leaf": leaf, "data": data}
        for index, (leaf, data) in enumerate(zip(leaves, entries, strict=True), start)
    ]
    if rows:
        connection.execute(insert(entry), rows)


def complete_nodes(connection: Connection, origin: str, old_size: int, size: int) -> None:
    """Stores the root of every tile that became full between the two sizes, lowest level first."""
    for level, index in completed(old_size, size):
        tile = CompactRange()
        tile.extend(tile_hashes(connection, origin, level - 1, index * WIDTH, (index + 1) * WIDTH))
        connection.execute(insert(node).values(origin=origin, level=level, index=index, hash=tile.root()))


def tile_hashes(connection: Connection, origin: str, level: int, start: int, end: int) -> list[bytes]:
    table, value = (entry, entry.c.leaf) if level == 0 else (node, node.c.hash)
    query = select(value).where(table.c.origin == origin, table.c.index >= start, table.c.index < end)
    if level:
        query = query.where(node.c.level == level)
    return [bytes(row) for row in connection.scalars(query.order_by(table.c.index))]
