"""The tables of one intake, keyed by the log's origin.

`accepted` holds, for good, what a receipt was given for; `outbox` holds entries until the log is seen to hold them.
Losing them before that loses ballots whose voters hold a receipt and hand in again; their capture shows when this
intake took which pseudonym's ballot, never a choice or a weight.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    func,
    select,
    text,
)

from infra import seen
from infra.migrations import Schema, adding, existing

ONE_DOOR = 1
"""The purpose of the lock that the one process holds which works on an origin's tables; see `infra.sole`."""
CHANGING = 2
"""The purpose of the lock of whoever changes what waits; see `changing`."""
OFFERED_LONG_AGO = 1
"""When an entry is due at once that the queue may have seen."""

metadata = MetaData()

accepted = Table(
    "accepted",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("identity", LargeBinary, CheckConstraint("octet_length(identity) = 32"), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("leaf", LargeBinary, CheckConstraint("octet_length(leaf) = 32"), nullable=False),
    Column("deadline", BigInteger, nullable=False),
)

# `due`: when to pass it on again, POSIX milliseconds; 0 while the queue was never offered it.
outbox = Table(
    "outbox",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("identity", LargeBinary, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("entry", LargeBinary, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("puts", SmallInteger, nullable=False),
)
Index("outbox_due", outbox.c.origin, outbox.c.due)

# The one account of all ballots passed on; once it stands, this intake accepts no ballot ever again.
drained = Table(
    "drained",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("identity", LargeBinary, nullable=False),
)

# Marks, for good, an outbox that may have promised more than it knows: it was restored from a copy, or found itself
# older than the log.
restored = Table("restored", metadata, Column("origin", Text, primary_key=True))

RIGHTS = {
    accepted: "SELECT, INSERT, UPDATE (deadline, leaf)",
    outbox: "SELECT, INSERT, UPDATE (due, puts), DELETE",
    drained: "SELECT, INSERT",
    restored: "SELECT, INSERT",
}


def _create(connection: Connection) -> None:
    metadata.create_all(connection)
    # Entries are mostly random bytes in base64: trying to compress them only costs time.
    connection.execute(text("ALTER TABLE outbox ALTER COLUMN entry SET STORAGE EXTERNAL"))


# 2: an outbox that was restored from a copy is marked. 3: what is refused is known by its leaf hash, too.
SCHEMA = Schema("intake", "accepted", _create, (adding(restored), seen.BY_LEAF))


def changing(connection: Connection, origin: str) -> None:
    """For who changes or removes rows of `outbox`, before it does: others wait until the caller's transaction ends.
    Each of them has many rows, in an order of its own: two of them might else wait for each other.
    """
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(origin, CHANGING))))


def install(connection: Connection, role: str, to: int | None = None) -> tuple[int, int]:
    """Brings the tables to version `to`, the newest if None, as their owner, those of `infra.seen` beside them, and
    lets `role` use them; again, it changes nothing. As `Schema.bring`.
    """
    versions = SCHEMA.bring(connection, to)
    quote = connection.dialect.identifier_preparer.quote
    for table in existing(connection, metadata):
        connection.execute(text(f"REVOKE ALL ON {table.name} FROM PUBLIC, {quote(role)}"))
        connection.execute(text(f"GRANT {RIGHTS[table]} ON {table.name} TO {quote(role)}"))
    seen.install(connection, role)
    return versions
