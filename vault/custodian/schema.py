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
from infra.migrations import Schema, Step, WouldLoseRows, adding, existing

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

# Heads that were seen, their entries held or not (C2SP tlog-witness): in the line of one set of the log's keys each
# continues exactly one other, too. The empty tree, which follows no size, has the old size -1.
observed = Table(
    "observed",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("line", Text, primary_key=True, server_default=""),
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("old_size", BigInteger, nullable=False),
    Column("root", LargeBinary, CheckConstraint("octet_length(root) = 32"), nullable=False),
    Column("note", LargeBinary, nullable=False),
    Column("time", BigInteger, nullable=False),
    UniqueConstraint("origin", "line", "old_size", name="observed_follows"),
    CheckConstraint("-1 <= old_size AND old_size < size"),
)
Index("observed_time", desc(observed.c.time))
# For the largest of any line, which each append asks for.
observed_size = Index("observed_size", observed.c.origin, observed.c.size)

# Entries that were brought before their head (C2SP tlog-mirror), for each line by themselves: they become rows of
# `entry` when their head is stored, and keep nothing else from these places.
brought = Table(
    "brought",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("line", Text, primary_key=True),
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("leaf", LargeBinary, CheckConstraint("octet_length(leaf) = 32"), nullable=False),
    Column("data", LargeBinary, nullable=False),
)

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

# Which logs are kept here, and by whom ("" for one that follows): said once, of a custodian that is new, or rebuilt.
keeps = Table(
    "keeps",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("keeper", Text, nullable=False),
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
    for table in ("entry", "brought"):
        connection.execute(text(f"ALTER TABLE {table} ALTER COLUMN data SET STORAGE EXTERNAL"))


_second = adding(observed, mended)


def _to_second(connection: Connection) -> None:
    _second.forward(connection)
    entry_rekey.create(connection)


def _to_first(connection: Connection) -> None:
    _second.back(connection)
    entry_rekey.drop(connection)


_third = adding(brought)


def _to_third(connection: Connection) -> None:
    _third.forward(connection)
    for change in (
        # The step before makes the table as it is now.
        "ADD COLUMN IF NOT EXISTS line TEXT NOT NULL DEFAULT ''",
        "DROP CONSTRAINT IF EXISTS observed_origin_old_size_key",
        "DROP CONSTRAINT IF EXISTS observed_follows",
        "DROP CONSTRAINT observed_pkey",
        "ADD PRIMARY KEY (origin, line, size)",
        "ADD CONSTRAINT observed_follows UNIQUE (origin, line, old_size)",
    ):
        connection.execute(text(f"ALTER TABLE observed {change}"))
    connection.execute(text("ALTER TABLE brought ALTER COLUMN data SET STORAGE EXTERNAL"))


def _back_to_second(connection: Connection) -> None:
    _third.back(connection)
    connection.execute(text("LOCK TABLE observed IN ACCESS EXCLUSIVE MODE"))
    if connection.execute(text("SELECT 1 FROM observed GROUP BY origin HAVING count(DISTINCT line) > 1")).first():
        raise WouldLoseRows("observed has trees by several keys of one log, which the version before cannot tell apart")
    for change in (
        "DROP CONSTRAINT observed_follows",
        "DROP CONSTRAINT observed_pkey",
        "DROP COLUMN line",
        "ADD PRIMARY KEY (origin, size)",
        "ADD CONSTRAINT observed_origin_old_size_key UNIQUE (origin, old_size)",
    ):
        connection.execute(text(f"ALTER TABLE observed {change}"))


def _back_to_third(connection: Connection) -> None:
    connection.execute(text("LOCK TABLE keeps, head IN ACCESS EXCLUSIVE MODE"))
    # Of a log that has a head it need not be noted that it is kept.
    if connection.execute(text("SELECT 1 FROM keeps WHERE origin NOT IN (SELECT origin FROM head) LIMIT 1")).first():
        raise WouldLoseRows("keeps has a log without a head, which the version before would begin without being told")
    keeps.drop(connection)


def _to_fifth(connection: Connection) -> None:
    # The second step makes the table as it is now.
    observed_size.create(connection, checkfirst=True)


def _back_to_fourth(connection: Connection) -> None:
    connection.execute(text("LOCK TABLE observed IN ACCESS EXCLUSIVE MODE"))
    if connection.execute(text("SELECT 1 FROM observed WHERE starts_with(line, 'against-') LIMIT 1")).first():
        raise WouldLoseRows(
            "observed has a tree by which a log contradicts itself, which the version before would take for the log's"
        )
    observed_size.drop(connection)


# 2: heads seen before their entries, bytes that mend damaged ones, and an index over what changes keys.
# 3: what was seen or brought before its head, for each set of the log's keys by itself.
# 4: which logs are kept.
# 5: an index for the largest tree that was seen.
SCHEMA = Schema(
    "custodian",
    "entry",
    _create,
    (
        Step(_to_second, _to_first),
        Step(_to_third, _back_to_second),
        Step(adding(keeps).forward, _back_to_third),
        Step(_to_fifth, _back_to_fourth),
    ),
)


def install(connection: Connection, role: str, to: int | None = None) -> tuple[int, int]:
    """Brings the tables to version `to`, the newest if None, as their owner, and lets the service's `role` INSERT and
    SELECT; again, it changes nothing. As `Schema.bring`.
    """
    versions = SCHEMA.bring(connection, to)
    guard(connection, existing(connection, metadata), role)
    return versions
