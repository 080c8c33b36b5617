"""Databases of services in the tests' cluster, their tables made by an owner that no service runs as."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, text

from infra import database
from infra.postgres import Cluster

_numbers = itertools.count()


@dataclass(frozen=True)
class Database:
    """How a service reaches its database: address, password file, and an engine made of them; `owner` may do more."""

    url: str
    passfile: Path
    engine: Engine
    owner: Engine

    def close(self) -> None:
        self.engine.dispose()
        self.owner.dispose()


def make_database(cluster: Cluster, kind: str, install: Callable[[Connection, str], None]) -> Database:
    """A database with a service's tables."""
    name = f"{kind}_of_{next(_numbers)}"
    owner, role = f"{name}_owner", f"{name}_service"
    cluster.create_database(name, owner, [role])
    owning = database.engine(cluster.url(owner, name), cluster.passfile(owner), name="tests", connections=2, owner=True)
    with owning.begin() as connection:
        install(connection, role)
    url, passfile = cluster.url(role, name), cluster.passfile(role)
    return Database(url, passfile, database.engine(url, passfile, name="tests", connections=8), owning)


_TABLE_RIGHTS = """
SELECT c.relname, r
FROM pg_class c, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) r
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND has_table_privilege(c.oid, r)
"""
_COLUMN_RIGHTS = """
SELECT c.relname, 'UPDATE ' || a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
AND has_column_privilege(c.oid, a.attnum, 'UPDATE') AND NOT has_table_privilege(c.oid, 'UPDATE')
"""


def rights(engine: Engine) -> dict[str, set[str]]:
    """Of every table, what the role of this engine may do with it, as the database says when that role asks."""
    found: dict[str, set[str]] = {}
    with engine.connect() as connection:
        for query in (_TABLE_RIGHTS, _COLUMN_RIGHTS):
            for table, right in connection.execute(text(query)):
                found.setdefault(table, set()).add(right)
    return found
