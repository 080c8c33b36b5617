"""Logs by allow-list: an event, a key or a value that was not declared never reaches a line."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import log
from infra.log import WORD, Log, Undeclared
from tests.loopback import PATIENCE

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Any:
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.fixture
def tree() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    log.quieten_libraries()
    yield
    logging.captureWarnings(False)
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks
    root.handlers[:], root.level = before[0], before[1]


def test_a_declared_event_is_one_json_line(lines: Any) -> None:
    Log("tally", log_sequenced=("size", "seconds")).info("log-sequenced", size=300, seconds=0.25)
    (line,) = lines()
    assert line.pop("time") > 0
    assert line == {"level": "info", "source": "tally", "event": "log-sequenced", "size": 300, "seconds": 0.25}


@pytest.mark.parametrize(
    ("event", "values"),
    [
        ("stored", {}),
        ("sequenced", {"body": 1}),
        ("sequenced", {"kind": "A sentence, with what a voter wrote"}),
        ("sequenced", {"kind": "8a" * 32}),
        ("sequenced", {"kind": "kTcQ0JXxxlHLqYxX3p5m3w"}),
        ("sequenced", {"kind": "two\nlines"}),
        ("sequenced", {"kind": ""}),
    ],
)
def test_anything_else_is_not_written(lines: Any, event: str, values: dict[str, Any]) -> None:
    with pytest.raises(Undeclared):
        Log("tally", sequenced=("size", "kind")).warning(event, **values)
    assert lines() == []


def test_a_failure_is_named_by_kind_and_place_only(lines: Any) -> None:
    try:
        raise RuntimeError("pseudonym 8a8a8a")
    except RuntimeError as error:
        log.failure(error)
    (line,) = lines()
    assert (line["kind"], line["where"]) == ("runtimeerror", __name__.lower().replace("_", "-"))
    assert "8a8a8a" not in json.dumps(line)


def test_what_a_library_says_is_reduced_to_who_said_it(tree: None, lines: Any) -> None:
    logging.getLogger("some.library").warning("request from 192.0.2.1 with body %s", "secret")
    logging.getLogger("some.library").info("nothing of this")
    logging.getLogger("uvicorn.access").error("192.0.2.1 GET /")
    (line,) = lines()
    assert (line["event"], line["module"], line["kind"]) == ("library", "some.library", "warning")
    assert "192.0.2.1" not in json.dumps(line)


def test_what_nobody_caught_is_named_by_kind_and_place_only(tree: None, lines: Any) -> None:
    def fail() -> None:
        raise ValueError("pseudonym 8a8a8a")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    with pytest.raises(ValueError, match="8a8a8a") as caught:
        fail()
    sys.excepthook(ValueError, caught.value, caught.tb)
    warnings.showwarning("pseudonym 8a8a8a", UserWarning, "8a8a8a.py", 1)
    found = lines()
    assert [line["event"] for line in found] == ["failure", "failure", "library"]
    assert "8a8a8a" not in json.dumps(found)


def test_more_lines_than_a_log_may_have_are_counted_and_not_written() -> None:
    now = [0.0]
    room = log.Room(lambda: now[0])
    line: dict[str, log.Value] = {"event": "failure"}
    assert [room.lines(line) for _ in range(log.MOST_AT_ONCE)] == [[line]] * log.MOST_AT_ONCE
    assert [room.lines(line) for _ in range(1000)] == [[]] * 1000
    now[0] = 0.5
    told = [room.lines(line) for _ in range(1000)]
    assert told[0] == [{"level": "warning", "source": "infra.log", "event": "dropped", "lines": 1000}, line]
    assert sum(map(bool, told)) == log.MOST_LINES / 2
    assert room.dropped == 1000 + 1000 - log.MOST_LINES / 2


@contextmanager
def full_disk() -> Iterator[TextIO]:
    """Standard error on a disk without room. Nothing is left in it that would have to be written when it is closed."""
    with open("/dev/full", "wb", buffering=0) as raw:
        yield TextIOWrapper(raw, write_through=True)


@contextmanager
def log_on_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No line of this process can be written until the end of the block; what is lost is counted from 0."""
    with full_disk() as stream, monkeypatch.context() as patched:
        patched.setattr(log, "_declared", log.Room())
        patched.setattr(log, "_unforeseen", log.Room())
        patched.setattr(sys, "stderr", stream)
        yield


@contextmanager
def reader_gone() -> Iterator[TextIO]:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb", buffering=0) as raw:
        yield TextIOWrapper(raw, write_through=True)


@contextmanager
def closed() -> Iterator[TextIO]:
    with open(os.devnull, "w") as stream:
        pass
    yield stream


