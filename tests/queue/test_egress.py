"""Egress hands every row out until it is acknowledged, and to one taker at a time."""

from __future__ import annotations

import os

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from audit.protocol.refused import Refused
from infra.queue.egress import LEASE_SECONDS, Outlet
from infra.queue.frames import Row, read_keys, read_rows, write_rows
from infra.queue.ingress import Inlet
from tests.queue.conftest import Queue, Service


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def filled(queue: Queue, count: int) -> set[bytes]:
    entries = [b"entry %d" % number for number in range(count)]
    Inlet(queue.ingress).store(entries)
    return set(entries)


def data(rows: list[Row]) -> set[bytes]:
    return {row.data for row in rows}


def test_every_row_is_handed_out_once(queue: Queue) -> None:
    entries, outlet = filled(queue, 10), Outlet(queue.egress, Clock())
    first, second, third = (outlet.take(4) for _ in range(3))
    assert [len(rows) for rows in (first, second, third)] == [4, 4, 2]
    assert data(first + second + third) == entries
    assert outlet.take(4) == []


def test_a_lease_ends_and_its_row_comes_again(queue: Queue) -> None:
    entries, clock = filled(queue, 3), Clock()
    outlet = Outlet(queue.egress, clock)
    outlet.take(2)
    clock.now += LEASE_SECONDS - 1
    assert len(outlet.take(256)) == 1
    clock.now += 1
    assert len(outlet.take(256)) == 2
    clock.now += LEASE_SECONDS
    assert data(outlet.take(256)) == entries


def test_who_begins_is_handed_what_others_held_but_not_what_was_acknowledged(queue: Queue) -> None:
    entries, outlet = filled(queue, 5), Outlet(queue.egress, Clock())
    first = outlet.take(3)
    outlet.ack([first[0].key])
    assert data(outlet.take(256, anew=True)) == entries - {first[0].data}
    # That holds for it, too: nobody else is handed them for a while.
    assert outlet.take(256) == []


def test_what_is_acknowledged_never_comes_again_and_the_rest_does_after_a_restart(queue: Queue) -> None:
    entries, outlet = filled(queue, 3), Outlet(queue.egress, Clock())
    taken = outlet.take(256)
    outlet.ack([taken[0].key, os.urandom(16)])
    outlet.ack([taken[0].key])
    assert data(Outlet(queue.egress, Clock()).take(256)) == entries - {taken[0].data}


def test_no_row_waits_behind_those_that_keep_coming(queue: Queue) -> None:
    keys = iter([b"\xff" * 16, *(bytes([number]) + bytes(15) for number in range(6, 0, -1))])
    inlet, outlet = Inlet(queue.ingress, lambda _: next(keys)), Outlet(queue.egress, Clock())
    inlet.store([b"last in the order of keys"])
    seen = set[bytes]()
    for number in range(3):
        inlet.store([b"early %d" % number, b"early as well %d" % number])
        seen |= data(outlet.take(2))
    assert b"last in the order of keys" in seen


def test_over_http(queue: Queue, egress: Service) -> None:
    entries = filled(queue, 5)
    with httpx.Client(base_url=egress.url, headers=egress.headers) as client:
        rows = list(read_rows(client.post("/take?most=256").content))
        assert data(rows) == entries
        response = client.post("/ack", content=b"".join(row.key for row in rows))
        assert (response.status_code, response.content) == (204, b"")
        assert client.post("/take?most=256").content == b""
    with queue.owner.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM queued")) == 0


@pytest.mark.parametrize(
    ("path", "body", "status", "reason"),
    [
        ("/take?most=0", b"", 422, "wrong-type"),
        ("/take?most=257", b"", 422, "wrong-type"),
        ("/take", b"", 422, "wrong-type"),
        ("/ack", b"15 bytes of key", 400, "syntax"),
        ("/ack", bytes(16 * 4097), 413, "too-long"),
        ("/put", b"", 404, "not-found"),
    ],
)
def test_what_is_wrong_is_named(egress: Service, path: str, body: bytes, status: int, reason: str) -> None:
    response = httpx.post(egress.url + path, content=body, headers=egress.headers)
    assert (response.status_code, response.json()["reason"]) == (status, reason)


@pytest.mark.parametrize("token", ["", "Bearer", "Bearer x", "Basic eA=="])
@pytest.mark.parametrize("path", ["/take?most=1", "/ack"])
def test_without_the_token_nothing_is_handed_out(queue: Queue, egress: Service, path: str, token: str) -> None:
    filled(queue, 1)
    response = httpx.post(egress.url + path, headers={"Authorization": token})
    assert (response.status_code, response.json()["reason"]) == (401, "no-token")


def test_egress_can_add_nothing(queue: Queue) -> None:
    table = "public.queued"
    for statement in (
        f"INSERT INTO {table} VALUES ('\\x00', '')",
        f"UPDATE {table} SET data = data",
        f"TRUNCATE {table}",
    ):
        with queue.egress.connect() as connection, pytest.raises(ProgrammingError, match="permission denied"):
            connection.execute(text(statement))


ROWS = st.lists(st.builds(Row, st.binary(min_size=16, max_size=16), st.binary(max_size=300)), max_size=5)


@given(ROWS)
def test_rows_are_read_as_they_were_written(rows: list[Row]) -> None:
    assert list(read_rows(write_rows(rows))) == rows
    assert read_keys(b"".join(row.key for row in rows)) == [row.key for row in rows]


@given(ROWS.filter(bool), st.data())
def test_rows_cut_short_are_refused(rows: list[Row], draw: st.DataObject) -> None:
    last = len(write_rows(rows[-1:]))
    cut = draw.draw(st.integers(1, last - 1))
    with pytest.raises(Refused) as refusal:
        list(read_rows(write_rows(rows)[:-cut]))
    assert refusal.value.reason == "syntax"
