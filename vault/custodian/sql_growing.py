"""Whether a custodian's tables in PostgreSQL still take rows, and give those that come before their head: a page that
cannot be read, and on which nothing is missed any more, may be the one that the next row would be stored on, or entered
in an index on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import shake_256
from typing import Any

from sqlalchemy import Engine, Table, insert, select

from audit.log.encoding import MAX_NUMBER
from audit.log.merkle import leaf_hash
from audit.log.tiles import WIDTH
from vault.custodian.pages import by_index, end_by_index, readable
from vault.custodian.rows import read_row
from vault.custodian.schema import brought, entry, head, mended, node, observed, published
from vault.custodian.storage import Damaged, Mendable, Store, Truth
from vault.custodian.stored import staged_leaves

HASH = bytes(32)
LONG = shake_256(b"psephos/v1 row that is not kept").digest(6000)
"""What does not become short by compression, so that it is stored apart from its row, as long values are."""

# Above all numbers that there are: the indexes enter it where the next one of the log comes.
ROWS: tuple[tuple[Table, dict[str, Any]], ...] = (
    (entry, {"index": MAX_NUMBER, "leaf": HASH, "data": LONG}),
    (node, {"level": 1, "index": MAX_NUMBER, "hash": HASH}),
    (
        head,
        {
            "size": MAX_NUMBER,
            "old_size": MAX_NUMBER - 1,
            "root": HASH,
            "frontier": b"",
            "note": LONG,
            "time": MAX_NUMBER,
        },
    ),
    (published, {"size": MAX_NUMBER, "note": LONG}),
    (
        observed,
        {"line": "", "size": MAX_NUMBER, "old_size": MAX_NUMBER - 1, "root": HASH, "note": LONG, "time": MAX_NUMBER},
    ),
    (brought, {"line": "", "index": MAX_NUMBER, "leaf": HASH, "data": LONG}),
    (mended, {"kind": "entry", "level": 0, "number": MAX_NUMBER, "attempt": 0, "data": LONG}),
)


def check_growing(engine: Engine, origin: str) -> None:
    """Damaged, with its name, if a table takes no further row of a log; what this stores is taken back."""
    for table, row in ROWS:
        try:
            # Without a commit: nobody ever sees the row.
            with readable(), engine.connect() as connection:
                connection.execute(insert(table).values(origin=origin, **row))
        except Damaged:
            raise Damaged(f"the table {table.name} takes no further row, for a page of it cannot be read") from None


def ahead(store: Store, engine: Engine, origin: str, size: int) -> Iterator[tuple[str, int, bool]]:
    """As `Mendable.ahead`: what each start and each append reads of the rows beyond `size` entries."""
    yield "keeper", size, _can_be_read(store.keeper, origin)
    yield "time", size, _can_be_read(store.last_time)
    yield "follows", size, _can_be_read(_followed, engine, origin, size)
    yield "observed", size, _can_be_read(store.observed, origin)
    with suppress(Damaged):
        # What came under a head since the examination began is the next one's.
        size = max(size, store.newest(origin).size)
    end = _staged(store, engine, origin, size)
    for start in range(size, end, WIDTH):
        yield "staged", start, _can_be_read(staged_leaves, store, origin, start, min(start + WIDTH, end))


def right_staged(store: Mendable, engine: Engine, origin: str, start: int, truth: Truth) -> Iterator[tuple[int, bytes]]:
    """Of a bundle of staged entries that begins with `start` the right ones, by number, for those that are not as they
    were stored. Damaged if one that is differs from `truth`, too: somebody has signed two trees.
    """
    end = min(start + WIDTH, _staged(store, engine, origin, start))
    for place, data in enumerate(truth(start, end), start):
        row = read_row(store, origin, place)
        if row.data is None or row.leaf != leaf_hash(row.data):
            yield place, data
        elif row.data != data:
            raise Damaged(f"entry {place}, which was staged, is another than a peer proves: keep both as they are")


def _staged(store: Store, engine: Engine, origin: str, size: int) -> int:
    """As `Store.staged`, where there are more than `size`, also if the last one cannot be read."""
    try:
        return store.staged(origin)
    except Damaged:
        return end_by_index(engine, select(entry.c.index).where(entry.c.origin == origin), entry.c.index, size)


def _followed(engine: Engine, origin: str, size: int) -> bool:
    """Whether a head follows the one of `size` entries, by the index that keeps a second one from it."""
    with by_index(engine) as connection:
        query = select(head.c.old_size).where(head.c.origin == origin, head.c.old_size == size)
        return connection.execute(query).first() is not None


def _can_be_read(read: Callable[..., object], *of: object) -> bool:
    try:
        read(*of)
    except Damaged:
        return False
    return True
