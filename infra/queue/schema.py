"""The one table between intake and tally. Its key is random and it has no sequence and no time, so no row says when it
came. Where PostgreSQL has put it does say which batch came first, to a stolen disk too, as taking does to tally; but
not which entry of a batch, for intake shuffles them.

What its loss costs: nothing, intake puts again what it does not find in the log. What its capture buys: entries, which
are public as soon as they are recorded, and how many are waiting.
"""

from __future__ import annotations

import re

from sqlalchemy import CheckConstraint, Column, Connection, LargeBinary, MetaData, Table, text

from infra.migrations import Schema, Step

KEY_BYTES = 16

metadata = MetaData()

queued = Table(
    "queued",
    metadata,
    Column("key", LargeBinary, CheckConstraint(f"octet_length(key) = {KEY_BYTES}"), primary_key=True),
    Column("data", LargeBinary, nullable=False),
)


MOST_ROWS = 100_000
"""Rows above which nothing is put into the table, so that an intake that is captured, or a tally that stands still,
does not fill the disk; a few puts that come at the same moment may go beyond. What is not stored waits at intake.
"""
BOUND = "psephos_queue_bound"

# It looks for ingress, which may not: counting in one statement, with the owner's rights, and saying only yes or no.
_FUNCTION = f"""
CREATE OR REPLACE FUNCTION {BOUND}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF (SELECT count(*) FROM (SELECT 1 FROM public.queued LIMIT %d) AS rows) > %d THEN
        RAISE EXCEPTION 'the queue is full' USING ERRCODE = 'configuration_limit_exceeded';
    END IF;
    RETURN NULL;
END $$
"""


def _create(connection: Connection) -> None:
    metadata.create_all(connection)
    # Entries are mostly random bytes in base64: trying to compress them only costs time.
    connection.execute(text("ALTER TABLE queued ALTER COLUMN data SET STORAGE EXTERNAL"))


def _bound(connection: Connection) -> None:
    """Nothing to change: whoever installs says how many rows."""


def _unbound(connection: Connection) -> None:
    connection.execute(text(f"DROP TRIGGER IF EXISTS {BOUND} ON queued"))
    connection.execute(text(f"DROP FUNCTION IF EXISTS {BOUND}()"))


# 2: the table takes no more than it is said to hold.
SCHEMA = Schema("queue", "queued", _create, (Step(_bound, _unbound),))


def install(
    connection: Connection, ingress: str, egress: str, most: int = MOST_ROWS, to: int | None = None
) -> tuple[int, int]:
    """Brings the table to version `to`, the newest if None, as its owner. Role `ingress` may INSERT and not even look;
    `egress` may SELECT and DELETE. It takes nothing more once it holds `most` rows.

    Running it again changes nothing. ValueError if a role has no plain role name; as `Schema.bring`.
    """
    for role in (ingress, egress):
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", role):
            raise ValueError(f"{role!r} is not the name of a role")
    versions = SCHEMA.bring(connection, to)
    quote = connection.dialect.identifier_preparer.quote
    connection.execute(text(f"REVOKE ALL ON queued FROM PUBLIC, {quote(ingress)}, {quote(egress)}"))
    connection.execute(text(f"GRANT INSERT ON queued TO {quote(ingress)}"))
    connection.execute(text(f"GRANT SELECT, DELETE ON queued TO {quote(egress)}"))
    if versions[1] > 1:
        connection.execute(text(_FUNCTION % (most + 1, most)))
        connection.execute(text(f"DROP TRIGGER IF EXISTS {BOUND} ON queued"))
        after = "AFTER INSERT ON queued FOR EACH STATEMENT"
        connection.execute(text(f"CREATE TRIGGER {BOUND} {after} EXECUTE FUNCTION {BOUND}()"))
    return versions
