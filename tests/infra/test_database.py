"""The way to PostgreSQL, and tables in it that only grow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, Table, insert, select, text
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, TimeoutError

from infra import database
from infra.database import NoDatabaseUrl
from infra.insert_only import create_insert_only
from infra.keys import KeyFileError, write_secret
from infra.postgres import Cluster

metadata = MetaData()
kept = Table("kept", metadata, Column("number", Integer, primary_key=True))


@pytest.fixture(scope="module")
def engines(cluster: Cluster) -> Iterator[tuple[Engine, Engine]]:
    """The owner's and the service's engine of a database with one table that only grows, and one row in it."""
    cluster.create_database("grows", "grows_owner", ["grows_service"])
    roles = ("grows_owner", "grows_service")
    owner, service = (
        database.engine(
            cluster.url(role, "grows"), cluster.passfile(role), name="tests", connections=1, owner=role == roles[0]
        )
        for role in roles
    )
    for _ in range(2):
        with owner.begin() as connection:
            create_insert_only(connection, metadata, "grows_service")
    with service.begin() as connection:
        connection.execute(insert(kept).values(number=7))
    yield owner, service
    owner.dispose()
    service.dispose()


CHANGES = ["UPDATE public.kept SET number = 8", "DELETE FROM public.kept", "TRUNCATE public.kept"]


@pytest.mark.parametrize(
    "statement", [*CHANGES, "DROP TABLE public.kept", "ALTER TABLE public.kept DISABLE TRIGGER ALL"]
)
def test_the_service_may_add_and_look_and_nothing_else(engines: tuple[Engine, Engine], statement: str) -> None:
    with engines[1].connect() as connection, pytest.raises(ProgrammingError, match="permission denied|must be owner"):
        connection.execute(text(statement))


@pytest.mark.parametrize("statement", CHANGES)
def test_not_even_the_owner_changes_what_is_kept(engines: tuple[Engine, Engine], statement: str) -> None:
    with engines[0].connect() as connection, pytest.raises(ProgrammingError, match="only grows"):
        connection.execute(text(statement))
    with engines[0].connect() as connection:
        assert connection.scalars(select(kept.c.number)).all() == [7]


def test_an_error_does_not_carry_the_row_it_failed_on(engines: tuple[Engine, Engine]) -> None:
    with engines[1].connect() as connection, pytest.raises(IntegrityError) as error:
        connection.execute(insert(kept).values(number=7))
    assert "[parameters" not in str(error.value)


def test_a_connection_says_whose_it_is(engines: tuple[Engine, Engine]) -> None:
    with engines[0].connect() as connection:
        assert connection.scalar(text("SHOW application_name")) == "tests"


def test_connections_are_bounded(engines: tuple[Engine, Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines[0].pool, "_timeout", 0.05)
    with engines[0].connect(), pytest.raises(TimeoutError), engines[0].connect():
        pass


def test_the_name_of_a_role_is_no_more_than_that(engines: tuple[Engine, Engine]) -> None:
    with engines[0].connect() as connection, pytest.raises(ProgrammingError, match="does not exist"):
        create_insert_only(connection, metadata, 'a"; DROP TABLE kept; --')


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("nothing", "cannot be read"),
        ("postgresql://role@/db", "must start with"),
        ("sqlite:///db", "must start with"),
        ("postgresql+psycopg://role:hush@/db", "must not hold a password"),
        ("postgresql+psycopg://role@/db?host=/run&options=-c%20lock_timeout%3D1", "must not hold `options`"),
    ],
)
def test_a_url_of_another_kind_is_refused_without_repeating_it(url: str, fault: str) -> None:
    with pytest.raises(NoDatabaseUrl, match=fault) as error:
        database.engine(url, Path("/none"), name="tests")
    assert "hush" not in str(error.value)


def test_a_passfile_that_libpq_would_pass_over_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="none: No such file"):
        database.engine(cluster.url("grows_service", "grows"), tmp_path / "none", name="tests")
    (tmp_path / "open").write_text("x")
    (tmp_path / "open").chmod(0o644)
    with pytest.raises(KeyFileError, match="must be 0600"):
        database.engine(cluster.url("grows_service", "grows"), tmp_path / "open", name="tests")


def of_another_database(url: str) -> str:
    return url.replace("/grows?", "/shrinks?")


def of_another_server(url: str) -> str:
    return url.replace("?host=", "?host=/nowhere")


def the_same(url: str) -> str:
    return url


UNREACHABLE = [
    (the_same, "*:*:*:*:wrong", "grows", "wrong-password"),
    (the_same, "other:*:*:*:wrong", "grows", "no-password"),
    (of_another_database, "", "shrinks", "no-such-database"),
    (of_another_server, "", "grows", "no-server-there"),
]


@pytest.mark.parametrize(("elsewhere", "password", "name", "cause"), UNREACHABLE)
def test_a_database_that_cannot_be_reached_is_named_with_the_reason_and_not_each_time(
    engines: tuple[Engine, Engine],
    cluster: Cluster,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    elsewhere: Callable[[str], str],
    password: str,
    name: str,
    cause: str,
) -> None:
    write_secret(tmp_path / "passfile", password or cluster.passfile("grows_service").read_bytes())
    url = elsewhere(cluster.url("grows_service", "grows"))
    engine = database.engine(url, tmp_path / "passfile", name="tests")
    for _ in range(2):
        with pytest.raises(OperationalError) as error:
            engine.connect()
        database.tell(error.value)
    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (line["event"], line["database"], line["cause"]) == ("database-unavailable", name, cause)
