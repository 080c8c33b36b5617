"""What version the tables of a service have, and how its owner brings them to another, with the rows in place.

Each room numbers the shapes its tables have had, from 1, and says how one becomes the next and how it goes back. The
number stands as a comment on the room's first table: only the owner can write it, every role can read it, it is
changed in the transaction that changes the tables, and a copy of the database takes it along. A crash leaves the old
version whole. A step never loses a row: one that would have to refuses.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, MetaData, Table, inspect, text

from infra.database import NAMESPACE, UNAVAILABLE

Change = Callable[[Connection], None]


class WrongSchema(Exception):
    """The tables have a version that this release does not know, or are another room's; the message says what to do."""


class WouldLoseRows(Exception):
    """The step would drop a table that holds rows."""


@dataclass(frozen=True)
class Step:
    """From one version to the next, and back again. Run by the owner, within one transaction."""

    forward: Change
    back: Change


@dataclass(frozen=True)
class Schema:
    """The tables of a room. `create` makes them as they are now, the `steps` lead there from version 1; `table` is the
    first of them, which all versions have.
    """

    room: str
    table: str
    create: Change
    steps: tuple[Step, ...] = ()

    @property
    def newest(self) -> int:
        """The version that this release works with."""
        return 1 + len(self.steps)

    def version(self, connection: Connection) -> int:
        """The version of the tables that are there, 0 if there are none. WrongSchema if they are not this room's."""
        found = connection.execute(
            text("SELECT to_regclass(:table) IS NOT NULL, obj_description(to_regclass(:table), 'pg_class')"),
            {"table": f"{NAMESPACE}.{self.table}"},
        ).one()
        if not found[0]:
            return 0
        if found[1] is None:
            # Made before versions were numbered.
            return 1
        said = re.fullmatch(r"psephos ([a-z]+) ([0-9]+)", found[1])
        if said is None or said[1] != self.room:
            raise WrongSchema(f"the tables of this database are not those of {self.room}: {found[1][:60]}")
        return int(said[2])

    def bring(self, connection: Connection, to: int | None = None) -> tuple[int, int]:
        """Brings the tables to version `to`, the newest if None, in the caller's transaction; from which to which that
        was. Where there are none, they are made.

        WrongSchema if there is no such version here; WouldLoseRows.
        """
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('psephos schema'))"))
        before = have = self.version(connection)
        wanted = self.newest if to is None else to
        if not 1 <= wanted <= self.newest:
            raise WrongSchema(f"{self.room} has versions 1 to {self.newest} in this release, and no {wanted}")
        if have > self.newest:
            said = f"the tables of {self.room} have version {have}"
            raise WrongSchema(f"{said}: a newer release made them, and it alone leads back")
        if have == 0:
            self.create(connection)
            have = self.newest
        for step in self.steps[have - 1 : wanted - 1]:
            step.forward(connection)
        for step in reversed(self.steps[wanted - 1 : have - 1]):
            step.back(connection)
        comment = f"psephos {self.room} {wanted}"
        connection.execute(text(f"COMMENT ON TABLE {self.table} IS '{comment}'"))
        return before, wanted

    def check(self, engine: Engine) -> None:
        """WrongSchema unless the tables have the version that this release works with. A database that cannot be
        reached is not looked at: who begins without it waits for it, and says so.
        """
        try:
            with engine.connect() as connection:
                found = self.version(connection)
        except UNAVAILABLE:
            return
        if found != self.newest:
            has = f"have version {found}" if found else "are not there"
            do = f"run `psephos schema {self.room}` as the owner of the database"
            raise WrongSchema(f"the tables of {self.room} {has}; this release works with version {self.newest}: {do}")


def existing(connection: Connection, metadata: MetaData) -> list[Table]:
    """Those of the tables that are there."""
    names = set(inspect(connection).get_table_names())
    return [table for table in metadata.sorted_tables if table.name in names]


def adding(*tables: Table) -> Step:
    """The step that adds these tables; back, they go, if they are empty."""

    def forward(connection: Connection) -> None:
        for table in tables:
            table.create(connection)

    def back(connection: Connection) -> None:
        for table in tables:
            quoted = connection.dialect.identifier_preparer.quote(table.name)
            # Nobody adds a row between the question and the end of the table.
            connection.execute(text(f"LOCK TABLE {quoted} IN ACCESS EXCLUSIVE MODE"))
            if connection.execute(text(f"SELECT 1 FROM {quoted} LIMIT 1")).first():
                raise WouldLoseRows(f"the table {table.name} holds rows, which the version before has no place for")
            table.drop(connection)

    return Step(forward, back)
