"""What a custodian asks of the PostgreSQL cluster that keeps its rows, and of the role by which it reaches them."""

from __future__ import annotations

from sqlalchemy import Connection, func, select, text

from vault.custodian.schema import metadata
from vault.custodian.storage import Unsafe

SAFE = ("fsync", "full_page_writes", "data_checksums")
"""Settings of the cluster without which a commit, or a page, may be lost or changed without anybody noticing."""
HIDING = ("ignore_checksum_failure", "zero_damaged_pages")
"""Settings with which a damaged page is read as if it were whole, or as if nothing had been on it."""


def check_settings(connection: Connection, *settings: str, want: str = "on") -> None:
    """Unsafe unless all of these are as wanted."""
    found = connection.execute(select(*(func.current_setting(name) for name in settings))).one()
    for name, value in zip(settings, found, strict=True):
        if value != want:
            raise Unsafe(f"the database runs with {name} {value}: a custodian must not vouch for what it holds")


def check_role(connection: Connection) -> None:
    """Unsafe if the role of this connection may change or remove rows, or owns a table and so may give itself that."""
    row = connection.execute(_CHANGEABLE, {"tables": list(metadata.tables)}).first()
    if row is not None:
        raise Unsafe(
            f"the database role {row.role} may change what is in the table {row.relname}, or owns it: "
            "a custodian runs as a role that only adds (psephos schema custodian)"
        )


# A superuser may do everything, and is told so here.
_CHANGEABLE = text("""
    SELECT c.relname, current_user AS role FROM pg_class c
    WHERE c.oid IN (SELECT to_regclass(quote_ident(name)) FROM unnest(CAST(:tables AS text[])) name)
    AND (has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE') OR has_any_column_privilege(c.oid, 'UPDATE')
        OR pg_has_role(c.relowner, 'MEMBER'))
    ORDER BY c.relname LIMIT 1
""")
