"""What admission remembers about the log, kept in PostgreSQL: memory does not grow with the log, and a restart forgets
nothing.

Tally and intake each keep these tables in their own database, filled in the same transaction that moves them forward in
the log. Their loss costs reading the log again; their capture buys nothing that is not public.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from sqlalchemy import (
    BigInteger,
    Column,
    CompoundSelect,
    Connection,
    LargeBinary,
    MetaData,
    Select,
    Table,
    Text,
    any_,
    bindparam,
    insert,
    inspect,
    select,
    text,
    union,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert

from audit.record.entries import Entry
from audit.record.seen import intake_of
from infra.bulk import insert_rows
from infra.migrations import Step, WouldLoseRows

PAGE = 256
"""Rows read at a time where the whole index is walked."""

metadata = MetaData()

recorded = Table(
    "seen_recorded",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("identity", LargeBinary, primary_key=True),
    Column("intake", Text, nullable=False),
)

refused = Table(
    "seen_refused",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("identity", LargeBinary, primary_key=True),
    Column("intake", Text, primary_key=True),
    Column("leaf", LargeBinary, primary_key=True),
)

latest = Table(
    "seen_latest",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("pseudonym", LargeBinary, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("ballot", LargeBinary, nullable=False),
)


def install(connection: Connection, role: str) -> None:
    """Creates the tables as their owner and lets `role` keep them; again, it changes nothing."""
    metadata.create_all(connection)
    # Ballots are mostly random bytes in base64: trying to compress them only costs time.
    connection.execute(text("ALTER TABLE seen_latest ALTER COLUMN ballot SET STORAGE EXTERNAL"))
    quote = connection.dialect.identifier_preparer.quote
    for table in metadata.sorted_tables:
        rights = "SELECT, INSERT, UPDATE (revision, ballot)" if table is latest else "SELECT, INSERT"
        _allow(connection, table, rights, quote(role))
    if inspect(connection).has_table(_passed.name):
        _allow(connection, _passed, "SELECT, INSERT", quote(role))


def _allow(connection: Connection, table: Table, rights: str, role: str) -> None:
    connection.execute(text(f"REVOKE ALL ON {table.name} FROM PUBLIC, {role}"))
    connection.execute(text(f"GRANT {rights} ON {table.name} TO {role}"))


# Which ballots came through which intake, once: as follows from the two tables above.
_passed = Table(
    "seen_passed",
    MetaData(),
    Column("origin", Text, primary_key=True),
    Column("intake", Text, primary_key=True),
    Column("identity", LargeBinary, primary_key=True),
)


def _with_leaf(connection: Connection) -> None:
    if _has_leaf(connection) is False:
        _passed.drop(connection)
        _expect_none_refused(connection, "a log whose refusals name no leaf hash cannot be read any more")
        connection.execute(text("ALTER TABLE seen_refused DROP CONSTRAINT seen_refused_pkey"))
        connection.execute(text("ALTER TABLE seen_refused ADD COLUMN leaf bytea"))
        connection.execute(text("ALTER TABLE seen_refused ADD PRIMARY KEY (origin, identity, intake, leaf)"))


def _without_leaf(connection: Connection) -> None:
    if _has_leaf(connection):
        _expect_none_refused(connection, "the version before has no place for the leaf hashes of what is refused")
        # Its key goes with the column.
        connection.execute(text("ALTER TABLE seen_refused DROP COLUMN leaf"))
        connection.execute(text("ALTER TABLE seen_refused ADD PRIMARY KEY (origin, identity, intake)"))
        _passed.create(connection)
        rows = _ballots_through(recorded).union(_ballots_through(refused))
        connection.execute(insert(_passed).from_select(["origin", "intake", "identity"], rows))


def _ballots_through(table: Table) -> Select[Any]:
    return select(table.c.origin, table.c.intake, table.c.identity).where(table.c.intake != "")


def _has_leaf(connection: Connection) -> bool | None:
    """None if there is no such table yet: then it will be made as it is now."""
    asked = inspect(connection)
    if not asked.has_table("seen_refused"):
        return None
    return any(column["name"] == "leaf" for column in asked.get_columns("seen_refused"))


def _expect_none_refused(connection: Connection, why: str) -> None:
    # Nobody adds a row between the question and the change.
    connection.execute(text("LOCK TABLE seen_refused IN ACCESS EXCLUSIVE MODE"))
    if connection.execute(text("SELECT 1 FROM seen_refused LIMIT 1")).first():
        raise WouldLoseRows(f"the table seen_refused holds rows: {why}")


BY_LEAF = Step(_with_leaf, _without_leaf)
"""For each room that keeps these tables: what is refused is known by its leaf hash, too."""


def rows_of(entry: Entry) -> Iterator[tuple[Table, dict[str, Any]]]:
    """The rows that an entry of the log adds, none of them twice, but for `latest`, where a ballot takes the place of
    the one before.
    """
    intake = intake_of(entry)
    yield recorded, {"identity": entry.identity, "intake": intake}
    if entry.kind == "refusal":
        yield refused, {name: entry.fields[name] for name in ("identity", "intake", "leaf")}


def passed(origin: str, intake: str) -> CompoundSelect[Any]:
    """The identities of all ballots, recorded or refused, that came through this intake, each once: what it must
    account for when voting closes.
    """
    tables = (select(t.c.identity).where(t.c.origin == origin, t.c.intake == intake) for t in (recorded, refused))
    return union(*tables)


def write(connection: Connection, origin: str, entries: Sequence[Entry]) -> None:
    """Writes the rows of these entries, in the log's order, into the caller's transaction; those that are there already
    stay.
    """
    rows: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        for table, row in rows_of(entry):
            rows.setdefault(table.name, []).append(row)
    for table in (recorded, refused):
        insert_rows(connection, table, origin, rows.get(table.name, []), passing=True)
    # Of several ballots under one pseudonym, the last.
    ballots = {entry.fields["pseudonym"]: entry for entry in entries if entry.kind == "ballot"}
    if ballots:
        statement = upsert(latest)
        newer = {"revision": statement.excluded.revision, "ballot": statement.excluded.ballot}
        key = ["origin", "pseudonym"]
        values = [
            {"origin": origin, "pseudonym": pseudonym, "revision": entry.fields["revision"], "ballot": entry.raw}
            for pseudonym, entry in ballots.items()
        ]
        connection.execute(statement.on_conflict_do_update(index_elements=key, set_=newer), values)


class SqlSeen:
    """`audit.record.seen.Seen` over one log's rows, for the length of one transaction of the caller.

    Reading works at once. Adding works inside `with`, and is written when that ends without an exception:

        with engine.begin() as connection, SqlSeen(connection, origin) as seen:
            election.admit(entry, seen)
            election.apply(entry)
            seen.add(entry)

    `look_up` fetches what is known of many entries in a few statements. Everything raises SQLAlchemyError if the
    database fails. `trial`: adding works at once, for the questions that follow; the caller undoes its transaction.
    """

    def __init__(self, connection: Connection, origin: str, trial: bool = False) -> None:
        self._connection = connection
        self._origin = origin
        self._adding = trial
        # What has been read or added in this transaction, as the database will have it once flushed.
        self._recorded: dict[bytes, str | None] = {}
        self._refused: dict[bytes, dict[str, set[bytes]]] = {}
        self._revisions: dict[bytes, int | None] = {}
        self._added: list[Entry] = []

    def __enter__(self) -> Self:
        self._adding = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._adding = False
        if kind is None:
            self.flush()

    def recorded(self, identity: bytes) -> str | None:
        if identity not in self._recorded:
            self._fetch_recorded([identity])
        return self._recorded[identity]

    def refused(self, identity: bytes, intake: str) -> Collection[bytes]:
        if identity not in self._refused:
            self._fetch_refused([identity])
        return self._refused[identity].get(intake, ())

    def revision(self, pseudonym: bytes) -> int | None:
        if pseudonym not in self._revisions:
            self._fetch_revisions([pseudonym])
        return self._revisions[pseudonym]

    def passed(self, intake: str) -> Iterator[bytes]:
        self.flush()
        return self._walk(passed(self._origin, intake).order_by("identity"))

    def counted(self) -> Iterator[bytes]:
        self.flush()
        return self._walk(select(latest.c.ballot).where(latest.c.origin == self._origin).order_by(latest.c.pseudonym))

    def look_up(self, entries: Iterable[Entry]) -> None:
        """Fetches all that admission will ask about these entries, but for refusals of others than ballots, which are
        rare.
        """
        entries = list(entries)
        ballots = [entry for entry in entries if entry.kind == "ballot"]
        self._fetch_recorded([entry.identity for entry in entries])
        self._fetch_refused([ballot.identity for ballot in ballots])
        self._fetch_revisions([ballot.fields["pseudonym"] for ballot in ballots])

    def add(self, entry: Entry) -> None:
        """Remembers an admitted entry. RuntimeError outside `with`, where it would never be written."""
        if not self._adding:
            raise RuntimeError("SqlSeen.add works inside `with` only")
        self._added.append(entry)
        self._recorded[entry.identity] = intake_of(entry)
        if entry.kind == "ballot":
            self._revisions[entry.fields["pseudonym"]] = entry.fields["revision"]
        if entry.kind == "refusal":
            identity, intake = entry.fields["identity"], entry.fields["intake"]
            if identity not in self._refused:
                # Another intake's refusal of it may be in the database.
                self._fetch_refused([identity])
            self._refused[identity].setdefault(intake, set()).add(entry.fields["leaf"])

    def flush(self) -> None:
        """Writes what was added, into the caller's transaction."""
        write(self._connection, self._origin, self._added)
        self._added = []

    def _fetch_recorded(self, identities: list[bytes]) -> None:
        wanted = [identity for identity in identities if identity not in self._recorded]
        found = self._among(select(recorded.c.identity, recorded.c.intake), recorded, recorded.c.identity, wanted)
        self._recorded |= dict.fromkeys(wanted) | {bytes(identity): intake for identity, intake in found}

    def _fetch_refused(self, identities: list[bytes]) -> None:
        wanted = [identity for identity in identities if identity not in self._refused]
        query = select(refused.c.identity, refused.c.intake, refused.c.leaf)
        for identity in wanted:
            self._refused[identity] = {}
        for identity, intake, leaf in self._among(query, refused, refused.c.identity, wanted):
            self._refused[bytes(identity)].setdefault(intake, set()).add(bytes(leaf))

    def _fetch_revisions(self, pseudonyms: list[bytes]) -> None:
        wanted = [pseudonym for pseudonym in pseudonyms if pseudonym not in self._revisions]
        found = self._among(select(latest.c.pseudonym, latest.c.revision), latest, latest.c.pseudonym, wanted)
        self._revisions |= dict.fromkeys(wanted) | {bytes(pseudonym): revision for pseudonym, revision in found}

    def _among(self, query: Any, table: Table, column: Column[bytes], wanted: list[bytes]) -> list[Any]:
        if not wanted:
            return []
        values = bindparam("wanted", wanted, type_=ARRAY(LargeBinary))
        return list(self._connection.execute(query.where(table.c.origin == self._origin, column == any_(values))))

    def _walk(self, query: Any) -> Iterator[bytes]:
        # Of the query, not of the connection, which would keep the option for every statement that follows.
        result = self._connection.execute(query, execution_options={"yield_per": PAGE})
        return (bytes(value) for value in result.scalars())
