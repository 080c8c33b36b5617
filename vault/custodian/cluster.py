"""What a custodian asks of the PostgreSQL cluster that keeps its rows, of the role by which it reaches them, and of the
tables: when it begins, and again and again (`watching`).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, CursorResult, PrimaryKeyConstraint, UniqueConstraint, func, select, text

from infra.database import SEARCHED
from infra.insert_only import GUARD, GUARD_BODY
from vault.custodian.schema import metadata
from vault.custodian.storage import Unsafe

SAFE = ("fsync", "full_page_writes", "data_checksums")
"""Settings of the cluster without which a commit, or a page, may be lost or changed without anybody noticing."""
HIDING = ("ignore_checksum_failure", "zero_damaged_pages")
"""Settings with which a damaged page is read as if it were whole, or as if nothing had been on it."""


UNIQUE = [
    (table.name, [column.name for column in rule.columns])
    for table in metadata.sorted_tables
    for rule in table.constraints
    if isinstance(rule, PrimaryKeyConstraint | UniqueConstraint)
]
"""By which columns of each table two rows are in one place: of two processes that want it, or of two trees that follow
one, the database stores the first.
"""


def check_settings(connection: Connection, *settings: str, want: str = "on") -> None:
    """Unsafe unless all of these are as wanted."""
    found = connection.execute(select(*(func.current_setting(name) for name in settings))).one()
    for name, value in zip(settings, found, strict=True):
        if value != want:
            cure = "stop it and run pg_checksums --enable" if name == "data_checksums" else f"set {name} = {want}"
            detail = f"the database runs with {name} {value}: a custodian must not vouch for what it holds; {cure}"
            raise Unsafe(detail, name.replace("_", "-"))


def check_searched(connection: Connection) -> None:
    """Unsafe if this connection looks for names elsewhere than it did when it began, so that another than the database
    itself may have answered all that is asked of it here.
    """
    # No function is asked, which could be another's.
    if (found := connection.scalar(text("SHOW search_path"))) != SEARCHED:
        detail = f"the database has changed where names are looked for, to {found}: see who owns it, and what it runs"
        raise Unsafe(detail, "search-path")


def check_session(connection: Connection) -> None:
    """Unsafe if what ran in this transaction has changed how it commits, or where it looks for names."""
    check_searched(connection)
    if connection.scalar(text("SHOW synchronous_commit")) != "on":
        detail = "what the database runs at a row has changed how it commits: see who owns it"
        raise Unsafe(detail, "synchronous-commit")


def check_role(connection: Connection) -> None:
    """Unsafe if the role of this connection may change or remove rows, or owns a table and so may give itself that."""
    row = connection.execute(_CHANGEABLE, {"tables": list(metadata.tables)}).first()
    if row is not None:
        raise Unsafe(
            f"the database role {row.role} may change what is in the table {row.relname}, or owns it: "
            "a custodian runs as a role that only adds (psephos schema custodian)",
            "role",
        )


def check_stored(done: CursorResult[Any], count: int) -> None:
    """Unsafe unless an INSERT has stored so many rows."""
    # Else by a rule, or a trigger, that the tables' owner has added; the commit would say that all is stored.
    if done.rowcount != count:
        raise Unsafe("the database has taken rows and not stored them: see who owns it", "guard")


def check_guard(connection: Connection) -> None:
    """Unsafe unless every table is one whose rows outlive a crash, and has its guard, which fires for everybody and
    whatever is changed, and refuses, and nothing else that acts on its rows: a rule, another trigger, a policy, a table
    that inherits or another database that is followed could change or hide what is stored, or have it stored nowhere.
    Nor does it run what somebody has written, for a default, a check or an index, or a function of PostgreSQL's own
    that is not immutable: that could change the session's settings, and where it looks for names. And unless it takes
    no second row in a place, from the statement on that brings it.
    """
    name = connection.scalar(_UNGUARDED, {"tables": list(metadata.tables), "guard": GUARD, "body": GUARD_BODY})
    if name is not None:
        raise Unsafe(
            f"the table {name} is without its guard, or another trigger, a rule, a policy, a subscription or a "
            "function acts on its rows, or a crash empties it: see who owns the database, then run psephos schema "
            "custodian and scrub",
            "guard",
        )
    unique = {"tables": [of for of, _ in UNIQUE], "columns": [",".join(sorted(columns)) for _, columns in UNIQUE]}
    row = connection.execute(_TAKES_TWO, unique).first()
    if row is not None:
        raise Unsafe(
            f"the table {row.name} has lost what keeps a second row from a place, UNIQUE ({row.columns}), or has it "
            "checked too late: see who owns the database, then add it again (ALTER TABLE) and scrub",
            "guard",
        )


# A superuser may do everything, and is told so here.
_CHANGEABLE = text("""
    SELECT c.relname, current_user AS role FROM pg_class c
    WHERE c.oid IN (SELECT to_regclass('public.' || quote_ident(name)) FROM unnest(CAST(:tables AS text[])) name)
    AND (has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE') OR has_any_column_privilege(c.oid, 'UPDATE')
        OR pg_has_role(c.relowner, 'MEMBER'))
    ORDER BY c.relname LIMIT 1
