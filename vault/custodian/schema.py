"""The tables of one custodian, keyed by the log's origin. Nothing in them is ever changed or removed.

What their loss buys an attacker: one copy of N. What their capture buys: nothing that is not public. Rows of `node` can
be computed from `entry`; they are stored so that a tile of a large log is read without hashing the log.
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
    UniqueConstraint,
    desc,
    text,
)

from audit.record.heads import FIRST_LINE
from infra.insert_only import guard
from infra.migrations import Schema, Step, adding, existing

metadata = MetaData()

entry = Table(
    "entry",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("leaf", LargeBinary, CheckConstraint("octet_length(leaf) = 32"), nullable=False),
    Column("data", LargeBinary, nullable=False),
)

# Which of them may have changed a key: these are looked for whenever the custodian begins.
IS_REKEY = text(f"substring(data from 1 for {len(FIRST_LINE)}) = '\\x{FIRST_LINE.hex()}'::bytea")
entry_rekey = Index("entry_rekey", entry.c.origin, entry.c.index, postgresql_where=IS_REKEY)

# Every head continues exactly one other: two appends that start from the same size cannot both be stored.
head = Table(
    "head",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("old_size", BigInteger, nullable=False),
    Column("root", LargeBinary, CheckConstraint("octet_length(root) = 32"), nullable=False),
    Column("frontier", LargeBinary, nullable=False),
    Column("note", LargeBinary, nullable=False),
    Column("time", BigInteger, nullable=False),
    UniqueConstraint("origin", "old_size"),
    CheckConstraint("0 <= old_size AND old_size < size"),
)
Index("head_time", desc(head.c.time))

# Heads that were seen, their entries held or not (C2SP tlog-witness): each continues exactly one other, too. The empty
# tree, which follows no size, has the old size -1.
observed = Table(
    "observed",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("old_size", BigInteger, nullable=False),
    Column("root", LargeBinary, CheckConstraint("octet_length(root) = 32"), nullable=False),
    Column("note", LargeBinary, nullable=False),
    Column("time", BigInteger, nullable=False),
    UniqueConstraint("origin", "old_size"),
    CheckConstraint("-1 <= old_size AND old_size < size"),
)
Index("observed_time", desc(observed.c.time))

published = Table(
    "published",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("note", LargeBinary, nullable=False),
)

# The root of the complete subtree over 256^level leaves, level 1 and above: what a tile of that level is made of.
node = Table(
    "node",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("level", SmallInteger, primary_key=True, autoincrement=False),
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, CheckConstraint("octet_length(hash) = 32"), nullable=False),
)

# The right bytes of rows that were found damaged, which stay as they are: readers prefer these (mended.py).
mended = Table(
    "mended",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("level", SmallInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", SmallInteger, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)


def _create(connection: Connection) -> None:
    metadata.create_all(connection)
    # Entries are mostly random bytes in base64: trying to compress them only costs time.
    connection.execute(text("ALTER TABLE entry ALTER COLUMN data SET STORAGE EXTERNAL"))


_second = adding(observed, mended)


def _to_second(connection: Connection) -> None:
    _second.forward(connection)
    entry_rekey.create(connection)


def _to_first(connection: Connection) -> None:
    _second.back(connection)
    entry_rekey.drop(connection)


# 2: heads seen before their entries, bytes that mend damaged ones, and an index over what changes keys.
SCHEMA = Schema("custodian", "entry", _create, (Step(_to_second, _to_first),))


def install(connection: Connection, role: str, to: int | None = None) -> tuple[int, int]:
    """Brings the tables to version `to`, the newest if None, as their owner, and lets the service's `role` INSERT and
    SELECT; again, it changes nothing. As `Schema.bring`.
    """
    versions = SCHEMA.bring(connection, to)
    guard(connection, existing(connection, metadata), role)
    return versions
