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
    ForeignKeyConstraint,
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
FOLLOWS = "nullif(old_size, 0)"

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
    # None of the first, which follows no other.
    Column("follows", BigInteger, Computed(FOLLOWS, persisted=True)),
    # The compare-and-swap: who stages second from a size has lost. What follows what is there, and alone does, can only
    # stand at the end: between two stages, whose frontiers custodians are held against, there is no place.
    UniqueConstraint("origin", "old_size"),
    ForeignKeyConstraint(["origin", "follows"], ["stage.origin", "stage.size"], name="stage_follows"),
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


def _chained(connection: Connection) -> None:
    connection.execute(text("LOCK TABLE stage IN ACCESS EXCLUSIVE MODE"))
    there = "SELECT 1 FROM stage AS other WHERE (other.origin, other.size) = (stage.origin, stage.old_size)"
    apart = f"SELECT size FROM stage WHERE old_size > 0 AND NOT EXISTS ({there}) LIMIT 1"
    if (size := connection.scalar(text(apart))) is not None:
        why = "no sequencer has written it; make a new database, which tally fills from the custodians"
        raise WouldLoseRows(f"the table stage holds one of {size} entries that follows no other: {why}")
    # As above, no row is changed.
    connection.execute(text(f"ALTER TABLE stage ADD COLUMN follows bigint GENERATED ALWAYS AS ({FOLLOWS}) STORED"))
    references = "FOREIGN KEY (origin, follows) REFERENCES stage (origin, size)"
    connection.execute(text(f"ALTER TABLE stage ADD CONSTRAINT stage_follows {references}"))


def _unchained(connection: Connection) -> None:
    # The constraint goes with the column.
    connection.execute(text("ALTER TABLE stage DROP COLUMN follows"))


# 2: what the log refuses is kept. 3: by its leaf hash, too. 4: each stage follows another.
SCHEMA = Schema(
    "tally", "entry", _create, (adding(refused_entry), Step(_by_leaf, _by_identity), Step(_chained, _unchained))
)


def install(connection: Connection, role: str, to: int | None = None) -> tuple[int, int]:
    """Brings the tables to version `to`, the newest if None, as their owner, and lets the service's `role` add to them;
    again, it changes nothing. As `Schema.bring`.
    """
    versions = SCHEMA.bring(connection, to)
    guard(connection, existing(connection, metadata), role)
    seen.install(connection, role)
    return versions
