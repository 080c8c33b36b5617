"""`psephos schema` with a role that is wrong: one sentence that says which and what to do, and nothing made."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import pytest
from sqlalchemy import make_url, text
from typer.testing import CliRunner

from infra import commands, database
from infra.owner import WrongRole, as_owner
from infra.postgres import ADMIN, Cluster

_numbers = itertools.count()
ROOMS = ["intake", "tally", "custodian"]


class Place:
    """An empty database, and the command by which a room's tables are made there."""

    def __init__(self, cluster: Cluster) -> None:
        self.name = f"owned_{next(_numbers)}"
        self.owner, self.service = f"{self.name}_owner", f"{self.name}_service"
        self._cluster = cluster
        cluster.create_database(self.name, self.owner, [self.service])

    def schema(self, room: str, *roles: str, by: str | None = None) -> None:
        login = by or self.owner
        where = ["--database", self._cluster.url(login, self.name), "--passfile", str(self._cluster.passfile(login))]
        named = zip(("--ingress", "--egress") if room == "queue" else ("--role",), roles, strict=True)
        given = [word for option in named for word in option]
        result = CliRunner().invoke(commands.root(), ["schema", room, *where, *given], catch_exceptions=True)
        if result.exception is not None:
            raise result.exception

    def tables(self) -> int:
        engine = database.engine(
            self._cluster.url(self.owner, self.name), self._cluster.passfile(self.owner), name="tests", owner=True
        )
        with engine.connect() as connection:
            found = connection.scalar(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))
        engine.dispose()
        return int(found or 0)


@pytest.fixture
def place(cluster: Cluster) -> Iterator[Place]:
    yield Place(cluster)


@pytest.mark.parametrize("room", ROOMS)
def test_a_role_that_is_not_there_is_named_with_what_makes_it(place: Place, room: str) -> None:
    with pytest.raises(WrongRole, match=r"the role nobody does not exist: .*CREATE ROLE nobody LOGIN"):
        place.schema(room, "nobody")
    assert place.tables() == 0


@pytest.mark.parametrize("room", ROOMS)
def test_who_does_not_own_the_database_makes_no_tables(place: Place, room: str) -> None:
    with pytest.raises(WrongRole, match=f"{place.service} may not make these tables .*run it as their owner"):
        place.schema(room, place.owner, by=place.service)
    place.schema(room, place.service)
    with pytest.raises(WrongRole, match=f"{place.service} may not make these tables .*run it as their owner"):
        place.schema(room, place.owner, by=place.service)


def test_the_owner_is_no_services_role(place: Place) -> None:
    with pytest.raises(WrongRole, match="the service needs a role of its own"):
        place.schema("custodian", place.owner)
    assert place.tables() == 0


@pytest.mark.parametrize("name", ["", "x y", 'x"; DROP DATABASE x; --'])
def test_what_is_no_plain_name_is_quoted_for_who_makes_the_role(place: Place, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    with pytest.raises(WrongRole, match=re.escape(f"CREATE ROLE {quoted} LOGIN")):
        place.schema("custodian", name)


@pytest.mark.parametrize("room", [*ROOMS, "queue"])
def test_a_role_may_have_any_name(place: Place, cluster: Cluster, room: str) -> None:
    roles = [f"{place.name}-service", f"{place.name} Other"][: 2 if room == "queue" else 1]
    admin = database.engine(cluster.url(ADMIN, place.name), cluster.passfile(ADMIN), name="tests", owner=True)
    with admin.begin() as connection:
        for role in roles:
            connection.execute(text(f'CREATE ROLE "{role}"'))
    admin.dispose()
    place.schema(room, *roles)
    assert place.tables()


def test_who_is_named_by_the_system_alone_is_named(
    place: Place, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGUSER", place.service)
    nameless = make_url(cluster.url(place.service, place.name))._replace(username=None)
    with (
        pytest.raises(WrongRole, match=f"^{place.service} may not make these tables"),
        as_owner(nameless.render_as_string(), cluster.passfile(place.service)) as connection,
    ):
        connection.execute(text("CREATE TABLE public.made (number int)"))


def test_the_queues_two_sides_have_a_role_each(place: Place) -> None:
    with pytest.raises(WrongRole, match=f"{place.service} is named twice"):
        place.schema("queue", place.service, place.service)
    with pytest.raises(WrongRole, match="the role nobody does not exist"):
        place.schema("queue", place.service, "nobody")
    assert place.tables() == 0


def test_it_is_one_sentence_to_who_runs_it(
    place: Place, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--database", cluster.url(place.owner, place.name), "--passfile", str(cluster.passfile(place.owner))]
    monkeypatch.setattr("sys.argv", ["psephos", "schema", "tally", *where, "--role", "nobody"])
    with pytest.raises(SystemExit) as ended:
        commands.main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("psephos: the role nobody does not exist") and said.count("\n") == 1
