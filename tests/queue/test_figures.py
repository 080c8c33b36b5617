"""What egress tells of the queue: how much waits, and for how long since it first saw it."""

from __future__ import annotations

import os
import signal

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from infra import metrics as metrics_module
from infra import private
from infra.metrics import Metrics
from infra.private import private_app, reachable
from infra.queue import waiting
from infra.queue.egress import Outlet, add_figures
from infra.queue.ingress import Inlet
from infra.queue.waiting import Waiting
from tests.infra.test_private import told
from tests.loopback import wait_until
from tests.queue.conftest import Queue
from tests.queue.test_egress import Clock


def test_rows_wait_from_first_sight_to_their_acknowledgement(queue: Queue) -> None:
    clock, metrics = Clock(), Metrics()
    inlet, outlet = Inlet(queue.ingress), Outlet(queue.egress, clock)
    add_figures(metrics, outlet)
    inlet.store([b"a", b"b", b"c"])
    clock.now += 100
    # Nobody has looked: how long they were there is not known.
    assert told(metrics) == {"queue_depth": 3}
    clock.now += 7
    rows = outlet.take(2)
    clock.now += 3
    outlet.ack([row.key for row in rows])
    figures = told(metrics)
    assert (figures["queue_depth"], figures["queue_oldest_seconds"]) == (1, 10)
    assert (figures["queue_waiting_seconds_count"], figures["queue_waiting_seconds_sum"]) == (2, 20)
    assert (figures["queue_batch_rows_count"], figures["queue_batch_rows_sum"]) == (1, 2)


def test_a_row_that_comes_again_waits_since_it_was_seen_first(queue: Queue) -> None:
    clock = Clock()
    outlet, waited = Outlet(queue.egress, clock), list[float]()
    outlet.waiting.ended = waited.append
    Inlet(queue.ingress).store([b"a"])
    (row,) = outlet.take(1)
    clock.now += 31
    assert outlet.take(1) == [row]
    clock.now += 1
    outlet.ack([row.key, row.key, b"x" * 16])
    assert waited == [32]


def test_rows_that_are_gone_are_forgotten_and_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MOST", 3)
    made = Waiting(lambda: 0.0)
    made.saw(b"%d" % number for number in range(10))
    assert made.depth == 3
    made.are([b"1", b"9"])
    assert made.depth == 2
    made.are([])
    assert (made.depth, made.oldest) == (0, 0)


@pytest.mark.parametrize(("path", "told_of_it"), [("/readyz", "too-slow"), ("/metrics", "psephos_queue_depth NaN")])
def test_a_database_that_is_stopped_is_told(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, path: str, told_of_it: str
) -> None:
    """It does not answer, and does not refuse either: nothing that asks it comes back."""
    monkeypatch.setattr(private, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(metrics_module, "LOOK_SECONDS", 0.3)
    monkeypatch.setattr(private, "READY_SECONDS", 0.0)
    metrics = Metrics()
    add_figures(metrics, Outlet(queue.egress, Clock()))
    told_at = TestClient(private_app(metrics, lambda: reachable(queue.egress)))
    with queue.egress.connect() as connection:
        backend = connection.scalar(text("SELECT pg_backend_pid()"))
    assert backend is not None
    os.kill(backend, signal.SIGSTOP)
    try:
        assert told_of_it in told_at.get(path).text
        assert told_at.get("/healthz").status_code == 204
    finally:
        os.kill(backend, signal.SIGCONT)
    wait_until(lambda: told_of_it not in told_at.get(path).text)
