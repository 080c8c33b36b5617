"""A custodian finds out while it runs that its place is not safe any more: it says so and signs nothing meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from audit.log.merkle import leaf_hash
from audit.protocol.refused import Refused
from infra.database import engine
from infra.insert_only import GUARD_BODY
from infra.metrics import Metrics
from tests.databases import Database
from tests.vault.conftest import CUSTODIANS, WITNESS, Served
from tests.vault.fixed_keys import FixedKeys
from tests.vault.witnessing import add, cosigned, submission
from vault.custodian.custody import Custodian
from vault.custodian.sql_ahead import keep_brought
from vault.custodian.sql_store import SqlStore
from vault.custodian.storage import Unsafe
from vault.custodian.watching import Watch
from vault.custodian.witness import Witness, parse_submission

GUARD_ON_HEAD = (
    "CREATE OR REPLACE TRIGGER psephos_insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON head"
    " EXECUTE FUNCTION psephos_insert_only(); ALTER TABLE head ENABLE ALWAYS TRIGGER psephos_insert_only"
)
MISUSED = {
    "a right": ("GRANT UPDATE (data) ON entry TO {role}", "REVOKE UPDATE (data) ON entry FROM {role}"),
    "a guard": (
        "ALTER TABLE head DISABLE TRIGGER psephos_insert_only",
        "ALTER TABLE head ENABLE ALWAYS TRIGGER psephos_insert_only",
    ),
    "a guard for some": (
        "ALTER TABLE head ENABLE TRIGGER psephos_insert_only",
        "ALTER TABLE head ENABLE ALWAYS TRIGGER psephos_insert_only",
    ),
    "a rule": (
        "CREATE RULE nowhere AS ON INSERT TO entry DO INSTEAD NOTHING",
        "DROP RULE nowhere ON entry",
    ),
    "a trigger": (
        "CREATE TRIGGER other BEFORE DELETE ON node EXECUTE FUNCTION psephos_insert_only()",
        "DROP TRIGGER other ON node",
    ),
    "a guard that lets all pass": (
        "CREATE OR REPLACE FUNCTION psephos_insert_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        f"CREATE OR REPLACE FUNCTION psephos_insert_only() RETURNS trigger LANGUAGE plpgsql AS $${GUARD_BODY}$$",
    ),
    "a guard that never fires": (
        GUARD_ON_HEAD.replace("ON head", "ON head FOR EACH STATEMENT WHEN (false)"),
        GUARD_ON_HEAD,
    ),
    "a guard of one column": (GUARD_ON_HEAD.replace("UPDATE", "UPDATE OF time"), GUARD_ON_HEAD),
    "a table that a crash empties": ("ALTER TABLE published SET UNLOGGED", "ALTER TABLE published SET LOGGED"),
    "a table that is elsewhere": (
        "ALTER TABLE head RENAME TO here; CREATE TABLE head (LIKE here) PARTITION BY LIST (origin);"
        "GRANT INSERT, SELECT ON head TO {role};" + GUARD_ON_HEAD,
        "DROP TABLE head; ALTER TABLE here RENAME TO head",
    ),
    "a table that inherits": ("CREATE TABLE more () INHERITS (entry)", "DROP TABLE more"),
    "two heads may follow one": (
        "ALTER TABLE head DROP CONSTRAINT head_origin_old_size_key",
        "ALTER TABLE head ADD UNIQUE (origin, old_size)",
    ),
    "two heads follow one until the commit": (
        "ALTER TABLE head DROP CONSTRAINT head_origin_old_size_key, ADD UNIQUE (origin, old_size) DEFERRABLE",
        "ALTER TABLE head DROP CONSTRAINT head_origin_old_size_key, ADD UNIQUE (origin, old_size)",
    ),
    "two entries in one place": (
        "ALTER TABLE entry DROP CONSTRAINT entry_pkey",
        "ALTER TABLE entry ADD PRIMARY KEY (origin, index)",
    ),
    "one entry in a place, of some": (
        "ALTER TABLE entry DROP CONSTRAINT entry_pkey;"
        "CREATE UNIQUE INDEX other ON entry (origin, index) WHERE index > 0",
        "DROP INDEX other; ALTER TABLE entry ADD PRIMARY KEY (origin, index)",
    ),
    "one tree seen after one, of each note": (
        "ALTER TABLE observed DROP CONSTRAINT observed_follows,"
        "ADD UNIQUE (origin, line, old_size, time), ADD UNIQUE (line, old_size) INCLUDE (origin)",
        "ALTER TABLE observed DROP CONSTRAINT observed_origin_line_old_size_time_key,"
        "DROP CONSTRAINT observed_line_old_size_origin_key,"
        "ADD CONSTRAINT observed_follows UNIQUE (origin, line, old_size)",
    ),
    "a policy": ("ALTER TABLE entry ENABLE ROW LEVEL SECURITY", "ALTER TABLE entry DISABLE ROW LEVEL SECURITY"),
}


@contextmanager
def misused(database: Database, how: str) -> Iterator[None]:
    """What only who owns the tables can do, and its end."""
    for statement in MISUSED[how]:
        with database.owner.begin() as connection:
            connection.execute(text(statement.format(role=database.engine.url.username)))
        if statement == MISUSED[how][0]:
            yield


@pytest.mark.parametrize("how", MISUSED)
def test_what_would_let_rows_change_or_vanish_is_found(database: Database, how: str) -> None:
    store = SqlStore(database.engine)
    store.check_safe()
    with misused(database, how), pytest.raises(Unsafe):
        store.check_safe()
    store.check_safe()


def test_while_it_runs_it_says_so_and_signs_nothing(
    in_database: Served, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    served, origin, metrics = in_database, in_database.log.origin, Metrics()
    watch = Watch(SqlStore(database.engine).check_safe)
    watch.add_figure(metrics)
    custodian = Custodian(
        served.store(), {origin: FixedKeys(served.log.policy)}, CUSTODIANS[0], lambda: served.time, watch.check
    )
    served.log.grow(1)
    watch.look()
    assert custodian.append(origin, served.log.append(0))
    served.log.grow(1)
    with misused(database, "a right"):
        watch.look()
        watch.look()
        with pytest.raises(Refused, match="may change what is in the table entry") as refusal:
            custodian.append(origin, served.log.append(1))
        assert refusal.value.reason == "unsafe"
        assert b"psephos_unsafe 1.0\n" in metrics.text()
        assert served.stored().size == 1
    watch.look()
    assert custodian.append(origin, served.log.append(1))
    assert b"psephos_unsafe 0.0\n" in metrics.text()
    said = capsys.readouterr().err
    assert said.count('"event": "unsafe", "what": "role"') == 1
    assert said.count('"event": "safe-again"') == 1


def test_the_witness_beside_it_signs_nothing_either(in_database: Served, database: Database) -> None:
    served, origin = in_database, in_database.log.origin
    watch = Watch(SqlStore(database.engine).check_safe)
    keys = {origin: FixedKeys(served.log.policy)}
    custodian = Custodian(served.store(), keys, CUSTODIANS[0], lambda: served.time, watch.check)
    witness = Witness(custodian.kept, [WITNESS])
    served.log.grow(1)
    first, again = submission(served, 0), submission(served, 1)
    assert witness.add_checkpoint(parse_submission(first)) and witness.checkpoint(origin)
    asked = [
        lambda: witness.add_checkpoint(parse_submission(again)),
        lambda: witness.checkpoint(origin),
        lambda: custodian.mirrored(origin),
    ]
    with misused(database, "a right"):
        watch.look()
        for ask in asked:
            with pytest.raises(Refused, match="may change what is in the table entry"):
                ask()
    watch.look()
    assert witness.add_checkpoint(parse_submission(again)) and witness.checkpoint(origin)


RULE = "CREATE RULE nowhere AS ON INSERT TO {table} DO INSTEAD NOTHING"
TRIGGER = (
    "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
    "CREATE TRIGGER nowhere BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION nothing()"
)


@contextmanager
def swallowing(database: Database, how: str, table: str) -> Iterator[None]:
    """Whoever owns the table has it take rows and store none."""
    with database.owner.begin() as connection:
        connection.execute(text(how.format(table=table)))
    try:
        yield
    finally:
        with database.owner.begin() as connection:
            connection.execute(text(f"DROP RULE IF EXISTS nowhere ON {table}; DROP FUNCTION IF EXISTS nothing CASCADE"))


@pytest.mark.parametrize(("how", "table"), [(RULE, "entry"), *((TRIGGER, of) for of in ("entry", "head", "node"))])
def test_what_the_database_takes_and_does_not_store_is_not_signed(
    in_database: Served, database: Database, how: str, table: str
) -> None:
    served = in_database
    served.fill(255)
    served.log.grow(1)
    body = served.log.append(255)
    # Before anybody has looked.
    with swallowing(database, how, table):
        assert served.post("append", body).status_code == 500
        assert served.stored().size == 255
    served.cosigned(body)


def test_nor_does_the_witness_sign_a_head_that_is_not_stored(in_database: Served, database: Database) -> None:
    served = in_database
    served.log.grow(3)
    body = submission(served, 0)
    with swallowing(database, TRIGGER, "observed"):
        assert add(served, body).status_code == 500
        # Else of another tree, too.
        assert served.store().observed(served.log.origin).size == 0
    assert cosigned(served, body)


def test_nothing_that_is_brought_counts_where_none_of_it_was_stored(in_database: Served, database: Database) -> None:
    store, entries = SqlStore(database.engine), [b"one", b"two"]
    leaves = [leaf_hash(entry) for entry in entries]
    with swallowing(database, TRIGGER, "brought"), pytest.raises(Unsafe, match="not stored them"):
        store.bring(in_database.log.origin, "line", 0, leaves, entries)
    with swallowing(database, TRIGGER, "entry"):
        store.bring(in_database.log.origin, "line", 0, leaves, entries)
        with pytest.raises(Unsafe, match="not stored them"), store._adding(in_database.log.origin) as connection:
            keep_brought(connection, in_database.log.origin, "line", 0, 2)
    # One of two is too few as well.
    with pytest.raises(Unsafe, match="not stored them"), store._adding(in_database.log.origin) as connection:
        keep_brought(connection, in_database.log.origin, "line", 1, 3)
    assert store.staged(in_database.log.origin) == 0


@pytest.mark.parametrize(
    ("table", "store"),
    [
        ("published", lambda to, origin: to.publish(origin, 1, b"note")),
        ("keeps", lambda to, origin: to.keep(origin, "custodian-a")),
        ("mended", lambda to, origin: to.mend_published(origin, 1, b"note")),
    ],
)
def test_what_is_published_kept_or_mended_is_stored_or_it_is_told(
    database: Database, in_database: Served, table: str, store: Callable[[SqlStore, str], object]
) -> None:
    with swallowing(database, TRIGGER, table), pytest.raises(Unsafe, match="not stored them"):
        store(SqlStore(database.engine), in_database.log.origin)
    store(SqlStore(database.engine), in_database.log.origin)


def test_the_first_checkpoint_of_a_size_stands(database: Database, in_database: Served) -> None:
    store, origin = SqlStore(database.engine), in_database.log.origin
    store.publish(origin, 1, b"first")
    store.publish(origin, 1, b"second")
    assert store.published(origin) == (1, b"first")


def test_a_folder_that_others_may_write_to_by_now(in_folder: Served, tmp_path: Path) -> None:
    watch = Watch(in_folder.store().check_safe)
    tmp_path.chmod(0o770)
    watch.look()
    with pytest.raises(Refused, match="lets others change it"):
        watch.check()
    tmp_path.chmod(0o700)
    watch.look()
    watch.check()


def test_a_database_that_is_away_changes_nothing_in_what_is_known(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = engine(f"postgresql+psycopg://x@/away?host={tmp_path}", database.passfile, name="tests")
    looks = iter([lambda: None, unsafe, SqlStore(nowhere).check_safe, broken])
    watch = Watch(lambda: next(looks)())
    watch.look()
    watch.check()
    watch.look()
    watch.look()
    with pytest.raises(Refused, match="as it was"):
        watch.check()
    # Its engine has said it, and nothing is said of a fault in here.
    said = capsys.readouterr().err
    assert said.count("database-unavailable") == 1 and "failure" not in said
    watch.look()
    with pytest.raises(Refused, match="as it was"):
        watch.check()
    assert capsys.readouterr().err.count("failure") == 1


def unsafe() -> None:
    raise Unsafe("as it was")


def broken() -> None:
    raise TimeoutError
