"""What the database itself guarantees: rows that nobody changes, and a custodian that notices if some are gone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from audit.protocol.refused import Refused
from tests.databases import Database
from tests.vault.conftest import Served
from tests.vault.fixed_keys import FixedKeys
from vault.custodian.custody import Custodian
from vault.custodian.sql_store import SqlStore
from vault.custodian.storage import Unsafe


@pytest.fixture
def kept(in_database: Served) -> Served:
    return in_database


TABLES = ("entry", "head", "node", "observed", "published")


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("statement", ["UPDATE {} SET origin = origin", "DELETE FROM {}", "TRUNCATE {}"])
@pytest.mark.parametrize("who", ["engine", "owner"])
def test_nobody_changes_or_removes_a_row(
    kept: Served, database: Database, table: str, statement: str, who: str
) -> None:
    kept.fill(256)
    with pytest.raises(DBAPIError), getattr(database, who).begin() as connection:
        connection.execute(text(statement.format(table)))


def test_the_service_cannot_take_the_guard_away(kept: Served, database: Database) -> None:
    attempts = "ALTER TABLE entry DISABLE TRIGGER ALL", "DROP TABLE entry", "SET session_replication_role = replica"
    for statement in attempts:
        with pytest.raises(DBAPIError), database.engine.begin() as connection:
            connection.execute(text(statement))


def test_missing_rows_are_noticed_and_never_papered_over(kept: Served, database: Database) -> None:
    kept.fill(3)
    guard = "ALTER TABLE entry {} TRIGGER psephos_insert_only"
    with database.owner.begin() as connection:
        connection.execute(text(guard.format("DISABLE")))
        connection.execute(text("DELETE FROM entry WHERE origin = :o AND index = 1"), {"o": kept.log.origin})
        connection.execute(text(guard.format("ENABLE ALWAYS")))
    assert kept.get("tile/0/000.p/3").status_code == 500
    assert kept.get("tile/entries/000.p/3").status_code == 500
    assert "entry" not in kept.get("tile/entries/000.p/3").json()["detail"]


def test_of_two_appends_from_one_size_one_is_stored(kept: Served, database: Database) -> None:
    kept.log.grow(1)
    body = kept.log.append(0)
    store = SqlStore(database.engine)
    policies = {kept.log.origin: FixedKeys(kept.log.policy)}
    forks = [Custodian(store, policies, (), lambda: kept.time), kept.custodian]
    kept.log.entries[0] = b"another"
    bodies = [body, kept.log.append(0)]

    def append(i: int) -> str:
        try:
            forks[i].append(kept.log.origin, bodies[i])
        except Refused as refusal:
            return refusal.reason
        return "stored"

    with ThreadPoolExecutor(2) as threads:
        outcomes = sorted(threads.map(append, (0, 1)))
    assert outcomes in (["stored", "wrong-old-size"], ["stored", "wrong-root"])


def test_a_cluster_that_may_lose_a_commit_is_not_vouched_for(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vault.custodian import sql_store

    SqlStore(database.engine).check_safe()
    with database.owner.connect() as connection:
        monkeypatch.setattr(connection, "scalar", lambda query: "off")
        monkeypatch.setattr(sql_store.Engine, "connect", lambda engine: Held(connection))
        with pytest.raises(Unsafe):
            SqlStore(database.engine).check_safe()


class Held:
    def __init__(self, connection: object) -> None:
        self.connection = connection

    def __enter__(self) -> object:
        return self.connection

    def __exit__(self, *_: object) -> None:
        pass
