"""The disk of outbox or queue is full: nothing is acknowledged that is not on it, and work goes on once there is room.

Both ways in which PostgreSQL meets a full disk: a table cannot grow, which fails the statement; or the write-ahead log
cannot, which ends the server.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psycopg
import pytest
from sqlalchemy import Engine, select

from audit.log.tiles import frame
from audit.record.entries import parse_entry
from infra.postgres import ADMIN, Cluster, ClusterError
from infra.queue.frames import Row, read_rows
from infra.queue.schema import queued
from intake.door import mover, serve
from intake.door.schema import accepted
from tests.door.conftest import Client, InlinePool, Place, engines_in, fresh_place, signed
from tests.loopback import wait_until
from tests.queue.conftest import Queue, Service, made_in, running
from tests.simulator.meeting import Meeting
from tests.storage.small_disk import CLUSTER_MEGABYTES, SmallDisk, cluster_on, small_disk

MOST = 400
"""Entries after which a full disk must have been noticed."""


@pytest.fixture(scope="module")
def disk() -> Iterator[SmallDisk]:
    with small_disk(CLUSTER_MEGABYTES) as made:
        yield made


@pytest.fixture(scope="module")
def small_cluster(disk: SmallDisk) -> Iterator[Cluster]:
    with cluster_on(disk, "full") as running_cluster:
        yield running_cluster


@pytest.fixture(autouse=True)
def room(disk: SmallDisk) -> Iterator[None]:
    yield
    disk.empty()


@pytest.fixture(scope="module")
def small_engines(small_cluster: Cluster) -> Iterator[tuple[Engine, Engine]]:
    with engines_in(small_cluster) as engines:
        yield engines


@pytest.fixture
def place(small_engines: tuple[Engine, Engine], monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(serve, "CheckingPool", InlinePool)
    monkeypatch.setattr(mover, "AGAIN_MS", 100)
    monkeypatch.setattr(mover, "AGAIN_WAITS", 0)
    return fresh_place(small_engines, Meeting().prepared())


def administer(cluster: Cluster) -> psycopg.Connection[tuple[object, ...]]:
    passfile = str(cluster.passfile(ADMIN))
    return psycopg.connect(host=str(cluster.sockets), user=ADMIN, dbname="postgres", passfile=passfile, autocommit=True)


def fill_the_log(cluster: Cluster, disk: SmallDisk) -> None:
    """Fills the disk and begins another segment of the write-ahead log, for which there is no room."""
    disk.fill()
    with suppress(psycopg.OperationalError), administer(cluster) as connection:
        connection.execute("SELECT pg_switch_wal()")


def answers(cluster: Cluster) -> bool:
    try:
        administer(cluster).close()
    except psycopg.OperationalError:
        return False
    return True


def restart(cluster: Cluster, disk: SmallDisk) -> None:
    """There is room again. A server that has ended is started by its service manager."""
    disk.empty()
    wait_until(lambda: answers(cluster) or not (cluster.data / "postmaster.pid").exists())
    if not answers(cluster):
        with suppress(ClusterError):
            cluster.stop()
        cluster.start()


def cut(cluster: Cluster) -> None:
    """The server is gone on the spot, and comes again: what stands now was on the disk."""
    cluster.stop(crash=True)
    cluster.start()


def until_full(place: Place, client: Client) -> tuple[dict[bytes, dict[str, str]], bytes]:
    """Hands in ballots until one is not taken; what was acknowledged, by text, and that one."""
    answers: dict[bytes, dict[str, str]] = {}
    for number in range(MOST):
        raw = place.text(number % 3, revision=number // 3)
        answer = client.post(raw)
        if answer.status_code != 201:
            problem = answer.json()
            assert (answer.status_code, problem["reason"]) == (503, "not-stored"), answer.text
            assert int(answer.headers["retry-after"]) > 0
            return answers, raw
        answers[raw] = answer.json()
    raise AssertionError("the disk was never full")


@pytest.mark.parametrize("what", ["table", "log"])
def test_an_outbox_on_a_full_disk(place: Place, disk: SmallDisk, small_cluster: Cluster, what: str) -> None:
    place.queue.silent = True
    with place.running() as client:
        wait_until(lambda: client.ready)
        if what == "table":
            disk.fill()
        else:
            fill_the_log(small_cluster, disk)
        answers, refused = until_full(place, client)
        assert client.post(refused).status_code == 503
        restart(small_cluster, disk)
        wait_until(lambda: client.post(refused).status_code in (200, 201))
        answers[refused] = client.post(refused).json()
        cut(small_cluster)
        with place.engine.connect() as connection:
            stored = {bytes(identity) for identity in connection.scalars(select(accepted.c.identity))}
        entries = {signed(raw, answer["line"]).raw for raw, answer in answers.items()}
        assert stored == {parse_entry(raw).identity for raw in entries}
        # The same door, never restarted, answers the same and passes all of them on.
        wait_until(lambda: client.post(refused).status_code == 200)
        assert {raw: client.post(raw).json() for raw in answers} == answers
        place.queue.silent = False
        wait_until(lambda: set(place.queue.entries) == entries)
        for raw in sorted(entries, key=lambda raw: parse_entry(raw).fields["revision"]):
            place.meeting.add(raw)
        place.board.publish()
        wait_until(lambda: place.waiting == 0)


@pytest.fixture
def queue(small_cluster: Cluster) -> Iterator[Queue]:
    with made_in(small_cluster) as made:
        yield made


def put(service: Service, *entries: bytes) -> bool:
    """Whether ingress says that it has stored them; it says nothing else."""
    try:
        answer = httpx.post(f"{service.url}/put", content=frame(entries), headers=service.headers, timeout=60)
    except httpx.TransportError:
        return False
    assert (answer.status_code, answer.content) == (204, b"")
    return True


@pytest.mark.parametrize("what", ["table", "log"])
def test_a_queue_on_a_full_disk(
    queue: Queue, disk: SmallDisk, small_cluster: Cluster, tmp_path: Path, what: str
) -> None:
    with running(queue, "ingress", tmp_path) as ingress, running(queue, "egress", tmp_path) as egress:
        if what == "table":
            disk.fill()
        else:
            fill_the_log(small_cluster, disk)
        numbers = iter(range(MOST))
        stored = set[bytes]()
        while put(ingress, entry := b"entry %d " % next(numbers) + bytes(8_000)):
            stored.add(entry)
        unknown = entry
        if what == "table":
            # What is there can be read, whatever cannot be written.
            assert {row.data for row in taken(egress)} >= stored
        restart(small_cluster, disk)
        wait_until(lambda: put(ingress, b"room again"))
        cut(small_cluster)
        found = held(queue)
        assert stored | {b"room again"} <= found <= stored | {b"room again", unknown}


def taken(egress: Service) -> list[Row]:
    answer = httpx.post(f"{egress.url}/take?most=256", headers=egress.headers, timeout=60)
    return list(read_rows(answer.content))


def held(queue: Queue) -> set[bytes]:
    with queue.owner.connect() as connection:
        return {bytes(data) for data in connection.scalars(select(queued.c.data))}
