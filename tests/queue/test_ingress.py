"""Ingress says "stored" in one way and everything else in none."""

from __future__ import annotations

import socket
from collections.abc import Callable

import httpx
import pytest
from sqlalchemy import Connection, inspect, select, text
from sqlalchemy.exc import ProgrammingError

from audit.log.tiles import frame
from infra.queue.ingress import ANSWER
from infra.queue.schema import queued
from tests.queue.conftest import Queue, Service


def say(service: Service, request: bytes) -> bytes:
    """All that comes back until the service closes the connection."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        connection.sendall(request)
        heard = b""
        while chunk := connection.recv(65536):
            heard += chunk
    return heard


def request(service: Service, body: bytes, start: str = "POST /put", **headers: str) -> bytes:
    lines = {
        "Host": "queue",
        "Authorization": f"Bearer {service.token}",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **headers,
    }
    head = [f"{start} HTTP/1.1", *(f"{key}: {value}" for key, value in lines.items())]
    return "\r\n".join([*head, "", ""]).encode() + body


def stored(queue: Queue) -> list[bytes]:
    with queue.owner.connect() as connection:
        return sorted(bytes(data) for data in connection.scalars(select(queued.c.data)))


def test_what_was_put_is_on_disk_and_the_answer_is_only_that(queue: Queue, ingress: Service) -> None:
    entries = [b"first entry", b"second entry", b"x" * 65_535]
    assert say(ingress, request(ingress, frame(entries))) == ANSWER
    assert stored(queue) == sorted(entries)


def test_a_connection_is_kept_for_the_next_put(queue: Queue, ingress: Service) -> None:
    with httpx.Client(base_url=ingress.url, headers=ingress.headers) as client:
        for entry in (b"first entry", b"second entry"):
            response = client.post("/put", content=frame([entry]))
            assert (response.status_code, response.content, dict(response.headers)) == (204, b"", {})
    assert len(stored(queue)) == 2


REFUSED: dict[str, Callable[[Service], bytes]] = {
    "no token": lambda s: request(s, frame([b"entry"]), Authorization=""),
    "the other service's token": lambda s: request(s, frame([b"entry"]), Authorization="Bearer " + "x" * 43),
    "no entry": lambda s: request(s, b""),
    "an empty entry": lambda s: request(s, frame([b"entry", b""])),
    "half an entry": lambda s: request(s, frame([b"entry"])[:-1]),
    "half a length": lambda s: request(s, frame([b"entry"]) + b"\0"),
    "too many entries": lambda s: request(s, frame([b"entry"] * 257)),
    "a body announced as too long": lambda s: request(s, b"", **{"Content-Length": "99999999"}),
    "a path that is not there": lambda s: request(s, frame([b"entry"]), start="POST /take?most=1"),
    "another method": lambda s: request(s, b"", start="GET /put"),
    "no HTTP": lambda s: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "a wait for 100": lambda s: request(s, b"", **{"Expect": "100-continue", "Content-Length": "7"}),
}


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_everything_else_hears_nothing_and_stores_nothing(queue: Queue, ingress: Service, case: str) -> None:
    assert say(ingress, REFUSED[case](ingress)) == b""
    assert stored(queue) == []


def test_a_database_that_fails_is_not_told(queue: Queue, ingress: Service) -> None:
    with queue.owner.begin() as connection:
        connection.execute(text("ALTER TABLE queued RENAME TO lost"))
    try:
        assert say(ingress, request(ingress, frame([b"entry"]))) == b""
    finally:
        with queue.owner.begin() as connection:
            connection.execute(text("ALTER TABLE lost RENAME TO queued"))


def test_ingress_cannot_look_at_what_it_stored(queue: Queue) -> None:
    acts = [f"{act} public.queued" for act in ("SELECT key FROM", "DELETE FROM", "TRUNCATE")]
    acts.append("UPDATE public.queued SET data = data")
    for statement in acts:
        with queue.ingress.connect() as connection:
            refused(connection, statement)


def refused(connection: Connection, statement: str) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"):
        connection.execute(text(statement))


def test_the_table_holds_no_order_and_no_time(queue: Queue) -> None:
    with queue.owner.connect() as connection:
        columns = inspect(connection).get_columns("queued")
        sequences = connection.scalar(text("SELECT count(*) FROM pg_class WHERE relkind = 'S'"))
    assert [(column["name"], str(column["type"]), column["default"]) for column in columns] == [
        ("key", "BYTEA", None),
        ("data", "BYTEA", None),
        ("intake", "TEXT", None),
    ]
    assert sequences == 0
