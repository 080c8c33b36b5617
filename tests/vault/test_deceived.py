"""Who owns the database answers in its place what a custodian asks of it, by what is found first, or fits better."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, text

from audit.log.merkle import leaf_hash
from audit.record.heads import FIRST_LINE
from tests.databases import Database
from tests.vault.conftest import Served
from vault.custodian.cluster import SAFE, check_settings
from vault.custodian.sql_store import SqlStore
from vault.custodian.storage import Unsafe

COLUMNS = "SELECT attname FROM pg_attribute WHERE attrelid = '{}'::regclass AND attnum > 0 AND NOT attisdropped"
GUARDED = (
    "CREATE TRIGGER psephos_insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON own.entry"
    " EXECUTE FUNCTION psephos_insert_only(); ALTER TABLE own.entry ENABLE ALWAYS TRIGGER psephos_insert_only"
)


@pytest.fixture
def owned(database: Database) -> Iterator[Callable[[str], None]]:
    """Runs what the owner wishes; afterwards all is as it was."""
    name = database.owner.url.database

    def run(statements: str) -> None:
        with database.owner.begin() as connection:
            connection.execute(text(statements.format(database=name, role=database.engine.url.username)))
        database.engine.dispose()

    run("CREATE SCHEMA own; GRANT USAGE ON SCHEMA own TO PUBLIC")
    yield run
    run("ALTER DATABASE {database} RESET ALL; DROP SCHEMA own CASCADE; ALTER TABLE entry DROP COLUMN IF EXISTS more;")
    run("ALTER TABLE entry ENABLE ALWAYS TRIGGER psephos_insert_only; ALTER TABLE entry DROP CONSTRAINT IF EXISTS own")


def shown(connection: Connection, table: str, **values: str) -> str:
    """A view of the owner's in the place of one of PostgreSQL's own tables, with these columns otherwise."""
    names = connection.scalars(text(COLUMNS.format(table))).all()
    columns = ", ".join(f"{values[name]} AS {name}" if name in values else name for name in names)
    return (
        f"CREATE VIEW own.{table} AS SELECT {columns} FROM pg_catalog.{table}; GRANT SELECT ON own.{table} TO PUBLIC;"
    )


def test_by_a_table_that_is_found_before_postgresqls_own(database: Database, owned: Callable[[str], None]) -> None:
    with database.owner.begin() as connection:
        view = shown(connection, "pg_trigger", tgenabled="'A'::\"char\"")
    owned(view + "ALTER DATABASE {database} SET search_path = own, pg_catalog, public")
    SqlStore(database.engine).check_safe()
    owned("ALTER TABLE entry DISABLE TRIGGER psephos_insert_only")
    with pytest.raises(Unsafe, match="the table entry is without its guard"):
        SqlStore(database.engine).check_safe()


def test_rows_go_into_no_other_table_of_the_same_name(
    in_database: Served, database: Database, owned: Callable[[str], None]
) -> None:
    owned(
        "CREATE UNLOGGED TABLE own.entry (LIKE public.entry INCLUDING ALL); GRANT ALL ON own.entry TO {role};" + GUARDED
    )
    owned("ALTER DATABASE {database} SET search_path = own, public")
    in_database.fill(3)
    with database.owner.begin() as connection:
        of_log = {"o": in_database.log.origin}
        assert connection.scalar(text("SELECT count(*) FROM public.entry WHERE origin = :o"), of_log) == 3
        assert connection.scalar(text("SELECT count(*) FROM own.entry"), of_log) == 0


@pytest.mark.parametrize("place", ["public", "own"])
def test_by_a_function_that_fits_better(database: Database, owned: Callable[[str], None], place: str) -> None:
    owned(f"CREATE FUNCTION {place}.current_setting(varchar) RETURNS text LANGUAGE sql AS $$ SELECT 'off' $$")
    owned("ALTER DATABASE {database} SET search_path = own, pg_catalog, public")
    try:
        with database.engine.connect() as connection:
            check_settings(connection, *SAFE)
    finally:
        owned(f"DROP FUNCTION {place}.current_setting(varchar)")


def test_by_an_operator_that_fits_better(database: Database, owned: Callable[[str], None]) -> None:
    owned("CREATE FUNCTION public.all_equal(text, varchar) RETURNS boolean LANGUAGE sql AS 'SELECT true'")
    owned("CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = varchar, FUNCTION = public.all_equal)")
    store = SqlStore(database.engine)
    store.keep("log of another", "another")
    try:
        assert store.keeper("no log") is None
    finally:
        owned("DROP FUNCTION public.all_equal CASCADE")


def test_by_what_a_backslash_means(in_database: Served, database: Database, owned: Callable[[str], None]) -> None:
    in_database.fill(1)
    origin, rekey = in_database.log.origin, FIRST_LINE + b"..."
    store = SqlStore(database.engine)
    store.stage(origin, 1, [leaf_hash(rekey)], [rekey])
    owned("ALTER DATABASE {database} SET standard_conforming_strings = off")
    assert store.rekeys(origin) == [1]


OWN = "CREATE FUNCTION own.code(bigint) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;"
RUN = {
    "a default": "ALTER TABLE entry ADD COLUMN more bigint DEFAULT own.code(1)",
    "a check": "ALTER TABLE entry ADD CONSTRAINT own CHECK (own.code(index) = 1)",
    "an index": "CREATE INDEX own ON entry (own.code(index))",
    "a generated column": "ALTER TABLE entry ADD COLUMN more bigint GENERATED ALWAYS AS (own.code(index)) STORED",
    "a type": "CREATE DOMAIN own.number bigint CHECK (VALUE = 1); ALTER TABLE entry ADD COLUMN more own.number",
    # By functions of PostgreSQL's own, on which nothing is noted to depend.
    "any text in a check": "ALTER TABLE entry ADD CONSTRAINT own CHECK"
    " (query_to_xml('SELECT own.code(1)', true, true, '') IS NOT NULL)",
    "a setting in a check": "ALTER TABLE entry ADD CONSTRAINT own CHECK"
    " (set_config('synchronous_commit', 'off', true) IS NOT NULL)",
    "a setting in a default": "ALTER TABLE entry ADD COLUMN more text DEFAULT"
    " set_config('synchronous_commit', 'off', true)",
}


@pytest.mark.parametrize("how", RUN)
def test_what_somebody_has_written_runs_at_no_row(database: Database, owned: Callable[[str], None], how: str) -> None:
    owned(OWN + RUN[how])
    with pytest.raises(Unsafe, match="the table entry .* or a function acts on its rows"):
        SqlStore(database.engine).check_safe()


@pytest.mark.parametrize(("setting", "value"), [("synchronous_commit", "off"), ("search_path", "own, public")])
def test_what_comes_between_two_looks_and_changes_how_a_row_is_stored_stores_none(
    in_database: Served, owned: Callable[[str], None], setting: str, value: str
) -> None:
    in_database.fill(3)
    owned(f"ALTER TABLE entry ADD CONSTRAINT own CHECK (set_config('{setting}', '{value}', false) IS NOT NULL)")
    body = in_database.log.append(in_database.log.grow(2))
    assert in_database.post("append", body).status_code == 500
    assert in_database.stored().size == 3
    # Nor is the connection what it would have made of it.
    owned("ALTER TABLE entry DROP CONSTRAINT own")
    in_database.cosigned(body)
    in_database.store().check_safe()


def test_a_connection_that_came_to_look_elsewhere_is_told(database: Database) -> None:
    store = SqlStore(database.engine)
    with database.engine.connect() as connection:
        connection.execute(text("SET search_path TO public"))
        connection.commit()
    with pytest.raises(Unsafe, match="changed where names are looked for, to public"):
        store.check_safe()
    database.engine.dispose()
    store.check_safe()
