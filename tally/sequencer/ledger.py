"""What the sequencer keeps in PostgreSQL: every entry in its place, every stage, its signatures and its cosignatures.

A stage is on disk before it is signed, its signature before it is pushed, its cosignatures before it is published: so a
restart goes on from what is written here, and never says a second thing about a size. The index over the log moves with
the signature: over what is only staged it says nothing, so that can still be judged as if it had just come.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, Row, Select, Table, func, insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError, InternalError, OperationalError

from audit.log.checkpoint import Checkpoint
from audit.log.merkle import EMPTY_ROOT, CompactRange
from audit.record.entries import Entry, parse_entry
from infra import failpoints, log
from infra.bulk import insert_rows
from infra.seen import SqlSeen, write
from infra.seen_check import Expected, rebuild
from tally.sequencer import leading
from tally.sequencer.refused import keep
from tally.sequencer.schema import entry, signed, stage, witnessed

PAGE = 256
MOST_SIZE = (1 << 63) - 1
"""That the tables can hold."""
IDLE_TOO_LONG = "25P03"
"""The SQLSTATE of a transaction in which nothing was said for longer than `Transaction.hurry` allows."""


class Damaged(Exception):
    """The ledger's entries do not lead to the root it has committed to, or the index over them is another's."""


class Overtaken(Exception):
    """Another sequencer has continued the log from the same size: this one must end, whatever it holds in memory."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A tree that the log has committed to: entries [old_size, size), its root (32 bytes), its frontier at `size`."""

    old_size: int
    size: int
    root: bytes
    frontier: bytes

    def checkpoint(self, origin: str) -> Checkpoint:
        return Checkpoint(origin, self.size, self.root)


EMPTY = Stage(0, 0, EMPTY_ROOT, CompactRange().to_bytes())


