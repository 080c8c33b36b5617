"""Whether the tables of `infra.seen` hold what follows from the log, no row less and none more.

They are kept in the transactions that move a service forward in the log, so they cannot differ, unless somebody has
restored one table without the others, or changed a row. Compared are sums over hashes of the rows, which need no order
and, but for one hash a pseudonym, no memory. They find damage; against who forges rows to a given sum they prove
nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, Table, select

from audit.record.entries import Entry
from infra.seen import PAGE, latest, metadata, recorded, refused, rows_of, write

COLUMNS: dict[Table, tuple[str, ...]] = {
    recorded: ("identity", "intake"),
    refused: ("identity", "intake", "leaf"),
    latest: ("pseudonym", "revision", "ballot"),
}
MODULUS = 2**256


class Expected:
    """What the tables must hold after the entries that were added, in the log's order."""

    def __init__(self) -> None:
        self._sums = dict.fromkeys(metadata.sorted_tables, 0)
        self._latest: dict[bytes, int] = {}

    def add(self, entry: Entry) -> None:
        for table, row in rows_of(entry):
            self._add(table, _hash(row[name] for name in COLUMNS[table]))
        if entry.kind == "ballot":
            pseudonym = entry.fields["pseudonym"]
            new = _hash((pseudonym, entry.fields["revision"], entry.raw))
            self._add(latest, new - self._latest.get(pseudonym, 0))
            self._latest[pseudonym] = new

    def differing(self, connection: Connection, origin: str) -> list[str]:
        """The names of the tables whose rows for this log are others."""
        return [table.name for table, wanted in self._sums.items() if _sum(connection, table, origin) != wanted]

    def _add(self, table: Table, value: int) -> None:
        self._sums[table] = (self._sums[table] + value) % MODULUS


def rebuild(connection: Connection, origin: str, entries: Iterable[Entry]) -> None:
    """Adds the rows that are missing, in the caller's transaction. Rows that are too many stay: the role that may take
    them away is the owner's.
    """
    page: list[Entry] = []
    for entry in entries:
        page.append(entry)
        if len(page) == PAGE:
            write(connection, origin, page)
            page = []
    write(connection, origin, page)


def _sum(connection: Connection, table: Table, origin: str) -> int:
    return sum(_hash(row) for row in _rows(connection, table, origin)) % MODULUS


def _rows(connection: Connection, table: Table, origin: str) -> Iterator[tuple[Any, ...]]:
    query: Any = select(*(table.c[name] for name in COLUMNS[table])).where(table.c.origin == origin)
    for row in connection.execute(query, execution_options={"yield_per": PAGE}):
        yield tuple(row)


def _hash(row: Iterable[Any]) -> int:
    digest = hashlib.sha256()
    for value in row:
        data = value if isinstance(value, bytes) else str(value).encode()
        digest.update(len(data).to_bytes(4, "big") + data)
    return int.from_bytes(digest.digest(), "big")