@contextmanager
def reader_stopped() -> Iterator[TextIO]:
    """Who writes to it all the same waits until somebody reads."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, bytes(4096))
    os.set_blocking(writing, True)
    late = threading.Timer(10, lambda: os.read(reading, 1 << 20))
    late.start()
    with open(writing, "wb", buffering=0) as raw:
        yield TextIOWrapper(raw, write_through=True)
    late.cancel()
    late.join()
    os.close(reading)


@pytest.mark.parametrize("stands_for", [full_disk, reader_gone, reader_stopped, closed, nullcontext])
def test_a_line_that_cannot_be_written_is_counted_and_changes_nothing(
    stands_for: Any, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tally = Log("tally", sequenced=("size",))
    with monkeypatch.context() as patched, stands_for() as stream:
        patched.setattr(sys, "stderr", stream)
        for size in range(3):
            tally.info("sequenced", size=size)
        log.failure(RuntimeError())
    assert log.dropped() == 4 and lines() == []
    # As soon as there is room, what is missing is told, once.
    for size in (3, 4):
        tally.info("sequenced", size=size)
    assert [(line["event"], line.get("lines"), line.get("size")) for line in lines()] == [
        ("dropped", 3, None),
        ("sequenced", None, 3),
        ("sequenced", None, 4),
    ]


ENDS_WHILE_LOGGING = """
import gc
from infra import log

class Bad:
    def __init__(self):
        self.myself = self
    def __del__(self):
        raise ValueError("in the middle of a line")

log.quieten_libraries()
line = log.Log("test", line=("number",))
gc.set_threshold(7)
for number in range(900):
    Bad()
    line.info("line", number=number)
print("ended")
"""


def test_what_is_ended_while_a_line_is_written_has_a_line_of_its_own() -> None:
    """Garbage collection comes at any moment, and what it ends may fail: that is logged in the same thread."""
    command = [sys.executable, "-c", ENDS_WHILE_LOGGING]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True, cwd=ROOT)
    assert done.stdout == "ended\n"
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    told = [line["number"] for line in lines if line["event"] == "line"]
    assert told == sorted(told)
    # Whatever could not be written is counted with the next.
    assert len(told) + sum(line.get("lines", 0) for line in lines) >= 900
    assert any(line["event"] == "failure" and line["kind"] == "valueerror" for line in lines)


def test_what_comes_from_one_place_again_and_again_leaves_room_for_others() -> None:
    now = [0.0]
    room = log.Room(lambda: now[0])
    line: dict[str, log.Value] = {"event": "failure"}
    part = round(log.MOST_AT_ONCE * log.PART)
    assert sum(bool(room.lines(line, "reception 12")) for _ in range(1000)) == part
    now[0] = 1.0
    assert sum(bool(room.lines(line, "reception 12")) for _ in range(1000)) == log.MOST_LINES * log.PART
    assert sum(bool(room.lines(line, "watch 30")) for _ in range(1000)) == part
    # However many places there are, all in all it is no more than before.
    written = sum(bool(room.lines(line, f"reception {i}")) for i in range(1000) for _ in range(20))
    assert written < log.MOST_AT_ONCE
    assert room.dropped == 3000 - 2 * part - log.MOST_LINES * log.PART + 20_000 - written


def test_no_flood_of_what_nobody_foresaw_hides_an_alarm(lines: Any) -> None:
    before = log.dropped()
    for number in range(2 * log.MOST_AT_ONCE):
        failing = {"__name__": f"module-{number % 50}"}
        exec("def fail():\n    raise RuntimeError", failing)
        try:
            failing["fail"]()  # type: ignore[operator]
        except RuntimeError as error:
            log.failure(error)
    Log("intake.watch", cannot_account=()).error("cannot-account")
    said = lines()
    assert log.dropped() > before
    assert [line["event"] for line in said[-1:]] == ["cannot-account"]


@given(said=st.text(max_size=60))
def test_whatever_was_said_is_a_word_that_may_be_logged(said: str) -> None:
    assert WORD.fullmatch(log.word(said))


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("custodian_1:9000", "custodian-1:9000"),
        ("[::1]:9000", "1-:9000"),
        ("\u00fcn\u00efcode", "n-code"),
        ("\u0131", "unnamed"),
        ("\u0661\u0662", "unnamed"),
        ("", "unnamed"),
        ("ReadTimeout", "readtimeout"),
    ],
)
def test_words_in_place_of_what_may_not_be_logged(said: str, word: str) -> None:
    assert log.word(said) == word


def test_what_happens_often_is_logged_seldom() -> None:
    now = [0.0]
    seldom = log.Seldom(10, lambda: now[0])
    assert [seldom.due("a"), seldom.due("a"), seldom.due("b"), seldom.due("b"), seldom.due("a")] == [
        True,
        False,
        True,
        False,
        True,
    ]
    now[0] = 9.9
    assert not seldom.due("a")
    now[0] = 10.0
    assert seldom.due("a")
