"""The sequencer's ledger: the log as it was staged, and how far each stage has come. Nothing in it is ever changed.

What its loss costs: tally reads the log back from the custodians, all of them. What its capture buys: entries a moment
before they are public; that the log stops; and by the index, that an entry is passed over, or an older ballot taken for
a newer one, until the next start, which compares it. No entry that the rules refuse: what is signed is believed under
the log's signature alone, and what is not is judged anew before it is. The order of the log is decided here and nowhere
else: two stages cannot continue the same size.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    Connection,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    inspect,
    text,
)

from infra import seen
from infra.insert_only import guard
from infra.migrations import Schema, Step, WouldLoseRows, adding, existing

metadata = MetaData()

LEAF = r"sha256('\x00'::bytea || data)"
"""RFC 6962's leaf hash."""

entry = Table(
    "entry",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)

stage = Table(
    "stage",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("old_size", BigInteger, nullable=False),
    Column("root", LargeBinary, CheckConstraint("octet_length(root) = 32"), nullable=False),
    Column("frontier", LargeBinary, nullable=False),
    # The compare-and-swap: who stages second from a size has lost.
    UniqueConstraint("origin", "old_size"),
    CheckConstraint("0 <= old_size AND old_size < size"),
)

# The log's own signatures over a stage. They are made after it is on disk, and made once.
signed = Table(
    "signed",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("note", LargeBinary, nullable=False),
)

# The same with the cosignatures of W custodians: what is published.
witnessed = Table(
    "witnessed",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("note", LargeBinary, nullable=False),
)

# Entries that the log refuses, whole, as each intake handed them in ("" for others than ballots). The log says why, and
# names each by its leaf hash.
refused_entry = Table(
    "refused_entry",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("intake", Text, primary_key=True),
    Column("identity", LargeBinary, CheckConstraint("octet_length(identity) = 32"), primary_key=True),
    Column("data", LargeBinary, nullable=False),
    Column("leaf", LargeBinary, Computed(LEAF, persisted=True), primary_key=True),
)


def _create(connection: Connection) -> None:
    metadata.create_all(connection)
    # Entries are mostly random bytes in base64: trying to compress them only costs time.
    connection.execute(text("ALTER TABLE entry ALTER COLUMN data SET STORAGE EXTERNAL"))


def _by_leaf(connection: Connection) -> None:
    seen.BY_LEAF.forward(connection)
    if any(column["name"] == "leaf" for column in inspect(connection).get_columns("refused_entry")):
        # Made by the step before, as it is now.
        return
    table = "ALTER TABLE refused_entry"
    connection.execute(text(f"{table} DROP CONSTRAINT refused_entry_pkey"))
    # The table is written anew as it is: no row is changed, so what guards them need not step aside.
    connection.execute(text(f"{table} ADD COLUMN leaf bytea GENERATED ALWAYS AS ({LEAF}) STORED"))
    connection.execute(text(f"{table} ADD PRIMARY KEY (origin, intake, identity, leaf)"))


def _by_identity(connection: Connection) -> None:
    seen.BY_LEAF.back(connection)
    connection.execute(text("LOCK TABLE refused_entry IN ACCESS EXCLUSIVE MODE"))
    twice = "SELECT 1 FROM refused_entry GROUP BY origin, intake, identity HAVING count(*) > 1 LIMIT 1"
    if connection.execute(text(twice)).first():
        raise WouldLoseRows("the table refused_entry holds a ballot twice, for which the version before has no place")
    # The key goes with the column.
    connection.execute(text("ALTER TABLE refused_entry DROP COLUMN leaf"))
    connection.execute(text("ALTER TABLE refused_entry ADD PRIMARY KEY (origin, intake, identity)"))


# 2: what the log refuses is kept. 3: by its leaf hash, too.
SCHEMA = Schema("tally", "entry", _create, (adding(refused_entry), Step(_by_leaf, _by_identity)))


def install(connection: Connection, role: str, to: int | None = None) -> tuple[int, int]:
    """Brings the tables to version `to`, the newest if None, as their owner, and lets the service's `role` add to them;
    again, it changes nothing. As `Schema.bring`.
    """
    versions = SCHEMA.bring(connection, to)
    guard(connection, existing(connection, metadata), role)
    seen.install(connection, role)
    return versions