class Transaction:
    """What is read, remembered and staged together, or not at all: on disk when `Ledger.begin` ends."""

    def __init__(self, connection: Connection, origin: str) -> None:
        self._connection, self._origin = connection, origin

    def seen(self) -> SqlSeen:
        """The index over what is signed; what is added to it within `with` is part of this transaction, and has to be
        signed in it.
        """
        return SqlSeen(self._connection, self._origin)

    def hurry(self) -> None:
        """From here on the server undoes all of it if nothing is said for as long as one that sequences may be silent:
        what is written next would hold up whoever takes over from one that is stopped.
        """
        _hurry(self._connection)

    @contextmanager
    def lasting(self, check: Callable[[], None]) -> Iterator[None]:
        """As `hurry`, for what may take long in the block, as waiting for custodians does: as long as this process runs
        and `check` does not raise, the server is told that it is not stopped.
        """
        self.hurry()
        # One of psycopg's, which gives each statement its turn, whichever thread it comes from.
        session, over = self._connection.connection.driver_connection, threading.Event()
        assert session is not None

        def speak() -> None:
            # Of a session that has ended, who writes next is told.
            with suppress(Exception):
                while not over.wait(leading.BEAT_SECONDS):
                    check()
                    session.execute("SELECT 1")

        thread = threading.Thread(target=speak, name="lasting", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def append(self, new: Stage, entries: Sequence[bytes]) -> None:
        """Stages up to 256 entries, which is what custodians take at once. Overtaken; ValueError for more, which none
        would ever sign.
        """
        if new.size - new.old_size > PAGE:
            raise ValueError(f"a stage of {new.size - new.old_size} entries is more than the {PAGE} of one append")
        row = {"old_size": new.old_size, "size": new.size, "root": new.root, "frontier": new.frontier}
        places = range(new.old_size, new.size)
        rows = [{"index": index, "data": data} for index, data in zip(places, entries, strict=True)]
        newest = select(func.coalesce(func.max(stage.c.size), 0)).where(stage.c.origin == self._origin)
        if self._connection.scalar(newest) != new.old_size:
            # Of who stages from the same size at the same time, the table itself sees to it.
            raise Overtaken(f"the ledger does not end at {new.old_size} entries: another sequencer has written to it")
        try:
            self._connection.execute(insert(stage).values(origin=self._origin, **row))
            insert_rows(self._connection, entry, self._origin, rows)
        except IntegrityError:
            raise Overtaken(f"the log has been continued from {new.old_size} entries by another sequencer") from None

    def keep(self, refused: Sequence[Entry]) -> None:
        """Keeps entries whose refusals are staged."""
        keep(self._connection, self._origin, refused)

    def sign(self, size: int, note: bytes) -> None:
        """Stores the log's note over a stage, unless there is one."""
        values = {"origin": self._origin, "size": size, "note": note}
        self._connection.execute(upsert(signed).values(values).on_conflict_do_nothing())


class Ledger:
    """The tables of one log. Methods raise SQLAlchemyError when the database cannot be used."""

    def __init__(self, engine: Engine, origin: str) -> None:
        self.engine = engine
        self.origin = origin

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        """A transaction; after the block, it is on disk. An exception undoes all of it."""
        with _begin(self.engine) as connection:
            yield Transaction(connection, self.origin)
            failpoints.at("sequencer.staging")

    @contextmanager
    def seen(self) -> Iterator[SqlSeen]:
        """The index over what is signed, to be read, and added to as entries are tried; nothing of that stays."""
        with self.engine.connect() as connection:
            yield SqlSeen(connection, self.origin, trial=True)

    def differing(self, expected_at: Callable[[Stage], Expected]) -> list[str]:
        """The names of the index's tables that do not hold what is expected at the newest stage that is signed: index
        and stage as they are in one moment, whatever is signed meanwhile.
        """
        with self.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
            return expected_at(_first(connection, self._newest_signed()) or EMPTY).differing(connection, self.origin)

    def fill_index(self) -> None:
        """Adds the rows of the index that are missing, from the entries under the newest stage that is signed."""
        with self._storing() as connection:
            newest = _first(connection, self._newest_signed()) or EMPTY
            rebuild(connection, self.origin, map(parse_entry, self.all_entries(newest.size)))

    def newest(self) -> Stage:
        """The stage with the most entries; the empty tree's if there is none."""
        return self._stage(self._newest()) or EMPTY

    def newest_signed(self) -> Stage:
        """The signed stage with the most entries; the empty tree's if there is none."""
        return self._stage(self._newest_signed()) or EMPTY

    def stage_up_to(self, size: int) -> Stage:
        """The largest stage of at most this size."""
        up_to = stage.c.origin == self.origin, stage.c.size <= size
        return self._stage(_STAGES.where(*up_to).order_by(stage.c.size.desc()).limit(1)) or EMPTY

    def stages(self, start: int, end: int) -> list[Stage]:
        """Those of more than `start` and at most `end` entries."""
        within = stage.c.origin == self.origin, stage.c.size > start, stage.c.size <= end
        with self.engine.connect() as connection:
            return list(map(_stage_of, connection.execute(_STAGES.where(*within))))

    def furthest(self, start: int, most: int) -> tuple[Stage, bytes] | None:
        """The largest signed stage that holds 1 to `most` entries beyond `start`, and the log's note over it."""
        found = self._stage(self._newest_signed().where(stage.c.size > start, stage.c.size <= start + most))
        note = self.signed(found.size) if found else None
        return (found, note) if found and note else None

    def signed(self, size: int) -> bytes | None:
        """The log's note over the stage of this size, None if it has not been signed."""
        return self._note(signed, size)

    def sign(self, size: int, note: bytes, entries: Sequence[Entry]) -> bytes:
        """Stores the log's note over a stage, and the index over what is signed with it: these, from the stage signed
        before on. Returns the note that stands: the first ever stored.
        """
        with self._storing() as connection:
            # The index follows the first alone: who comes late would set it back.
            if self._insert(connection, signed, size, note):
                write(connection, self.origin, entries)
        return self._standing(signed, size)

    def witnessed(self, size: int) -> bytes | None:
        """The note over this stage with W cosignatures, None if it has not come so far."""
        return self._note(witnessed, size)

    def witness(self, size: int, note: bytes) -> bytes:
        """Stores a note with W cosignatures and returns the one that stands."""
        with self._storing() as connection:
            self._insert(connection, witnessed, size, note)
        return self._standing(witnessed, size)

    def newest_witnessed(self, most: int = MOST_SIZE) -> tuple[int, bytes] | None:
        """Size and note of the largest tree that W custodians hold, of at most so many entries."""
        of_those = witnessed.c.origin == self.origin, witnessed.c.size <= most
        query = select(witnessed.c.size, witnessed.c.note).where(*of_those)
        with self.engine.connect() as connection:
            row = connection.execute(query.order_by(witnessed.c.size.desc()).limit(1)).first()
        return (row.size, bytes(row.note)) if row else None

    def entries(self, start: int, end: int) -> list[bytes]:
        """The entries [start, end)."""
        query = select(entry.c.data).where(entry.c.origin == self.origin, entry.c.index >= start, entry.c.index < end)
        with self.engine.connect() as connection:
            return [bytes(data) for data in connection.scalars(query.order_by(entry.c.index))]

    def all_entries(self, size: int | None = None, first: int = 0) -> Iterator[bytes]:
        """Every entry in order, or those [first, size), a page at a time."""
        size = self.newest().size if size is None else size
        for start in range(first, size, PAGE):
            yield from self.entries(start, min(start + PAGE, size))

    def _newest(self) -> Stages:
        return _STAGES.where(stage.c.origin == self.origin).order_by(stage.c.size.desc()).limit(1)

    def _newest_signed(self) -> Stages:
        joined = stage.join(signed, (signed.c.origin == stage.c.origin) & (signed.c.size == stage.c.size))
        return self._newest().select_from(joined)

    def _stage(self, query: Stages) -> Stage | None:
        with self.engine.connect() as connection:
            return _first(connection, query)

    def _note(self, table: Table, size: int) -> bytes | None:
        query = select(table.c.note).where(table.c.origin == self.origin, table.c.size == size)
        with self.engine.connect() as connection:
            note = connection.scalar(query)
        return bytes(note) if note is not None else None

    @contextmanager
    def _storing(self) -> Iterator[Connection]:
        with _begin(self.engine) as connection:
            _hurry(connection)
            yield connection

    def _insert(self, connection: Connection, table: Table, size: int, note: bytes) -> bool:
        """Whether it is the first."""
        statement = upsert(table).values(origin=self.origin, size=size, note=note).on_conflict_do_nothing()
        return connection.execute(statement.returning(table.c.size)).first() is not None

    def _standing(self, table: Table, size: int) -> bytes:
        stored = self._note(table, size)
        assert stored is not None
        return stored


@contextmanager
def _begin(engine: Engine) -> Iterator[Connection]:
    try:
        with engine.begin() as connection:
            # Whatever the role or the cluster is set to: the commit below waits for the disk.
            connection.execute(text("SET LOCAL synchronous_commit TO on"))
            yield connection
    except InternalError as error:
        if getattr(error.orig, "sqlstate", None) != IDLE_TOO_LONG:
            raise
        # The server has undone it and ended the session: it is as if it had been away.
        log.failure(error)
        raise OperationalError(None, None, error.orig or error) from None


def _hurry(connection: Connection) -> None:
    # Without it a lock would be kept for as long as its process is stopped: the limit of a session that is idle does
    # not count within a transaction.
    connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout TO '{leading.SILENT_SECONDS}s'"))


Stages = Select[tuple[int, int, bytes, bytes]]
_STAGES: Stages = select(stage.c.old_size, stage.c.size, stage.c.root, stage.c.frontier)


def _first(connection: Connection, query: Stages) -> Stage | None:
    row = connection.execute(query).first()
    return _stage_of(row) if row else None


def _stage_of(row: Row[tuple[int, int, bytes, bytes]]) -> Stage:
    return Stage(row.old_size, row.size, bytes(row.root), bytes(row.frontier))
