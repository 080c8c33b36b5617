"""The way to PostgreSQL, and tables in it that only grow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, Table, insert, select, text
from sqlalchemy.exc import IntegrityError, ProgrammingError, TimeoutError

from infra import database
from infra.insert_only import create_insert_only
from infra.postgres import Cluster

metadata = MetaData()
kept = Table("kept", metadata, Column("number", Integer, primary_key=True))


@pytest.fixture(scope="module")
def engines(cluster: Cluster) -> Iterator[tuple[Engine, Engine]]:
    """The owner's and the service's engine of a database with one table that only grows, and one row in it."""
    cluster.create_database("grows", "grows_owner", ["grows_service"])
    roles = ("grows_owner", "grows_service")
    owner, service = (
        database.engine(cluster.url(role, "grows"), cluster.passfile(role), name="tests", connections=1)
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


CHANGES = ["UPDATE kept SET number = 8", "DELETE FROM kept", "TRUNCATE kept"]


@pytest.mark.parametrize("statement", [*CHANGES, "DROP TABLE kept", "ALTER TABLE kept DISABLE TRIGGER ALL"])
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


@pytest.mark.parametrize("role", ["", "a b", 'a"; DROP TABLE kept; --', "A", "x" * 64])
def test_what_names_no_role_is_refused(engines: tuple[Engine, Engine], role: str) -> None:
    with engines[0].begin() as connection, pytest.raises(ValueError, match="is not the name of a role"):
        create_insert_only(connection, metadata, role)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("nothing", "cannot be read"),
        ("postgresql://role@/db", "must start with"),
        ("sqlite:///db", "must start with"),
        ("postgresql+psycopg://role:hush@/db", "must not hold a password"),
    ],
)
def test_a_url_of_another_kind_is_refused_without_repeating_it(url: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as error:
        database.engine(url, Path("/none"), name="tests")
    assert "hush" not in str(error.value)
