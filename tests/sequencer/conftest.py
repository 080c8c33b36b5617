"""The databases of two ledgers and three custodians, and a house over them whose log is its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from infra.postgres import Cluster
from infra.queue import schema as queue_schema
from tally.sequencer import push
from tally.sequencer import schema as ledger_schema
from tally.sequencer.ledger import Ledger
from tests.databases import Database, make_database
from tests.loopback import wait_until
from tests.sequencer.house import House, Queue, Vault
from tests.simulator.meeting import Meeting
from vault.custodian import schema as custodian_schema

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def soon_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Custodians that are away are not waited for; what a test must hear it waits for itself."""
    for name in ("HEAR_SECONDS", "HEAR_MARKED_SECONDS"):
        monkeypatch.setattr(push, name, 0.2)


@pytest.fixture(scope="session")
def ledger_databases(cluster: Cluster) -> Iterator[list[Database]]:
    made = [make_database(cluster, "ledger", ledger_schema.install) for _ in range(2)]
    yield made
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def custodian_databases(cluster: Cluster) -> Iterator[list[Database]]:
    made = [make_database(cluster, "custodian", custodian_schema.install) for _ in range(3)]
    yield made
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def queue_database(cluster: Cluster) -> Iterator[Database]:
    made = make_database(cluster, "queue", lambda connection, role: queue_schema.install(connection, role, role))
    yield made
    made.close()


@pytest.fixture
def house(ledger_databases: list[Database], custodian_databases: list[Database]) -> Iterator[House]:
    """A meeting whose vote is open in memory, and of which nothing is recorded yet. Every test has a log of its own."""
    meeting = Meeting(origin=f"vote.example/sequenced-{next(_numbers)}").prepared()
    vault = Vault(meeting, [one.engine for one in custodian_databases])
    with vault.serving():
        yield House(meeting, vault, Ledger(ledger_databases[0].engine, meeting.origin), Queue())


@pytest.fixture
def open_house(house: House) -> House:
    """A house whose log has come to the opening of the vote, as all three custodians publish it."""
    house.queue.put(*house.meeting.entries)
    with house.opened() as sequencer:
        while sequencer.step():
            pass
        wait_until(lambda: house.replay_size() == len(house.meeting.entries))
    return house


@pytest.fixture
def other_ledger(house: House, ledger_databases: list[Database]) -> Ledger:
    """A ledger of the same log, in another database: empty, as after a loss."""
    return Ledger(ledger_databases[1].engine, house.meeting.origin)
