"""One process at a time works on an outbox: no second door, and no copy that comes in behind the back of the first."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from infra import sole
from infra.backup import BackupError
from infra.config import load
from infra.database import engine
from infra.sole import Occupied, Sole
from intake.door import serve
from intake.door.config import DoorConfig
from intake.door.copies import back_up, restore
from intake.door.schema import ONE_DOOR
from intake.door.serve import Door
from tests.door.board import Board
from tests.door.conftest import AGAINST, Client
from tests.door.test_process import Town, town
from tests.loopback import PATIENCE, serving, wait_until

__all__ = ["town"]


@pytest.fixture
def sole_of(town: Town) -> Iterator[Callable[[str], Sole]]:
    """One of several processes at the town's outbox, by its name."""
    made: list[Engine] = []

    def make(name: str) -> Sole:
        config = settings(town)
        made.append(engine(config.database, config.passfile, name=name, connections=1))
        return Sole(made[-1], town.place.meeting.origin, purpose=ONE_DOOR)

    yield make
    for one in made:
        one.dispose()


def settings(town: Town) -> DoorConfig:
    return load(DoorConfig, town.write())


def end_session(town: Town, name: str) -> None:
    """As when the server is started anew."""
    with town.place.engine.connect() as connection:
        where = "FROM pg_stat_activity WHERE application_name = :name"
        connection.execute(text(f"SELECT pg_terminate_backend(pid) {where}"), {"name": name})


def taken_from(town: Town, name: str, other: Sole) -> bool:
    end_session(town, name)
    return other.seize()


def test_beside_a_door_another_does_not_begin_and_nothing_is_restored(
    town: Town, sole_of: Callable[[str], Sole], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "PATIENCE_SECONDS", 0.5)
    place, config = town.place, settings(town)
    back_up(place.engine, place.meeting.manifest, place.intake, tmp_path / "copy")
    first = serve.alone(config, place.meeting.manifest)
    with pytest.raises(Occupied, match="another intake, or `outbox restore`, is at work on this outbox: end it"):
        serve.alone(config, place.meeting.manifest)
    with pytest.raises(BackupError, match="the intake service is at work on this outbox: stop it"):
        restore(place.engine, place.meeting.manifest, place.intake, tmp_path / "copy")
    assert not place.outbox.restored()

    def restored() -> bool:
        try:
            restore(place.engine, place.meeting.manifest, place.intake, tmp_path / "copy")
        except BackupError:
            return False
        return True

    first.leave()
    # The server ends the session a moment later.
    wait_until(restored)
    serve.alone(config, place.meeting.manifest).leave()


def test_a_session_that_was_lost_is_had_again_unless_another_was_quicker(
    town: Town, sole_of: Callable[[str], Sole], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sole, "KEEP_SECONDS", 0.0)
    one, other = sole_of("one"), sole_of("other")
    one.keep()
    end_session(town, "one")
    with pytest.raises(OperationalError):
        one.keep()
    one.keep()
    wait_until(lambda: taken_from(town, "one", other))
    with pytest.raises(OperationalError):
        one.keep()
    with pytest.raises(Occupied):
        one.keep()
    other.leave()
    wait_until(lambda: keeps(one))
    one.leave()


def keeps(one: Sole) -> bool:
    try:
        one.keep()
    except Occupied:
        return False
    return True


def test_while_another_has_its_place_a_door_takes_nothing(
    town: Town, sole_of: Callable[[str], Sole], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And reads again from the database, when it has it back, what may have come meanwhile."""
    monkeypatch.setattr(sole, "KEEP_SECONDS", 0.0)
    one, other = sole_of("one"), sole_of("other")
    door = replace(town.place.door(), keep=one.keep)
    with serving(door.app()) as url, httpx.Client(base_url=url, timeout=PATIENCE) as http:
        client = Client(town.place, http)
        client.accepted(town.place.text(0))
        wait_until(lambda: taken_from(town, "one", other))
        wait_until(lambda: not client.ready)
        assert client.post(town.place.text(1)).json()["reason"] == "not-ready"
        other.leave()
        wait_until(lambda: client.ready)
        client.accepted(town.place.text(1))
    one.leave()


def test_a_door_that_has_lost_its_place_takes_no_ballot_though_a_custodian_holds_its_watch_up(
    town: Town, sole_of: Callable[[str], Sole]
) -> None:
    """Two ballots of one pseudonym and revision would both be promised. Once it has its place back, it first reads
    what the other has promised.
    """
    one, other, slow = sole_of("one"), sole_of("other"), Slow(town.place.board)
    first = replace(town.place.door(), keep=one.keep, expect=one.expect, readers=[slow])
    with opened(town, first) as client:
        client.accepted(town.place.text(0))
        slow.go_on.clear()
        assert slow.asked.wait(PATIENCE)
        wait_until(lambda: taken_from(town, "one", other))
        for _ in range(2):
            assert client.post(town.place.text(1)).status_code == 503
        with opened(town, replace(town.place.door(), keep=other.keep, expect=other.expect)) as second:
            second.accepted(town.place.text(1, AGAINST))
        assert client.post(town.place.text(1)).status_code == 503
        other.leave()
        # Nobody holds the place now, but only the watch may take it.
        assert client.post(town.place.text(1)).status_code == 503
        slow.go_on.set()
        wait_until(lambda: client.post(town.place.text(1)).json()["reason"] == "revision-repeated")
    one.leave()


class Slow:
    """A custodian that does not answer while `go_on` is not set, and notes that it was asked."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self.go_on, self.asked = threading.Event(), threading.Event()
        self.go_on.set()

    def checkpoint(self) -> bytes:
        if not self.go_on.is_set():
            self.asked.set()
            self.go_on.wait(PATIENCE)
        return self._board.checkpoint()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._board, name)


@contextmanager
def opened(town: Town, door: Door) -> Iterator[Client]:
    with serving(door.app()) as url, httpx.Client(base_url=url, timeout=PATIENCE) as http:
        yield Client(town.place, http)
