"""The one table between intake and tally. Its key is random and it has no sequence and no time, so no row says when it
came. Where PostgreSQL has put it does say which batch came first, to a stolen disk too, as taking does to tally; but
not which entry of a batch, for intake shuffles them. It says which intake a row is of, as the intake's own signature
does on a ballot; the role that hands rows out cannot read it.

What its loss costs: nothing, intake puts again what it does not find in the log. What its capture buys: entries, which
are public as soon as they are recorded, how many are waiting, and through which intake an official's entry came.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Connection, LargeBinary, MetaData, Table, Text, text

from infra.migrations import Schema, Step

KEY_BYTES = 16

metadata = MetaData()

queued = Table(
    "queued",
    metadata,
    Column("key", LargeBinary, CheckConstraint(f"octet_length(key) = {KEY_BYTES}"), primary_key=True),
    Column("data", LargeBinary, nullable=False),
    # By its name in ingress's settings; of no intake is what was restored, or came before the table asked.
    Column("intake", Text),
)


MOST_ROWS = 100_000
"""Rows above which nothing is put into the table, so that an intake that is captured, or a tally that stands still,
does not fill the disk; a few puts that come at the same moment may go beyond. What is not stored waits at intake.
"""
SHARE_ROWS = 1024
"""Of them, most that are one intake's. Four rounds of tally: two that it has in hand, and two that wait. So no tally
waits for an intake that has more; and one that is captured has no other's row wait for more than twice as many.
"""
BOUND = "psephos_queue_bound"
SHARE = "psephos_queue_share"

# It looks for ingress, which may not: counting in one statement, with the owner's rights, and saying only yes or no.
_BOUND_FUNCTION = f"""
CREATE OR REPLACE FUNCTION {BOUND}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF (SELECT count(*) FROM (SELECT 1 FROM public.queued LIMIT %d) AS rows) > %d THEN
        RAISE EXCEPTION 'the queue is full' USING ERRCODE = 'configuration_limit_exceeded';
    END IF;
    RETURN NULL;
END $$
"""


# Whose put it is, and of how many entries, ingress says with each: it alone knows the tokens, and who has captured it
# can keep entries from the queue in any case. It is looked before anything is written: puts that are refused again and
# again leave nothing on the disk.
_SHARE_FUNCTION = f"""
CREATE OR REPLACE FUNCTION {SHARE}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
DECLARE
    whose text := current_setting('psephos.intake', true);
    held int;
BEGIN
    IF whose <> '' THEN
        SELECT count(*) INTO held FROM public.queued WHERE intake = whose;
        IF held + current_setting('psephos.entries')::int > %d THEN
            RAISE EXCEPTION 'the share of this intake is full'
                USING ERRCODE = 'check_violation', CONSTRAINT = '{SHARE}';
        END IF;
    END IF;
    RETURN NULL;
END $$
"""


def _create(connection: Connection) -> None:
    metadata.create_all(connection)
    # Entries are mostly random bytes in base64: trying to compress them only costs time.
    connection.execute(text("ALTER TABLE queued ALTER COLUMN data SET STORAGE EXTERNAL"))


def _looked_at(connection: Connection) -> None:
    """Nothing to change here: what looks at each put is installed anew, by who says how many rows."""


def _unbound(connection: Connection) -> None:
    _drop(connection, BOUND)


def _share(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE queued ADD COLUMN intake text"))


def _unshare(connection: Connection) -> None:
    """The rows stay; whose they are is not kept."""
    _drop(connection, SHARE)
    connection.execute(text("ALTER TABLE queued DROP COLUMN intake"))


def _drop(connection: Connection, trigger: str) -> None:
    connection.execute(text(f"DROP TRIGGER IF EXISTS {trigger} ON queued"))
    connection.execute(text(f"DROP FUNCTION IF EXISTS {trigger}()"))


# 2: the table takes no more than it is said to hold. 3: nor more of one intake than its share. 4: which is the same
# however many intakes there are, and ingress no longer says that; the version before takes it so, too.
SCHEMA = Schema(
    "queue", "queued", _create, (Step(_looked_at, _unbound), Step(_share, _unshare), Step(_looked_at, _looked_at))
)


def install(
    connection: Connection,
    ingress: str,
    egress: str,
    most: int = MOST_ROWS,
    share: int = SHARE_ROWS,
    to: int | None = None,
) -> tuple[int, int]:
    """Brings the table to version `to`, the newest if None, as its owner. Role `ingress` may INSERT and not even look;
    `egress` may DELETE, and SELECT all but whose a row is. It takes nothing more once it holds `most` rows, and of
    one intake no more than `share`.

    Running it again changes nothing. As `Schema.bring`.
    """
    versions = SCHEMA.bring(connection, to)
    quote = connection.dialect.identifier_preparer.quote
    connection.execute(text(f"REVOKE ALL ON queued FROM PUBLIC, {quote(ingress)}, {quote(egress)}"))
    connection.execute(text(f"GRANT INSERT ON queued TO {quote(ingress)}"))
    connection.execute(text(f"GRANT SELECT (key, data), DELETE ON queued TO {quote(egress)}"))
    if versions[1] > 1:
        _look(connection, "AFTER", BOUND, _BOUND_FUNCTION % (most + 1, most))
    if versions[1] > 2:
        _look(connection, "BEFORE", SHARE, _SHARE_FUNCTION % share)
    return versions


def _look(connection: Connection, when: str, trigger: str, function: str) -> None:
    """Has the function look at every put."""
    connection.execute(text(function))
    connection.execute(text(f"DROP TRIGGER IF EXISTS {trigger} ON queued"))
    on = f"{when} INSERT ON queued FOR EACH STATEMENT"
    connection.execute(text(f"CREATE TRIGGER {trigger} {on} EXECUTE FUNCTION {trigger}()"))
