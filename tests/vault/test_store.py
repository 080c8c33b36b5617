"""What the database itself guarantees: rows that nobody changes, and a custodian that notices if some are gone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from audit.protocol.refused import Refused
from tests.vault.conftest import Served
from vault.custodian.custody import Custodian
from vault.custodian.sql_store import SqlStore
from vault.custodian.storage import Unsafe

TABLES = ("entry", "head", "node", "published")


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("statement", ["UPDATE {} SET origin = origin", "DELETE FROM {}", "TRUNCATE {}"])
@pytest.mark.parametrize("who", ["engine", "owner"])
def test_nobody_changes_or_removes_a_row(served: Served, table: str, statement: str, who: str) -> None:
    served.fill(256)
    with pytest.raises(DBAPIError), getattr(served.database, who).begin() as connection:
        connection.execute(text(statement.format(table)))


def test_the_service_cannot_take_the_guard_away(served: Served) -> None:
    attempts = "ALTER TABLE entry DISABLE TRIGGER ALL", "DROP TABLE entry", "SET session_replication_role = replica"
    for statement in attempts:
        with pytest.raises(DBAPIError), served.database.engine.begin() as connection:
            connection.execute(text(statement))


def test_missing_rows_are_noticed_and_never_papered_over(served: Served) -> None:
    served.fill(3)
    guard = "ALTER TABLE entry {} TRIGGER psephos_insert_only"
    with served.database.owner.begin() as connection:
        connection.execute(text(guard.format("DISABLE")))
        connection.execute(text("DELETE FROM entry WHERE origin = :o AND index = 1"), {"o": served.log.origin})
        connection.execute(text(guard.format("ENABLE ALWAYS")))
    assert served.get("tile/0/000.p/3").status_code == 500
    assert served.get("tile/entries/000.p/3").status_code == 500
    assert "entry" not in served.get("tile/entries/000.p/3").json()["detail"]


def test_of_two_appends_from_one_size_one_is_stored(served: Served) -> None:
    served.log.grow(1)
    body = served.log.append(0)
    store = SqlStore(served.database.engine)
    forks = [Custodian(store, {served.log.origin: served.log.policy}, (), lambda: served.time), served.custodian]
    served.log.entries[0] = b"another"
    bodies = [body, served.log.append(0)]

    def append(i: int) -> str:
        try:
            forks[i].append(served.log.origin, bodies[i])
        except Refused as refusal:
            return refusal.reason
        return "stored"

    with ThreadPoolExecutor(2) as threads:
        outcomes = sorted(threads.map(append, (0, 1)))
    assert outcomes in (["stored", "wrong-old-size"], ["stored", "wrong-root"])


def test_a_cluster_that_may_lose_a_commit_is_not_vouched_for(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    from vault.custodian import sql_store

    SqlStore(served.database.engine).check_safe()
    with served.database.owner.connect() as connection:
        monkeypatch.setattr(connection, "scalar", lambda query: "off")
        monkeypatch.setattr(sql_store.Engine, "connect", lambda engine: Held(connection))
        with pytest.raises(Unsafe):
            SqlStore(served.database.engine).check_safe()


class Held:
    def __init__(self, connection: object) -> None:
        self.connection = connection

    def __enter__(self) -> object:
        return self.connection

    def __exit__(self, *_: object) -> None:
        pass
