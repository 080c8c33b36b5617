"""What a custodian holds, in PostgreSQL, through a role that can only add to it.

An append is one transaction: entries, the hashes of tiles that became full, and the head. A crash leaves all of it or
none, and nothing has been cosigned before the commit is on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Column, Select, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import DataError

from audit.log.encoding import MAX_NUMBER
from audit.log.merkle import leaf_hash
from infra import failpoints
from vault.custodian.cluster import HIDING, SAFE, check_guard, check_role, check_searched, check_settings, check_stored
from vault.custodian.cosign import EMPTY, Head
from vault.custodian.mended import (
    ENTRY,
    HEAD,
    NODE,
    PUBLISHED,
    any_repairs,
    last_repair,
    looked_up,
    mend,
    pack,
    readable_repairs,
    repaired_after,
    repaired_entries,
    repairs,
    unpack,
)
from vault.custodian.nodes import new_nodes
from vault.custodian.pages import by_index, first_row, numbers_by_index, on_readable_pages, readable, rows_of
from vault.custodian.schema import IS_REKEY, entry, head, keeps, node, observed, published
from vault.custodian.sql_ahead import FIELDS, RowsAhead, insert_entries, keep_brought
from vault.custodian.sql_growing import ahead, check_growing, right_staged
from vault.custodian.storage import Damaged, DamagedCheckpoint, Overtaken, Truth

PAGE = 1024
"""Heads read at a time."""


class SqlStore(RowsAhead):
    """The tables of one custodian, for all logs it keeps: a `storage.Store`. Methods raise SQLAlchemyError when the
    database cannot be used.
    """

    def __str__(self) -> str:
        return f"the database {self._engine.url.database}"

    def keep(self, origin: str, keeper: str) -> bool:
        """Notes that the custodian of this name keeps a log here; False if one does already."""
        try:
            with self._adding(origin) as connection:
                check_stored(connection.execute(insert(keeps).values(origin=origin, keeper=keeper)), 1)
        except Overtaken:
            return False
        return True

    def keeper(self, origin: str) -> str | None:
        """The name of the custodian that keeps a log here, None if none was noted. Damaged if it cannot be read."""
        try:
            row = first_row(self._engine, select(keeps.c.keeper).where(keeps.c.origin == origin))
        except Damaged:
            text = f"{self}: the table keeps, which says who keeps {origin} there, cannot be read"
            raise Damaged(f"{text}: rebuild this custodian from its peers, in another database") from None
        return None if row is None else row.keeper

    def check_safe(self) -> None:
        """Unsafe unless the cluster writes through to disk and checks every page it reads, this role only adds, and the
        tables are guarded.
        """
        with self._reading.connect() as connection:
            check_settings(connection, *SAFE)
            check_settings(connection, *HIDING, want="off")
            check_role(connection)
            check_guard(connection)
            check_searched(connection)

    def newest(self, origin: str) -> Head:
        """The head with the most entries; of a log that has none yet, the empty tree's."""
        stored = self._head(select(*_HEAD).where(head.c.origin == origin).order_by(head.c.size.desc())) or EMPTY
        repair = self._repaired_head(origin) or EMPTY
        return stored if stored.size > repair.size else repair

    def head_at(self, origin: str, size: int) -> Head | None:
        """The head of exactly this size, None if there is none."""
        query = select(*_HEAD).where(head.c.origin == origin, head.c.size == size)
        return self._repaired_head(origin, size) or self._head(query)

    def head_after(self, origin: str, size: int) -> Head | None:
        """The head that follows the one of `size` entries, None if there is none."""
        stored = select(head.c.size).where(head.c.origin == origin, head.c.size > size)
        queries = (stored.order_by(head.c.size), repaired_after(origin, HEAD, size).order_by("size"))
        rows = [first_row(self._engine, query) for query in queries]
        following = min((row.size for row in rows if row), default=None)
        return None if following is None else self.head_at(origin, following)

    def heads(self, origin: str) -> Iterator[int]:
        """The sizes of all heads, ascending, but for those on a page that cannot be read."""
        at = 0
        while True:
            stored = select(head.c.size).where(head.c.origin == origin, head.c.size > at)
            repaired = repaired_after(origin, HEAD, at)
            try:
                with readable(), self._reading.connect() as connection:
                    # Each with a limit of its own: else all that follow would be sorted for every page.
                    first = connection.scalars(stored.order_by(head.c.size).limit(PAGE))
                    again = connection.scalars(repaired.distinct().order_by("size").limit(PAGE))
                    sizes = sorted({*first, *again})[:PAGE]
            except Damaged:
                sizes = []
                with suppress(Damaged):
                    sizes = [row.size for row in rows_of(self._engine, repaired)]
                yield from sorted({*sizes, *on_readable_pages(self._reading, "head", stored)})
                return
            if not sizes:
                return
            yield from sizes
            at = sizes[-1]

    def last_time(self) -> int:
        """The latest time ever cosigned, over all logs (POSIX seconds); 0 if none was."""
        newest = [select(t.c.time).order_by(t.c.time.desc()) for t in (head, observed)]
        rows = [first_row(self._engine, query) for query in newest]
        return max(row.time if row else 0 for row in rows)

    def append(
        self, origin: str, new: Head, leaves: Sequence[bytes], entries: Sequence[bytes], line: str | None = None
    ) -> None:
        """Stores head and entries, those brought in `line` as rows like all others.

        When it returns they are on disk. Overtaken if the old size has been continued already.
        """
        first = new.size - len(entries)
        held = self.head_at(origin, new.old_size) or EMPTY
        start = first if line is None else max(self.staged(origin), new.old_size)

        def hashes(level: int, at: int, end: int) -> list[bytes]:
            if level or line is None or end <= start:
                return self.hashes(origin, level, at, end)
            known = self.hashes(origin, 0, at, start) if at < start else []
            return known + self.brought_hashes(origin, line, max(at, start), end)

        made = new_nodes(hashes, held.frontier, new, first, leaves)
        nodes = [{"origin": origin, "level": k, "index": i, "hash": value} for (k, i), value in made.items()]
        with self._adding(origin) as connection:
            row = {"origin": origin, **{name: getattr(new, name) for name in FIELDS}}
            check_stored(connection.execute(insert(head).values(row)), 1)
            if line is not None:
                keep_brought(connection, origin, line, start, first)
            insert_entries(connection, origin, first, leaves, entries)
            if nodes:
                check_stored(connection.execute(insert(node), nodes), len(nodes))
            failpoints.at("custodian.committing")

    def rekeys(self, origin: str) -> list[int]:
        """The numbers of the entries that are rekeys, by the index over these alone, which has also those that cannot
        be read, and of what was repaired. Damaged if that index cannot be read.
        """
        stored = select(entry.c.index).where(entry.c.origin == origin, IS_REKEY)
        repaired: dict[int, bool] = {}
        with suppress(Damaged):
            repaired = looked_up(self._engine, lambda connection: repaired_entries(connection, origin))
        found = {number for number, is_rekey in repaired.items() if is_rekey}
        with suppress(Damaged), readable(), self._reading.connect() as connection:
            return sorted({*connection.scalars(stored), *found})
        for start, end in unrepaired(0, MAX_NUMBER, repaired):
            found.update(numbers_by_index(self._engine, stored, entry.c.index, start, end))
        return sorted(found)

    def staged(self, origin: str) -> int:
        """How many entries are stored, those included that no head covers yet. Damaged if the last one cannot be read,
        and was not repaired either.
        """
        query = select(entry.c.index).where(entry.c.origin == origin).order_by(entry.c.index.desc())
        repair = None
        try:
            last = first_row(self._engine, query)
        except Damaged:
            repair = looked_up(self._engine, lambda connection: last_repair(connection, origin, ENTRY))
            if repair is None:
                raise
            last = first_row(self._engine, query.where(entry.c.index > repair[0]))
        found = last or repair
        return 0 if found is None else found[0] + 1

    def stage(self, origin: str, start: int, leaves: Sequence[bytes], entries: Sequence[bytes]) -> None:
        """Stores entries ahead of their head. Overtaken if there is an entry at `start` already."""
        with self._adding(origin) as connection:
            insert_entries(connection, origin, start, leaves, entries)

    def published(self, origin: str, below: int | None = None) -> tuple[int, bytes]:
        """Size and note of the newest published checkpoint, or of the newest of fewer than `below` entries; (0, b"") if
        there is none. DamagedCheckpoint for one on a page that cannot be read.
        """
        found = None
        # What was repaired and cannot be read is as damaged as before.
        with suppress(Damaged):
            found = looked_up(self._engine, lambda connection: last_repair(connection, origin, PUBLISHED, below=below))
        repair = found or (0, b"")
        query = select(published.c.size, published.c.note).where(published.c.origin == origin)
        query = query if below is None else query.where(published.c.size < below)
        try:
            row = first_row(self._engine, query.order_by(published.c.size.desc()))
        except Damaged as error:
            size = self._unreadable_published(origin, below)
            if repair[0] < size:
                raise DamagedCheckpoint(str(error), size) from None
            return repair
        return repair if row is None or row.size <= repair[0] else (row.size, bytes(row.note))

    def _unreadable_published(self, origin: str, below: int | None) -> int:
        """The size of the newest published checkpoint that cannot be read: one of the heads' sizes, as all of them.
        Damaged if the heads cannot be read either.
        """
        note = select(published.c.note).where(published.c.origin == origin)
        sizes = select(head.c.size).where(head.c.origin == origin).order_by(head.c.size.desc())
        while row := first_row(self._engine, sizes if below is None else sizes.where(head.c.size < below)):
            below = row.size
            try:
                first_row(self._engine, note.where(published.c.size == below))
            except Damaged:
                return below
        raise Damaged("a page of the published checkpoints cannot be read")

    def publish(self, origin: str, size: int, note: bytes) -> None:
        """Stores a published checkpoint. The first one of a size stands: another only bears more cosignatures."""
        with self._adding(origin) as connection:
            row = upsert(published).values(origin=origin, size=size, note=note)
            done = connection.execute(row.on_conflict_do_nothing())
            there = select(published.c.size).where(published.c.origin == origin, published.c.size == size)
            if not done.rowcount and connection.scalar(there) is None:
                check_stored(done, 1)

    def hashes(self, origin: str, level: int, start: int, end: int) -> list[bytes]:
        """The 32-byte hashes [start, end) of a tile level: leaf hashes at 0, roots of full tiles of the level below
        above it.
        """
        if level:
            query = select(node.c.index, node.c.hash).where(node.c.origin == origin, node.c.level == level)
            return self._rows(origin, NODE, level, start, end, query, node.c.index)
        query = select(entry.c.index, entry.c.leaf).where(entry.c.origin == origin)
        return self._rows(origin, ENTRY, 0, start, end, query, entry.c.index, leaf_hash)

    def entries(self, origin: str, start: int, end: int) -> list[bytes]:
        """The entries [start, end), fewer if not all are stored. Damaged if one is on a page that cannot be read."""
        query = select(entry.c.index, entry.c.data).where(entry.c.origin == origin)
        return self._rows(origin, ENTRY, 0, start, end, query, entry.c.index)

    def mend_entry(self, origin: str, index: int, truth: Truth) -> None:
        """Stores the right bytes of an entry beside what is there; `truth(start, end)` gives the right entries."""
        (data,) = truth(index, index + 1)
        self._mend(origin, ENTRY, 0, index, data)

    def mend_node(self, origin: str, level: int, index: int, truth: bytes) -> None:
        """Stores the right hash of a tile level, 1 and above, beside what is there."""
        self._mend(origin, NODE, level, index, truth)

    def mend_head(self, origin: str, truth: Head, entries: Truth) -> None:
        """Stores the right head of a size beside what is there."""
        self._mend(origin, HEAD, 0, truth.size, pack(truth))

    def mend_published(self, origin: str, size: int, note: bytes) -> None:
        """Stores the right published checkpoint of a size beside what is there."""
        self._mend(origin, PUBLISHED, 0, size, note)

    def check_growing(self, origin: str) -> None:
        """Damaged if a table takes no further row."""
        check_growing(self._engine, origin)

    def ahead(self, origin: str, size: int) -> Iterator[tuple[str, int, bool]]:
        """The largest head that was seen, and what is staged. What was brought hinders nothing but uploads."""
        return ahead(self, self._engine, origin, size)

    def mend_ahead(self, origin: str, kind: str, number: int, truth: Truth) -> str:
        """Stores the right bytes of staged entries beside those that are not as they were stored. Damaged for a head
        that was seen: rows stay.
        """
        if kind != "staged":
            text = f"{self} takes no row away, and what is read for each append cannot be read ({kind} {number})"
            raise Damaged(f"{text}; rebuild this custodian from its peers")
        for place, data in right_staged(self, self._engine, origin, number, truth):
            self._mend(origin, ENTRY, 0, place, data)
        return "mended from a peer"

    def _mend(self, origin: str, kind: str, level: int, number: int, data: bytes) -> None:
        try:
            with self._adding(origin) as connection:
                mend(connection, origin, kind, level, number, data)
                failpoints.at("scrub.mending")
        except DataError:
            # Who has the service's role can have used up all attempts.
            raise Damaged(f"{kind} {number} was mended too often, and not by a scrub: see who has the role") from None

    def _rows(
        self,
        origin: str,
        kind: str,
        level: int,
        start: int,
        end: int,
        query: Select[Any],
        number: Column[Any],
        of: Callable[[bytes], bytes] = bytes,
    ) -> list[bytes]:
        """The values of the rows [start, end) of a query, what was repaired in the place of what is damaged."""
        repaired: dict[int, bytes] = {}
        try:
            with readable(), self._reading.connect() as connection:
                if any_repairs(connection, origin):
                    repaired = repairs(connection, origin, kind, level, start, end)
                if not repaired:
                    rows = connection.execute(query.where(number >= start, number < end).order_by(number))
                    return [bytes(value) for _, value in rows]
        except Damaged:
            repaired = readable_repairs(self._engine, origin, kind, level, start, end)
        found = {place: of(data) for place, data in repaired.items()}
        for first, last in unrepaired(start, end, found):
            with by_index(self._engine) as connection:
                rows = connection.execute(query.where(number >= first, number < last))
                found |= {place: bytes(value) for place, value in rows}
        return [found[place] for place in sorted(found)]

    def _repaired_head(self, origin: str, size: int | None = None) -> Head | None:
        """The repair of a head, of the largest that was repaired if `size` is not given."""
        repair = looked_up(self._engine, lambda connection: last_repair(connection, origin, HEAD, size))
        return None if repair is None else unpack(repair[1])


_HEAD = tuple(head.c[name] for name in FIELDS)


def unrepaired(start: int, end: int, repaired: Mapping[int, object]) -> Iterator[tuple[int, int]]:
    """The runs of places in [start, end) that were not repaired."""
    for place in [*sorted(repaired), end]:
        if start < place:
            yield start, place
        start = place + 1
