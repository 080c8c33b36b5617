"""What waits no longer than it may for a question's thread has one moment in which there is no thread to be had."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.metrics import Metrics
from infra.private import Recent
from infra.waiting_for import WaitingFor
from tally.sequencer.status import Report
from tests.loopback import PATIENCE, wait_until

Moment = Callable[[], None]


@pytest.fixture
def over(monkeypatch: pytest.MonkeyPatch) -> Moment:
    """No thread can be started, until this is called."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    return monkeypatch.undo


def test_readiness_is_answered_again(over: Moment) -> None:
    recent = Recent(lambda: "")
    assert [recent(), recent()] == ["too-slow", "too-slow"]
    over()
    assert recent() == ""


def test_figures_are_unknown_and_then_seen(over: Moment) -> None:
    metrics = Metrics()
    depth = metrics.level("depth", "Some.")
    depth.set(1)
    metrics.look(lambda: depth.set(3), depth)

    def told() -> float:
        line = next(line for line in metrics.text().decode().splitlines() if line.startswith("psephos_depth"))
        return float(line.split()[1])

    assert math.isnan(told())
    over()
    assert told() == 3


@pytest.mark.usefixtures("over")
def test_tallys_figures_are_written_all_the_same(tmp_path: Path) -> None:
    report = Report(tmp_path / "status", ["one"])
    report.write()
    assert "psephos_leading 1.0" in (tmp_path / "status.prom").read_text()


def test_one_asks_and_those_who_come_meanwhile_wait_no_longer_than_for_it() -> None:
    asked, there = list[int](), threading.Event()

    def ask() -> None:
        asked.append(1)
        there.wait(PATIENCE)

    waiting = WaitingFor(ask, 0.2)
    assert [waiting(), waiting()] == [False, False]
    there.set()
    wait_until(waiting)
    assert len(asked) <= 2
