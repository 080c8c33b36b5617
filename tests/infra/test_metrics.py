"""Figures by allow-list: no value that was not declared gets into a series, and the number of series is fixed."""

from __future__ import annotations

import ast
import math
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import metrics as metrics_module
from infra.metrics import Metrics, Undeclared, series
from infra.reasons import REASONS
from tests.loopback import PATIENCE, wait_until

ROOT = Path(__file__).resolve().parents[2]


def value(metrics: Metrics, name: str) -> float:
    (line,) = [line for line in metrics.text().decode().splitlines() if line.startswith(f"{name} ")]
    return float(line.rpartition(" ")[2])


def test_a_figure_is_told_with_its_label() -> None:
    metrics = Metrics()
    metrics.count("refusals", "Refused.", reason=["closed"]).add(reason="closed")
    assert b'psephos_refusals_total{reason="closed"} 1.0\n' in metrics.text()


@given(said=st.lists(st.text(max_size=40), max_size=20))
def test_whatever_a_label_is_given_there_are_no_more_series(said: list[str]) -> None:
    metrics = Metrics()
    refusals = metrics.count("refusals", "Refused.", reason=["closed", "syntax"])
    phase = metrics.level("phase", "Phase.", phase=["open"])
    took = metrics.spread("seconds", "Took.", (1.0,), custodian=["1"])
    took.note(1, custodian="1")
    took.note(1, custodian="2")
    phase.set(1, phase="open")
    phase.set(1, phase="of nobody")
    before = series(metrics.text())
    for text in said:
        refusals.add(reason=text)
        phase.set(1, phase=text)
        took.note(1, custodian=text)
    assert series(metrics.text()) == before
    assert value(metrics, 'psephos_refusals_total{reason="other"}') == sum(t not in ("closed", "syntax") for t in said)


@pytest.mark.parametrize("labels", [{}, {"reason": "closed", "who": "8a8a"}, {"who": "8a8a"}])
def test_a_label_that_was_not_declared_is_a_fault(labels: dict[str, str]) -> None:
    with pytest.raises(Undeclared):
        Metrics().count("refusals", "Refused.", reason=["closed"]).add(**labels)


def test_nothing_is_there_that_was_not_declared_and_no_time_of_the_first() -> None:
    metrics = Metrics()
    metrics.count("refusals", "Refused.", reason=["closed"]).add(reason="closed")
    metrics.spread("seconds", "Took.", (1.0,)).note(0.5)
    names = {name.partition("{")[0] for name in series(metrics.text())}
    parts = {"psephos_seconds_bucket", "psephos_seconds_count", "psephos_seconds_sum"}
    assert names == {"psephos_refusals_total", "psephos_log_lines_dropped_total", *parts}


def test_every_series_of_a_count_is_there_before_the_first() -> None:
    metrics = Metrics()
    requests = metrics.count("requests", "Requests.", route=["/a", "/b"], status=["2xx"])
    before = series(metrics.text())
    requests.add(route="/b", status="2xx")
    assert series(metrics.text()) == before


def test_what_is_coarse_is_told_in_whole_steps() -> None:
    metrics = Metrics(step=8)
    refusals = metrics.count("refusals", "Refused.", coarse=True, reason=["closed"])
    depth = metrics.level("depth", "Waiting.", coarse=True)
    size = metrics.level("size", "Entries.")
    told = []
    for number in (7, 1, 7, 1):
        refusals.add(number, reason="closed")
        depth.set(number)
        size.set(number)
        told.append((value(metrics, 'psephos_refusals_total{reason="closed"}'), value(metrics, "psephos_depth")))
    assert told == [(0, 0), (8, 0), (8, 0), (16, 0)]
    assert value(metrics, "psephos_size") == 1


def test_between_two_texts_there_is_a_pause_however_often_one_is_asked_for() -> None:
    now, depth = [0.0], [0.0]
    metrics = Metrics(pause=60, clock=lambda: now[0])
    level = metrics.level("depth", "Waiting.")
    metrics.look(lambda: level.set(depth[0]))
    told = []
    for second in range(0, 181, 10):
        now[0], depth[0] = second, second
        told.append(value(metrics, "psephos_depth"))
    assert told == [0] * 6 + [60] * 6 + [120] * 6 + [180]


def test_a_figure_that_cannot_be_had_is_not_what_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = Metrics()
    level, other = metrics.level("depth", "Waiting."), metrics.level("size", "Entries.")
    metrics.look(lambda: level.set(1 / len([])), level)
    metrics.look(lambda: other.set(3))
    level.set(5)
    assert math.isnan(value(metrics, "psephos_depth"))
    assert value(metrics, "psephos_size") == 3
    assert "zerodivisionerror" in capsys.readouterr().err


def test_a_figure_that_is_looked_for_without_end_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_module, "LOOK_SECONDS", 0.2)
    metrics, there = Metrics(), threading.Event()
    depth, size, room = (metrics.level(name, "Some.") for name in ("depth", "size", "room"))
    metrics.look(lambda: size.set(3), size)
    metrics.look(lambda: depth.set(there.wait(PATIENCE)), depth)
    metrics.look(lambda: room.set(5), room)
    for _ in range(2):
        assert value(metrics, "psephos_size") == 3
        assert math.isnan(value(metrics, "psephos_depth"))
        assert math.isnan(value(metrics, "psephos_room"))
    there.set()
    wait_until(lambda: (value(metrics, "psephos_depth"), value(metrics, "psephos_room")) == (1, 5))


PLACES = {"Refused": 0, "Problem": 1, "problem": 1, "MixerFault": 1, "TrusteeFault": 1}
SERVICES = ("audit/log", "audit/protocol", "audit/record", "infra", "intake/door", "tally/sequencer", "vault")


def test_every_reason_that_a_service_can_give_has_a_series() -> None:
    found = {
        constant.value
        for folder in SERVICES
        for path in (ROOT / folder).rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in PLACES
        for argument in call.args[PLACES[call.func.id] : PLACES[call.func.id] + 1]
        for constant in ([argument.body, argument.orelse] if isinstance(argument, ast.IfExp) else [argument])
        if isinstance(constant, ast.Constant)
    }
    assert len(found) > 60
    assert found - REASONS == set()
