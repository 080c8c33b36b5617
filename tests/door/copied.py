"""An outbox that is copied, lost, and put back."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from infra import seen
from intake.door.copies import back_up, restore
from intake.door.schema import metadata
from tests.door.conftest import Client, Place


def copy(place: Place, path: Path) -> Path:
    back_up(place.engine, place.meeting.manifest, place.intake, path)
    return path


def put_back(place: Place, path: Path) -> int:
    return restore(place.engine, place.meeting.manifest, place.intake, path)


def lose(place: Place) -> None:
    """The database is gone, and another one, empty, in its place."""
    with place.owner.begin() as connection:
        for table in (*metadata.sorted_tables, *seen.metadata.sorted_tables):
            connection.execute(text(f"TRUNCATE {table.name}"))


def handed_in(place: Place, client: Client, *accounts: int) -> list[tuple[bytes, dict[str, str]]]:
    return [(raw, client.accepted(raw)) for raw in map(place.text, accounts)]
