"""Databases of services in the tests' cluster, their tables made by an owner that no service runs as."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine

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
    owning = database.engine(cluster.url(owner, name), cluster.passfile(owner), name="tests", connections=2)
    with owning.begin() as connection:
        install(connection, role)
    url, passfile = cluster.url(role, name), cluster.passfile(role)
    return Database(url, passfile, database.engine(url, passfile, name="tests", connections=8), owning)
