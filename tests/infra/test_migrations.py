"""Tables brought from one version to another with their rows in place: all of a step or nothing of it, no row lost, and
what guards the tables still in force.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.exc import DBAPIError

from audit.log.merkle import leaf_hash
from infra import database
from infra.migrations import Schema, Step, WouldLoseRows, WrongSchema, existing
from infra.postgres import Cluster
from infra.queue import schema as queue
from intake.door import schema as intake
from tally.sequencer import schema as tally
from vault.custodian import schema as custodian
from vault.custodian.cosign import Head
from vault.custodian.sql_store import SqlStore

_numbers = itertools.count()
FIRST = Path(__file__).parent / "first_tables"
"""The tables as they were before versions were numbered, in the words of that time."""
FIRST_OF = {"custodian": ("custodian",), "tally": ("tally", "seen"), "intake": ("intake", "seen"), "queue": ("queue",)}
OURS = "relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S')"
COLUMNS = "pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped"
Install = Callable[..., tuple[int, int]]
ROOMS = [(custodian, "custodian"), (tally, "tally"), (intake, "intake"), (queue, "queue")]
H = bytes(32)
ROWS = {
    "custodian": "INSERT INTO entry VALUES ('o', 0, decode(repeat('ab', 32), 'hex'), 'data')",
    "tally": "INSERT INTO entry VALUES ('o', 0, 'data')",
    "intake": "INSERT INTO outbox VALUES ('o', 'identity', 'ballot', 'entry', 0, 0)",
    "queue": "INSERT INTO queued (key, data) VALUES (decode(repeat('ab', 16), 'hex'), 'data')",
}


class Place:
    """A database of its own, with the engines of its owner and of one or two roles."""

    def __init__(self, cluster: Cluster, room: str) -> None:
        self.name = f"migrated_{next(_numbers)}"
        self.roles = [f"{self.name}_{i}" for i in range(2 if room == "queue" else 1)]
        cluster.create_database(self.name, f"{self.name}_owner", self.roles)
        self.owner, self.service = (self.engine(cluster, role) for role in (f"{self.name}_owner", self.roles[0]))

    def engine(self, cluster: Cluster, role: str) -> Engine:
        url, passfile = cluster.url(role, self.name), Path(cluster.passfile(role))
        return database.engine(url, passfile, name="tests", owner=role not in self.roles)

    def install(self, install: Install, to: int | None = None) -> tuple[int, int]:
        with self.owner.begin() as connection:
            return install(connection, *self.roles, to=to)

    def run(self, statement: str) -> None:
        with self.owner.begin() as connection:
            connection.execute(text(statement))

    def sums(self, schema: object) -> dict[str, tuple[int, str]]:
        """Of every table the rows, counted and hashed by what stands in them."""
        found: dict[str, tuple[int, str]] = {}
        with self.owner.connect() as connection:
            for table in existing(connection, schema.metadata):  # type: ignore[attr-defined]
                found_rows = connection.execute(text(f'SELECT * FROM "{table.name}"'))
                rows = sorted(str([value for value in row if value is not None]) for row in found_rows)
                found[table.name] = len(rows), hashlib.sha256("\n".join(rows).encode()).hexdigest()
        return found

    def counts(self) -> dict[str, int]:
        """Of every table how many rows it has, none if it has none."""
        with self.owner.connect() as connection:
            names = connection.scalars(text(f"SELECT relname FROM pg_class WHERE {OURS}")).all()
            counts = {name: connection.scalar(text(f'SELECT count(*) FROM "{name}"')) or 0 for name in names}
        return {name: count for name, count in counts.items() if count}

    def shape(self) -> list[str]:
        """All that the database has: tables, columns, indexes, triggers and rights; roles by what follows its name."""
        return (
            self.tables()
            + self.functions()
            + self._look(
                f"SELECT relname, acl::text FROM pg_class, unnest(relacl) AS acl WHERE {OURS}",
                f"SELECT relname, attname, acl::text FROM {COLUMNS}, unnest(attacl) AS acl WHERE {OURS}",
                f"SELECT relname, obj_description(oid, 'pg_class') FROM pg_class WHERE {OURS}",
            )
        )

    def tables(self) -> list[str]:
        """The tables alone, with what makes each of them."""
        return self._look(
            f"SELECT relname, relkind, relpersistence, reloptions FROM pg_class WHERE {OURS}",
            "SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull, attstorage, attgenerated,"
            f" attidentity, pg_get_expr(adbin, adrelid) FROM {COLUMNS}"
            f" LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum) WHERE {OURS}",
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
            "SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE connamespace = 'public'::regnamespace",
        )

    def functions(self) -> list[str]:
        """What the tables run, word for word, and when."""
        return self._look(
            "SELECT tgenabled, pg_get_triggerdef(pg_trigger.oid), prosrc FROM pg_trigger"
            " JOIN pg_proc ON pg_proc.oid = tgfoid WHERE NOT tgisinternal",
            "SELECT proname, prosrc, prosecdef, proconfig FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
        )

    def _look(self, *queries: str) -> list[str]:
        with self.owner.connect() as connection:
            rows = [str(row) for query in queries for row in connection.execute(text(query))]
        return sorted(row.replace(self.name, "place") for row in rows)

    def close(self) -> None:
        self.owner.dispose()
        self.service.dispose()


@pytest.fixture
def place_of(cluster: Cluster) -> Iterator[Callable[[str], Place]]:
    made: list[Place] = []

    def make(room: str) -> Place:
        made.append(Place(cluster, room))
        return made[-1]

    yield make
    for place in made:
        place.close()


@pytest.mark.parametrize(("schema", "room"), ROOMS, ids=[room for _, room in ROOMS])
def test_forward_back_and_forward_again(schema: object, room: str, place_of: Callable[[str], Place]) -> None:
    place, install = place_of(room), schema.install  # type: ignore[attr-defined]
    newest = schema.SCHEMA.newest  # type: ignore[attr-defined]
    assert place.install(install) == (0, newest)
    place.run(ROWS[room])
    shape, sums = place.shape(), place.sums(schema)
    schema.SCHEMA.check(place.service)  # type: ignore[attr-defined]
    assert place.install(install, to=1) == (newest, 1)
    before = place.sums(schema)
    assert before == {name: sums[name] for name in before} and sum(count for count, _ in before.values()) == 1
    assert place.shape() != shape
    with pytest.raises(WrongSchema, match=f"version 1; .*psephos schema {room}` as the owner"):
        schema.SCHEMA.check(place.service)  # type: ignore[attr-defined]
    assert place.install(install) == (1, newest)
    assert place.install(install) == (newest, newest)
    assert (place.sums(schema), place.shape()) == (sums, shape)
    schema.SCHEMA.check(place.service)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("schema", "room"), ROOMS, ids=[room for _, room in ROOMS])
def test_step_by_step_from_the_first_version_it_comes_to_what_is_made_anew(
    schema: object, room: str, place_of: Callable[[str], Place]
) -> None:
    """Else somebody has changed a table, or added one, and those that are in use do not follow."""
    install = schema.install  # type: ignore[attr-defined]
    anew, grown = place_of(room), place_of(room)
    anew.install(install)
    for part in FIRST_OF[room]:
        grown.run((FIRST / f"{part}.sql").read_text())
    grown.run(ROWS[room])
    rows = grown.counts()
    for version in range(1, schema.SCHEMA.newest + 1):  # type: ignore[attr-defined]
        # The steps alone, for to install also makes tables that are not there.
        with grown.owner.begin() as connection:
            schema.SCHEMA.bring(connection, version)  # type: ignore[attr-defined]
    assert grown.tables() == anew.tables()
    newest = schema.SCHEMA.newest  # type: ignore[attr-defined]
    assert grown.install(install) == (newest, newest)
    assert grown.shape() == anew.shape()
    assert grown.counts() == rows


# For a version that changes them a line more; of a version that somebody has installed none changes.
FUNCTIONS = {
    ("custodian", 5): "eb83e86e4dc9162b652ac1ccb635f58025e6cb871b2598aa33e8fc514e6d9a88",
    ("tally", 4): "7d9db07ce4de0f4fb18b6cbc7525e66cd70449c65fda25bb7807b35fbeb725dd",
    ("intake", 3): "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ("queue", 4): "484812aab645dc61ef47c7e9501557c3a08958465dc2a2ba09c43bbe0d914758",
}


@pytest.mark.parametrize(("schema", "room"), ROOMS, ids=[room for _, room in ROOMS])
def test_what_the_tables_run_changes_with_their_version_alone(
    schema: object, room: str, place_of: Callable[[str], Place]
) -> None:
    """Else a service begins with tables that run what the release before installed, and is not told to bring them."""
    place = place_of(room)
    _, version = place.install(schema.install)  # type: ignore[attr-defined]
    words = hashlib.sha256("\n".join(place.functions()).encode()).hexdigest()
    assert FUNCTIONS[room, version] == words, "add a step to the room's SCHEMA, and here the hash for its version"


@pytest.mark.parametrize("to", [None, 1], ids=["after forward", "after back"])
@pytest.mark.parametrize(("schema", "room"), ROOMS[:2], ids=["custodian", "tally"])
def test_what_only_grows_still_does(
    schema: object, room: str, to: int | None, place_of: Callable[[str], Place]
) -> None:
    place, install = place_of(room), schema.install  # type: ignore[attr-defined]
    place.install(install)
    place.run(ROWS[room])
    place.install(install, to=1)
    place.install(install, to=to)
    for statement in ("UPDATE public.entry SET data = 'x'", "DELETE FROM public.entry", "TRUNCATE public.entry"):
        for engine in (place.owner, place.service):
            with pytest.raises(DBAPIError), engine.begin() as connection:
                connection.execute(text(statement))


def test_what_was_refused_is_known_by_its_leaf_hash_from_the_third_version_on(
    place_of: Callable[[str], Place],
) -> None:
    place = place_of("tally")
    place.install(tally.install)
    place.install(tally.install, to=2)
    place.run("INSERT INTO refused_entry VALUES ('o', 'intake-1', decode(repeat('ab', 32), 'hex'), 'data')")
    assert place.install(tally.install) == (2, tally.SCHEMA.newest)
    with place.owner.connect() as connection:
        assert list(connection.scalars(select(tally.refused_entry.c.leaf))) == [leaf_hash(b"data")]
    with pytest.raises(DBAPIError):
        place.run("UPDATE refused_entry SET intake = ''")
    # Where one ballot was refused in two forms there is no way back.
    place.run("INSERT INTO refused_entry VALUES ('o', 'intake-1', decode(repeat('ab', 32), 'hex'), 'spoiled')")
    with pytest.raises(WouldLoseRows, match="refused_entry"):
        place.install(tally.install, to=2)


STAGED = "INSERT INTO stage (origin, size, old_size, root, frontier) VALUES"


def test_from_the_fourth_version_on_stages_follow_each_other(place_of: Callable[[str], Place]) -> None:
    place = place_of("tally")
    place.install(tally.install)
    place.install(tally.install, to=3)
    place.run(f"{STAGED} ('o', 9, 5, decode('{H.hex()}', 'hex'), ''), ('o', 5, 0, decode('{H.hex()}', 'hex'), '')")
    place.run(f"{STAGED} ('other', 7, 0, decode('{H.hex()}', 'hex'), '')")
    before = place.sums(tally)["stage"][0]
    assert place.install(tally.install) == (3, tally.SCHEMA.newest)
    assert place.sums(tally)["stage"][0] == before == 3
    between = f"{STAGED} ('o', 7, 6, decode('{H.hex()}', 'hex'), '')"
    with pytest.raises(DBAPIError, match="stage_follows"):
        place.run(between)
    place.install(tally.install, to=3)
    place.run(between)
    # No step takes it away, and none makes it follow anything.
    with pytest.raises(WouldLoseRows, match="stage holds one of 7 entries that follows no other: .* a new database"):
        place.install(tally.install)


@pytest.mark.parametrize("room", [tally, intake], ids=["tally", "intake"])
def test_an_index_of_refusals_without_leaf_hashes_is_not_brought_forward(
    room: object, place_of: Callable[[str], Place]
) -> None:
    place, install = place_of(room.SCHEMA.room), room.install  # type: ignore[attr-defined]
    place.install(install)
    place.install(install, to=2)
    place.run("INSERT INTO seen_refused VALUES ('o', 'identity', 'intake-1')")
    with pytest.raises(WouldLoseRows, match="seen_refused holds rows: a log whose refusals name no leaf"):
        place.install(install)


def test_a_step_back_that_would_lose_rows_changes_nothing(place_of: Callable[[str], Place]) -> None:
    place = place_of("intake")
    place.install(intake.install)
    place.run("INSERT INTO restored VALUES ('o')")
    before = place.sums(intake), place.shape()
    with pytest.raises(WouldLoseRows, match="restored"):
        place.install(intake.install, to=1)
    assert (place.sums(intake), place.shape()) == before
    intake.SCHEMA.check(place.service)


def test_trees_by_several_keys_of_one_log_lead_no_way_back(place_of: Callable[[str], Place]) -> None:
    place = place_of("custodian")
    place.install(custodian.install, to=2)
    place.run(f"INSERT INTO observed VALUES ('o', 3, 0, decode('{H.hex()}', 'hex'), 'note', 5)")
    assert place.install(custodian.install, to=3) == (2, 3)
    assert place.install(custodian.install, to=2) == (3, 2)
    place.install(custodian.install)
    place.run(f"INSERT INTO observed VALUES ('o', 3, 0, decode('{H.hex()}', 'hex'), 'note', 5, 'other keys')")
    before = place.sums(custodian), place.shape()
    with pytest.raises(WouldLoseRows, match="several keys"):
        place.install(custodian.install, to=2)
    assert (place.sums(custodian), place.shape()) == before


def test_a_tree_by_which_a_log_contradicts_itself_leads_no_way_back(place_of: Callable[[str], Place]) -> None:
    place = place_of("custodian")
    newest = custodian.SCHEMA.newest
    place.install(custodian.install)
    store = SqlStore(place.service)
    store.observe("o", "keys", Head(0, 3, H, b"", b"note", 5))
    assert place.install(custodian.install, to=4) == (newest, 4)
    place.install(custodian.install)
    store.contradict("o", "keys", Head(0, 3, bytes(32), b"", b"another note", 0))
    before = place.sums(custodian), place.shape()
    with pytest.raises(WouldLoseRows, match="a log contradicts itself"):
        place.install(custodian.install, to=4)
    assert (place.sums(custodian), place.shape()) == before


def test_a_custodian_that_was_said_to_be_new_and_holds_nothing_leads_no_way_back(
    place_of: Callable[[str], Place],
) -> None:
    place = place_of("custodian")
    place.install(custodian.install)
    place.run("INSERT INTO keeps VALUES ('o', 'custodian-a')")
    with pytest.raises(WouldLoseRows, match="a log without a head"):
        place.install(custodian.install, to=3)
    place.run(f"INSERT INTO head VALUES ('o', 1, 0, decode('{H.hex()}', 'hex'), '', 'note', 5)")
    newest = custodian.SCHEMA.newest
    assert place.install(custodian.install, to=3) == (newest, 3)


def test_interrupted_in_the_middle_the_old_version_is_whole(place_of: Callable[[str], Place]) -> None:
    place = place_of("custodian")
    place.install(custodian.install, to=1)
    place.run(ROWS["custodian"])
    before = place.sums(custodian), place.shape()

    def half(connection: Connection) -> None:
        custodian.SCHEMA.steps[0].forward(connection)
        connection.execute(text("CREATE TABLE halfway (x int)"))
        raise KeyboardInterrupt

    torn = Schema("custodian", "entry", custodian.SCHEMA.create, (Step(half, half),))
    with pytest.raises(KeyboardInterrupt), place.owner.begin() as connection:
        torn.bring(connection)
    assert (place.sums(custodian), place.shape()) == before
    assert place.install(custodian.install) == (1, custodian.SCHEMA.newest)
    assert place.sums(custodian)["entry"] == before[0]["entry"]


def test_tables_made_before_versions_were_numbered(place_of: Callable[[str], Place]) -> None:
    place = place_of("custodian")
    place.install(custodian.install, to=1)
    place.run("COMMENT ON TABLE entry IS NULL")
    assert place.install(custodian.install) == (1, custodian.SCHEMA.newest)


def test_of_a_newer_release_another_room_or_nobody(place_of: Callable[[str], Place]) -> None:
    place = place_of("tally")
    with pytest.raises(WrongSchema, match="are not there"):
        tally.SCHEMA.check(place.service)
    place.install(tally.install)
    with pytest.raises(WrongSchema, match="and no 9"):
        place.install(tally.install, to=9)
    place.run("COMMENT ON TABLE entry IS 'psephos tally 9'")
    with pytest.raises(WrongSchema, match="version 9"):
        tally.SCHEMA.check(place.service)
    with pytest.raises(WrongSchema, match="a newer release"):
        place.install(tally.install)
    place.run("COMMENT ON TABLE entry IS 'psephos custodian 2'")
    with pytest.raises(WrongSchema, match="not those of tally"):
        place.install(tally.install)


def test_a_service_cannot_write_the_version(place_of: Callable[[str], Place]) -> None:
    place = place_of("tally")
    place.install(tally.install)
    with pytest.raises(DBAPIError), place.service.begin() as connection:
        connection.execute(text("COMMENT ON TABLE public.entry IS 'psephos tally 1'"))