""")

# p: each row is in the write-ahead log. 58: before UPDATE, DELETE and TRUNCATE, once a statement; A: whatever the
# session says it is. tgqual, tgattr: on no condition, and of no columns alone. What a subscription changes fires no
# trigger that is once a statement. pg_depend: on what PostgreSQL brings nothing is noted to depend; of
# that, nothing immutable sets anything or runs a text as SQL. An index takes only what is said to be immutable.
_UNGUARDED = text("""
    SELECT c.relname FROM pg_class c
    WHERE c.oid IN (SELECT to_regclass('public.' || quote_ident(name)) FROM unnest(CAST(:tables AS text[])) name)
    AND (c.relkind <> 'r' OR c.relpersistence <> 'p' OR c.relrowsecurity
        OR EXISTS (SELECT FROM pg_rewrite WHERE ev_class = c.oid)
        OR EXISTS (SELECT FROM pg_subscription_rel WHERE srrelid = c.oid)
        OR EXISTS (SELECT FROM pg_inherits WHERE inhparent = c.oid OR inhrelid = c.oid)
        OR EXISTS (
            SELECT FROM pg_depend d WHERE d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass,
                'pg_type'::regclass, 'pg_opclass'::regclass, 'pg_collation'::regclass)
            AND (d.classid, d.objid) IN (
                SELECT 'pg_class'::regclass, c.oid
                UNION ALL SELECT 'pg_class'::regclass, indexrelid FROM pg_index WHERE indrelid = c.oid
                UNION ALL SELECT 'pg_attrdef'::regclass, oid FROM pg_attrdef WHERE adrelid = c.oid
                UNION ALL SELECT 'pg_constraint'::regclass, oid FROM pg_constraint WHERE conrelid = c.oid
            )
        ) OR EXISTS (
            SELECT FROM (
                SELECT adbin AS tree FROM pg_attrdef WHERE adrelid = c.oid
                UNION ALL SELECT conbin FROM pg_constraint WHERE conrelid = c.oid
            ) written, regexp_matches(CAST(tree AS text), 'funcid ([0-9]+)', 'g') called
            JOIN pg_proc p ON p.oid = CAST(called[1] AS oid) WHERE p.provolatile <> 'i'
        ) OR (
        SELECT count(*) FILTER (WHERE t.tgname = :guard AND t.tgtype = 58 AND t.tgenabled = 'A' AND t.tgqual IS NULL
            AND t.tgattr = CAST('' AS int2vector) AND p.prosrc = :body) <> 1 OR count(*) <> 1
        FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid WHERE t.tgrelid = c.oid AND NOT t.tgisinternal
    ))
    ORDER BY c.relname LIMIT 1
""")

# indimmediate: not deferrable, for a second row of one transaction must not wait for its end either. indpred, indexprs:
# of all rows, and of the columns themselves.
_TAKES_TWO = text("""
    SELECT name, columns FROM unnest(CAST(:tables AS text[]), CAST(:columns AS text[])) wanted (name, columns)
    WHERE to_regclass('public.' || quote_ident(name)) IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_index i WHERE i.indrelid = to_regclass('public.' || quote_ident(name))
        AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indisready AND i.indpred IS NULL
        AND i.indexprs IS NULL AND columns = (
            SELECT string_agg(a.attname, ',' ORDER BY a.attname COLLATE "C") FROM pg_attribute a
            WHERE a.attrelid = i.indrelid AND a.attnum = ANY ((CAST(i.indkey AS int2[]))[0:i.indnkeyatts - 1])
        )
    )
    ORDER BY name, columns LIMIT 1
""")
