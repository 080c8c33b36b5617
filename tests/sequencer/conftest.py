"""The databases of a ledger and three custodians, and a house over them whose log is its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine

from infra import database
from infra.postgres import Cluster
from tally.sequencer import schema as ledger_schema
from tally.sequencer.ledger import Ledger
from tests.sequencer.house import House, Queue, Vault
from tests.simulator.meeting import Meeting
from vault.custodian import schema as custodian_schema

_numbers = itertools.count()


@dataclass(frozen=True)
class Database:
    """One service's database: how its service reaches it."""

    url: str
    passfile: Path
    engine: Engine


def make_database(cluster: Cluster, kind: str, install) -> Database:
    """A database with a service's tables, made by their owner."""
    name = f"{kind}_{next(_numbers)}"
    owner, role = f"{name}_owner", f"{name}_service"
    cluster.create_database(name, owner, [role])
    owning = database.engine(cluster.url(owner, name), cluster.passfile(owner), name="tests")
    with owning.begin() as connection:
        install(connection, role)
    owning.dispose()
    url, passfile = cluster.url(role, name), cluster.passfile(role)
    return Database(url, passfile, database.engine(url, passfile, name="tests", connections=8))


@pytest.fixture(scope="session")
def ledger_database(cluster: Cluster) -> Iterator[Database]:
    made = make_database(cluster, "ledger", ledger_schema.install)
    yield made
    made.engine.dispose()


@pytest.fixture(scope="session")
def custodian_databases(cluster: Cluster) -> Iterator[list[Database]]:
    made = [make_database(cluster, "custodian", custodian_schema.install) for _ in range(3)]
    yield made
    for one in made:
        one.engine.dispose()


@pytest.fixture
def house(ledger_database: Database, custodian_databases: list[Database]) -> Iterator[House]:
    """A meeting whose vote is open in memory, and of which nothing is recorded yet. Every test has a log of its own."""
    meeting = Meeting(origin=f"vote.example/sequenced-{next(_numbers)}").prepared()
    vault = Vault(meeting, [one.engine for one in custodian_databases])
    with vault.serving():
        yield House(meeting, vault, Ledger(ledger_database.engine, meeting.origin), Queue())
