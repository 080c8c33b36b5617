"""A custodian finds out while it runs that its place is not safe any more: it says so and signs nothing meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from audit.protocol.refused import Refused
from infra.insert_only import GUARD_BODY
from infra.metrics import Metrics
from tests.databases import Database
from tests.vault.conftest import CUSTODIANS, WITNESS, Served
from tests.vault.fixed_keys import FixedKeys
from tests.vault.witnessing import submission
from vault.custodian.custody import Custodian
from vault.custodian.sql_store import SqlStore
from vault.custodian.storage import Unsafe
from vault.custodian.watching import Watch
from vault.custodian.witness import Witness, parse_submission

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
    "a table that inherits": ("CREATE TABLE more () INHERITS (entry)", "DROP TABLE more"),
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


@pytest.mark.parametrize(
    "how",
    [
        "CREATE RULE nowhere AS ON INSERT TO entry DO INSTEAD NOTHING",
        "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER nowhere BEFORE INSERT ON entry FOR EACH ROW EXECUTE FUNCTION nothing()",
    ],
)
def test_what_the_database_takes_and_does_not_store_is_not_signed(
    in_database: Served, database: Database, how: str
) -> None:
    served = in_database
    served.fill(1)
    served.log.grow(1)
    body = served.log.append(1)
    with database.owner.begin() as connection:
        connection.execute(text(how))
    try:
        # Before anybody has looked.
        assert served.post("append", body).status_code == 500
        assert served.stored().size == 1
    finally:
        with database.owner.begin() as connection:
            kind = "RULE" if "RULE" in how else "TRIGGER"
            connection.execute(text(f"DROP {kind} nowhere ON entry"))
    served.cosigned(body)


def test_a_folder_that_others_may_write_to_by_now(in_folder: Served, tmp_path: Path) -> None:
    watch = Watch(in_folder.store().check_safe)
    tmp_path.chmod(0o770)
    watch.look()
    with pytest.raises(Refused, match="lets others change it"):
        watch.check()
    tmp_path.chmod(0o700)
    watch.look()
    watch.check()


def test_a_database_that_is_away_changes_nothing_in_what_is_known(database: Database) -> None:
    looks = iter([None, Unsafe("as it was"), TimeoutError()])

    def look() -> None:
        if (error := next(looks)) is not None:
            raise error

    watch = Watch(look)
    watch.look()
    watch.check()
    watch.look()
    watch.look()
    with pytest.raises(Refused, match="as it was"):
        watch.check()
