"""An outbox is copied while it works, and restored: nothing promised is forgotten, and a copy tells nothing that the
log does not.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from audit.protocol.group import b64
from audit.record.entries import parse_entry
from infra.keys import KeyFileError
from intake.door.receipt import deadline
from tests.door.conftest import Place, signed
from tests.door.copied import copy, handed_in, lose, put_back
from tests.loopback import wait_until


def test_what_was_copied_is_promised_as_before_and_recorded_once(place: Place, tmp_path: Path) -> None:
    with place.running() as client:
        settled = handed_in(place, client, 0)
        wait_until(lambda: place.tally() != [])
        wait_until(lambda: place.waiting == 0)
        waiting = handed_in(place, client, 1, 2)
        path = copy(place, tmp_path / "outbox")
    lose(place)
    assert put_back(place, path) == 3
    place.queue.batches.clear()
    with place.running() as client:
        wait_until(lambda: client.ready)
        assert [client.post(raw).json() for raw, _ in settled + waiting] == [answer for _, answer in settled + waiting]
        # Those that wait are passed on at once; the settled one never again.
        wait_until(lambda: len(place.queue.entries) >= 2)
        assert set(place.queue.entries) == {signed(raw, answer["line"]).raw for raw, answer in waiting}
        place.tally()
        wait_until(lambda: place.waiting == 0)
    recorded = [parse_entry(raw).identity for raw in place.meeting.entries if raw.startswith(b"psephos/v1 ballot")]
    assert len(recorded) == len(set(recorded)) == 3


def test_a_copy_of_more_than_one_page(place: Place, tmp_path: Path) -> None:
    many = "INSERT INTO accepted SELECT :origin, sha256(n::text::bytea), 'ballot', sha256(n::text::bytea), n"
    with place.owner.begin() as connection:
        connection.execute(text(f"{many} FROM generate_series(1, 600) n"), {"origin": place.meeting.origin})
    path = copy(place, tmp_path / "outbox")
    lose(place)
    assert (put_back(place, path), put_back(place, path)) == (600, 0)
    before = path.read_bytes().splitlines()
    assert copy(place, tmp_path / "again").read_bytes().splitlines()[:-1] == before[:-1]


def test_what_was_promised_after_the_copy_is_learned_from_the_log(place: Place, tmp_path: Path) -> None:
    with place.running() as client:
        path = copy(place, tmp_path / "outbox")
        ((raw, first),) = handed_in(place, client, 0)
        wait_until(lambda: place.tally() != [])
    lose(place)
    put_back(place, path)
    with place.running() as client:
        wait_until(lambda: client.ready)
        answer = client.post(raw)
        # A refusal would say that somebody else's ballot stands there.
        assert answer.status_code == 200
        assert answer.json()["line"] == first["line"]
        assert parse_entry(answer.json()["receipt"].encode()).fields["leaf"] == signed(raw, first["line"]).leaf
        assert client.refused(place.text(0, (0, 1, 0)))["reason"] == "revision-repeated"


def test_an_old_copy_is_passed_on_again_and_settled_by_what_stands_in_the_log(place: Place, tmp_path: Path) -> None:
    with place.running() as client:
        handed_in(place, client, 0, 1)
        path = copy(place, tmp_path / "outbox")
        wait_until(lambda: len(place.tally()) > 0 and len(place.queue.entries) == 2)
        place.tally()
    lose(place)
    put_back(place, path)
    assert place.waiting == 2
    with place.running() as client:
        wait_until(lambda: client.ready and place.waiting == 0)


def told(place: Place, path: Path) -> list[dict[str, object]]:
    """The rows of a copy."""
    return [json.loads(line) for line in path.read_bytes().splitlines()[1:-1]]


def test_a_copy_tells_nothing_of_order_and_of_time_no_more_than_the_log(place: Place, tmp_path: Path) -> None:
    with place.running() as client:
        handed_in(place, client, 2, 0, 1)
        wait_until(lambda: len(place.queue.entries) == 3)
        path = copy(place, tmp_path / "outbox")
    rows = told(place, path)
    assert {tuple(sorted(row)) for row in rows} == {("deadline", "drained", "entry", "identity", "kind", "leaf")}
    with place.engine.connect() as connection:
        stored = connection.scalars(text("SELECT identity FROM public.accepted ORDER BY identity")).all()
    assert [row["identity"] for row in rows] == [b64(bytes(identity)) for identity in stored]
    assert path.stat().st_mode & 0o777 == 0o600


def test_deadlines_are_whole_batch_waits() -> None:
    assert {deadline(1000.0 + step / 10, 60.0) for step in range(200)} == {1620}
    assert deadline(1020.0, 60.0) == 1620
    assert deadline(1020.1, 60.0) == 1680
    assert 0 <= deadline(time.time(), 0.5) - time.time() - 5 <= 1


def test_a_copy_is_not_written_over_anything_and_a_crash_leaves_none(place: Place, tmp_path: Path) -> None:
    path = copy(place, tmp_path / "outbox")
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match="exists already"):
        copy(place, path)
    assert path.read_bytes() == before
    with pytest.raises(UnicodeDecodeError):
        entry = {"identity": bytes(32), "entry": b"\xff"}
        with place.owner.begin() as connection:
            columns = "(origin, identity, kind"
            row = {"origin": place.meeting.origin, **entry}
            connection.execute(
                text(
                    f"INSERT INTO accepted {columns}, leaf, deadline) VALUES "
                    "(:origin, :identity, 'ballot', :identity, 0)"
                ),
                row,
            )
            connection.execute(
                text(
                    f"INSERT INTO outbox {columns}, entry, due, puts) VALUES "
                    "(:origin, :identity, 'ballot', :entry, 0, 0)"
                ),
                row,
            )
        copy(place, tmp_path / "second")
    assert list(tmp_path.iterdir()) == [path]
