"""What happens to rows that nobody may change: done here by who owns the database, as a disk or an intruder would."""

from __future__ import annotations

from sqlalchemy import text

from tests.databases import Database


class Damage:
    """Damages the rows of one log."""

    def __init__(self, database: Database, origin: str) -> None:
        self._database, self._origin = database, origin

    def do(self, table: str, statement: str, **values: object) -> None:
        """One statement, in which :o is the origin, with the table's guard taken away meanwhile."""
        guard = f"ALTER TABLE {table} {{}} TRIGGER psephos_insert_only"
        with self._database.owner.begin() as connection:
            connection.execute(text(guard.format("DISABLE")))
            done = connection.execute(text(statement), {"o": self._origin, **values})
            connection.execute(text(guard.format("ENABLE ALWAYS")))
        assert done.rowcount > 0

    def flip(self, table: str, column: str, where: str, byte: int = 0) -> None:
        """One bit of one value."""
        flipped = f"set_byte({column}, {byte}, get_byte({column}, {byte}) # 1)"
        self.do(table, f"UPDATE {table} SET {column} = {flipped} WHERE origin = :o AND {where}")

    def remove(self, table: str, where: str) -> None:
        self.do(table, f"DELETE FROM {table} WHERE origin = :o AND {where}")
