"""What the database itself guarantees: rows that nobody changes, and a custodian that notices if some are gone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from audit.protocol.refused import Refused
from infra.database import engine
from infra.postgres import ADMIN, Cluster
from tests.databases import Database, rights
from tests.loopback import wait_until
from tests.vault.conftest import Served
from tests.vault.fixed_keys import FixedKeys
from tests.vault.witnessing import monitored
from vault.custodian.custody import Custodian
from vault.custodian.sql_store import SqlStore
from vault.custodian.storage import Unsafe


@pytest.fixture
def kept(in_database: Served) -> Served:
    return in_database


@pytest.fixture
def superuser(cluster: Cluster, database: Database) -> Iterator[Engine]:
    """The cluster's administrator, in the custodian's database."""
    name = database.engine.url.database
    made = engine(cluster.url(ADMIN, str(name)), cluster.passfile(ADMIN), name="tests", connections=2, owner=True)
    yield made
    made.dispose()


TABLES = ("entry", "head", "keeps", "node", "observed", "published")


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("statement", ["UPDATE {} SET origin = origin", "DELETE FROM {}", "TRUNCATE {}"])
@pytest.mark.parametrize("who", ["service", "owner", "superuser"])
def test_nobody_changes_or_removes_a_row(
    kept: Served, database: Database, superuser: Engine, table: str, statement: str, who: str
) -> None:
    kept.fill(256)
    acting = {"service": database.engine, "owner": database.owner, "superuser": superuser}[who]
    with pytest.raises(ProgrammingError) as error, acting.begin() as connection:
        connection.execute(text(statement.format(f"public.{table}")))
    assert isinstance(error.value.orig, InsufficientPrivilege)


def test_a_superuser_who_plays_a_standby_changes_nothing_either(kept: Served, superuser: Engine) -> None:
    kept.fill(1)
    with pytest.raises(ProgrammingError, match="only grows"), superuser.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("DELETE FROM entry"))
    # The same through the tables' back doors.
    for statement in ("UPDATE entry SET data = ''::bytea WHERE false", "TRUNCATE head, entry CASCADE"):
        with pytest.raises(ProgrammingError, match="only grows"), superuser.begin() as connection:
            connection.execute(text(statement))


def test_the_service_may_insert_and_select_and_nothing_else(database: Database) -> None:
    assert {table: rights(database.engine)[table] for table in TABLES} == dict.fromkeys(TABLES, {"INSERT", "SELECT"})


def test_the_service_cannot_take_the_guard_away(kept: Served, database: Database) -> None:
    attempts = (
        "ALTER TABLE public.entry DISABLE TRIGGER ALL",
        "DROP TABLE public.entry",
        "SET session_replication_role = replica",
    )
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
    assert outcomes in (["stored", "wrong-old-size"], ["stored", "wrong-root"], ["fork", "stored"])


def test_an_append_costs_the_same_however_many_trees_were_seen(kept: Served, database: Database) -> None:
    kept.fill(3)
    many = text(
        "INSERT INTO observed SELECT :origin, 'line', size, size - 1, sha256(''), sha256(size::text::bytea), 1"
        " FROM generate_series(1, 5000) AS size"
    )
    with database.owner.begin() as connection:
        connection.execute(many, {"origin": f"{kept.log.origin}/other"})
        connection.execute(many, {"origin": kept.log.origin})
        connection.execute(text("ANALYZE observed"))
    asked: list[tuple[str, object]] = []

    def note(_: object, __: object, statement: str, values: object, *___: object) -> None:
        if "FROM public.observed" in statement:
            asked.append((statement, values))

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        kept.log.grow(1)
        kept.cosigned(kept.log.append(3))
        kept.client.get(monitored(kept))
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
    assert {"size <= " in statement for statement, _ in asked} == {True, False}
    with database.engine.connect() as connection:
        for statement, values in asked:
            plan = "".join(connection.exec_driver_sql(f"EXPLAIN {statement}", values).scalars())
            assert "Seq Scan" not in plan and "Sort" not in plan, plan


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_a_cluster_that_may_lose_a_commit_is_not_vouched_for(
    kept: Served, database: Database, superuser: Engine, setting: str
) -> None:
    kept.fill(1)
    kept.log.grow(1)
    with cluster_set(superuser, setting, "off"):
        with pytest.raises(Unsafe, match=f"runs with {setting} off: .*; set {setting} = on"):
            SqlStore(database.engine).check_safe()
        # Also while it runs: the transaction that would have to be on disk is given up.
        assert kept.post("append", kept.log.append(1)).status_code == 500
        assert kept.stored().size == 1
    SqlStore(database.engine).check_safe()
    kept.cosigned(kept.log.append(1))


@pytest.mark.parametrize("setting", ["ignore_checksum_failure", "zero_damaged_pages"])
def test_a_cluster_that_reads_over_damage_is_not_vouched_for(
    database: Database, superuser: Engine, setting: str
) -> None:
    with cluster_set(superuser, setting, "on"), pytest.raises(Unsafe, match=f"runs with {setting} on"):
        SqlStore(database.engine).check_safe()
    SqlStore(database.engine).check_safe()


def test_a_role_that_may_do_more_than_add_is_refused(database: Database, superuser: Engine) -> None:
    for acting in (database.owner, superuser):
        with pytest.raises(Unsafe, match="role .* may change what is in the table"):
            SqlStore(acting).check_safe()


@pytest.mark.parametrize("right", ["UPDATE", "UPDATE (data)", "DELETE", "TRUNCATE"])
def test_a_right_too_many_is_refused(database: Database, right: str) -> None:
    role = database.engine.url.username
    with database.owner.begin() as connection:
        connection.execute(text(f"GRANT {right} ON mended TO {role}"))
    try:
        with pytest.raises(Unsafe, match=f"{role} may change what is in the table mended"):
            SqlStore(database.engine).check_safe()
    finally:
        with database.owner.begin() as connection:
            connection.execute(text(f"REVOKE {right} ON mended FROM {role}"))
    SqlStore(database.engine).check_safe()


def test_a_role_that_may_become_the_owner_is_refused(database: Database, superuser: Engine) -> None:
    role, owner = database.engine.url.username, database.owner.url.username
    with superuser.begin() as connection:
        # It inherits no right of the owner's, but may take them all.
        connection.execute(text(f"ALTER ROLE {role} NOINHERIT; GRANT {owner} TO {role}"))
    try:
        with pytest.raises(Unsafe, match=f"{role} may change what is in the table brought, or owns it"):
            SqlStore(database.engine).check_safe()
    finally:
        with superuser.begin() as connection:
            connection.execute(text(f"REVOKE {owner} FROM {role}; ALTER ROLE {role} INHERIT"))
    SqlStore(database.engine).check_safe()


def test_a_table_that_follows_another_database_is_refused(database: Database, superuser: Engine) -> None:
    # What comes from there is changed past the guard. The clusters of the tests follow nobody: it is written down only.
    with superuser.begin() as connection:
        connection.execute(text("SET LOCAL allow_system_table_mods TO on"))
        connection.execute(text("INSERT INTO pg_subscription_rel VALUES (1, 'head'::regclass, 'r', '0/1')"))
    try:
        with pytest.raises(Unsafe, match="the table head is without its guard"):
            SqlStore(database.engine).check_safe()
    finally:
        with superuser.begin() as connection:
            connection.execute(text("SET LOCAL allow_system_table_mods TO on"))
            connection.execute(text("DELETE FROM pg_subscription_rel WHERE srrelid = 'head'::regclass"))
    SqlStore(database.engine).check_safe()


def test_a_commit_waits_for_the_disk_whatever_the_role_is_set_to(
    kept: Served, database: Database, superuser: Engine
) -> None:
    role = database.engine.url.username
    with superuser.begin() as connection:
        connection.execute(text(f"ALTER ROLE {role} SET synchronous_commit TO off"))
    database.engine.dispose()
    try:
        with database.engine.connect() as connection:
            assert connection.scalar(text("SHOW synchronous_commit")) == "off"
        with SqlStore(database.engine)._adding(kept.log.origin) as connection:
            assert connection.scalar(text("SHOW synchronous_commit")) == "on"
    finally:
        with superuser.begin() as connection:
            connection.execute(text(f"ALTER ROLE {role} RESET synchronous_commit"))
        database.engine.dispose()


@contextmanager
def cluster_set(superuser: Engine, setting: str, value: str) -> Iterator[None]:
    """A setting of the whole cluster, for a while."""

    def change(to: str) -> None:
        with superuser.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"ALTER SYSTEM {to}"))
            connection.execute(text("SELECT pg_reload_conf()"))

    def is_set(wanted: str) -> bool:
        with superuser.connect() as connection:
            return connection.scalar(text(f"SHOW {setting}")) == wanted

    with superuser.connect() as connection:
        before = str(connection.scalar(text(f"SHOW {setting}")))
    change(f"SET {setting} TO {value}")
    try:
        wait_until(lambda: is_set(value))
        yield
    finally:
        change(f"RESET {setting}")
        wait_until(lambda: is_set(before))
