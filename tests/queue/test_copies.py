"""The queue is copied while it works, and restored: what it held comes again, under other keys, in no order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import delete, select

from audit.protocol.group import unb64
from infra.backup import BackupError
from infra.keys import KeyFileError
from infra.queue.copies import back_up, restore
from infra.queue.egress import Outlet
from infra.queue.ingress import Inlet
from infra.queue.schema import queued
from tests.queue.conftest import Queue
from tests.queue.test_egress import Clock, filled


def held(queue: Queue) -> dict[bytes, bytes]:
    with queue.owner.connect() as connection:
        return {bytes(row.key): bytes(row.data) for row in connection.execute(select(queued))}


def lose(queue: Queue) -> None:
    with queue.owner.begin() as connection:
        connection.execute(delete(queued))


def test_what_was_copied_comes_again(queue: Queue, tmp_path: Path) -> None:
    entries = filled(queue, 300) | {b"\xff no text at all"}
    Inlet(queue.ingress).store([b"\xff no text at all"])
    before = held(queue)
    assert back_up(queue.egress, tmp_path / "queue") == 301
    lose(queue)
    assert restore(queue.ingress, tmp_path / "queue") == 301
    after = held(queue)
    assert set(after.values()) == entries and not set(after) & set(before)


def test_an_old_copy_hands_out_again_what_was_acknowledged_and_keeps_what_came_since(
    queue: Queue, tmp_path: Path
) -> None:
    filled(queue, 3)
    back_up(queue.egress, tmp_path / "queue")
    outlet = Outlet(queue.egress, Clock())
    outlet.ack([row.key for row in outlet.take(2)])
    Inlet(queue.ingress).store([b"later"])
    restore(queue.ingress, tmp_path / "queue")
    taken = [row.data for row in Outlet(queue.egress, Clock()).take(256)]
    assert set(taken) == {b"entry 0", b"entry 1", b"entry 2", b"later"} and len(taken) == 5


def test_a_copy_holds_entries_in_the_order_of_random_keys_and_nothing_else(queue: Queue, tmp_path: Path) -> None:
    filled(queue, 20)
    back_up(queue.egress, tmp_path / "queue")
    before = held(queue)
    lines = (tmp_path / "queue").read_bytes().splitlines()
    assert lines[0] == b'{"format":"psephos/v1 backup","of":"queue"}'
    assert all(line.startswith(b'{"entry":"') and line.count(b":") == 1 for line in lines[1:-1])
    entries = [unb64(json.loads(line)["entry"]) for line in lines[1:-1]]
    assert entries == [before[key] for key in sorted(before)]


def test_a_damaged_copy_is_refused_by_name_and_nothing_of_it_stays(queue: Queue, tmp_path: Path) -> None:
    filled(queue, 600)
    path = tmp_path / "queue"
    back_up(queue.egress, path)
    lose(queue)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(BackupError, match="is damaged"):
        restore(queue.ingress, path)
    path.write_bytes(raw.replace(b'"signature":""', b'"signature":"x"'))
    with pytest.raises(BackupError, match="it is signed, but copies of this kind are not"):
        restore(queue.ingress, path)
    path.write_bytes(raw.replace(b'"of":"queue"', b'"of":"outbox"', 1))
    with pytest.raises(BackupError, match="is of another place: `of` is 'outbox', not 'queue'"):
        restore(queue.ingress, path)
    assert held(queue) == {}


def test_a_copy_is_not_written_over_anything(queue: Queue, tmp_path: Path) -> None:
    (tmp_path / "queue").write_bytes(b"mine")
    with pytest.raises(KeyFileError, match="exists already"):
        back_up(queue.egress, tmp_path / "queue")
