"""Structured logs by allow-list. Each module declares which events it reports and which keys each may carry; a line is
one JSON object on standard error. Values are numbers or short lower-case words, so that no body, pseudonym, key or
hash can slip into a log through a forgotten detail, and what libraries want to say is reduced to who said it.

There are bounds on how many lines a process writes, and nobody's flood hides what others say: what is declared, alarms
among it, has a bound of its own beside what nobody foresaw, and of that no place of the program may take all. A line
that cannot be written, to a disk that is full or to a reader that has gone or is stopped, is counted and changes
nothing else.
"""

from __future__ import annotations

import json
import logging
import re
import select
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TextIO

Value = int | float | str
MOST_LINES = 50
"""Lines a second that a process writes of what is declared, and as many of what nobody foresaw, on average; what fills
a disk is not a log."""
MOST_AT_ONCE = 1000
"""Lines that may come faster than that."""
PART = 0.1
"""Of these, what one place of the program may take: what makes it stumble comes as often as somebody likes."""
MOST_PLACES = 100
"""Places that have a part of their own; the others share one."""
# Too short and too plain for 32 bytes in any encoding this project uses.
WORD = re.compile(r"[a-z0-9][a-z0-9.:-]{0,39}")


class Undeclared(LookupError):
    """An event, key or value that the module's declaration does not allow: a fault of the program, found by its
    tests."""


class Log:
    """Reports events of one module, each declared with the keys it may carry: `Log("tally", sequenced=("size",))`.

    Event names use `-` where the declaration uses `_`.
    """

    def __init__(self, source: str, **events: tuple[str, ...]) -> None:
        self._source = source
        self._events = {name.replace("_", "-"): frozenset(keys) for name, keys in events.items()}

    def info(self, event: str, **values: Value) -> None:
        """Writes one line; Undeclared if the event, a key or a value's form is not allowed."""
        self._write("info", event, values)

    def warning(self, event: str, **values: Value) -> None:
        """As `info`, for what works but needs somebody's attention."""
        self._write("warning", event, values)

    def error(self, event: str, **values: Value) -> None:
        """As `info`, for what did not work."""
        self._write("error", event, values)

    def _write(self, level: str, event: str, values: dict[str, Value]) -> None:
        if event not in self._events:
            raise Undeclared(f"{self._source}: event {event!r} is not declared")
        for key, value in values.items():
            if key not in self._events[event]:
                raise Undeclared(f"{self._source}: event {event!r} may not carry {key!r}")
            if isinstance(value, str) and not WORD.fullmatch(value):
                raise Undeclared(f"{self._source}: {event}.{key} is not a short lower-case word")
        line: dict[str, Value] = {"level": level, "source": self._source, "event": event, **values}
        room, place = (_unforeseen, _place_in(line)) if self is _libraries else (_declared, None)
        if (lines := room.lines(line, place)) and not _written(lines):
            room.lose(lines)


def _written(lines: Sequence[Mapping[str, Value]]) -> bool:
    """Whether they could be written. Logging is done where somebody sees to what failed: it must not fail, too."""
    try:
        with _writing:
            if not _takes(sys.stderr):
                return False
            # One write, so that lines of threads and processes sharing a file do not mix.
            sys.stderr.write("".join(json.dumps({"time": round(time.time(), 3), **line}) + "\n" for line in lines))
            sys.stderr.flush()
    except (OSError, ValueError, AttributeError, RuntimeError):
        # The disk is full, the reader has gone; it is closed; there was none when the process began; or this thread is
        # at another line.
        return False
    return True


# While a thread is at a line, it may come to have another: what garbage collection ends there, may say so.
_writing = threading.RLock()


def _takes(stream: TextIO) -> bool:
    """Whether it takes two lines at once: a pipe whose reader is stopped is full, and would stop who writes to it.

    One that is not, takes 4,096 bytes whole, unless another process fills it in the same moment. It is asked in place
    of being made one that never blocks, for it would be so for all processes that share it, and for their tracebacks.
    """
    try:
        poll = select.poll()
        poll.register(stream, select.POLLOUT)
    except (OSError, ValueError, TypeError):
        # It has no number, is closed, or is none.
        return True
    return bool(poll.poll(0))


class Allowance:
    """So many lines: `part` of what a process may write. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float], part: float = 1.0) -> None:
        self._clock, self._part = clock, part
        self._left, self._at = MOST_AT_ONCE * part, clock()

    def take(self) -> bool:
        """Whether there is one more, which is then taken."""
        now = self._clock()
        self._left = min(MOST_AT_ONCE * self._part, self._left + MOST_LINES * self._part * (now - self._at))
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Room:
    """How many lines may still be written; `clock` gives seconds. Those for which there is none are counted."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # As with `_writing`.
        self._lock = threading.RLock()
        self._all = Allowance(clock)
        self._places: dict[str, Allowance] = {}
        self._untold = 0
        self.dropped = 0

    def lines(self, line: dict[str, Value], place: str | None = None) -> list[dict[str, Value]]:
        """What is to be written in place of this line: nothing, or the line, after one that says how many were not. One
        that comes from a `place` also counts as one of its part.
        """
        with self._lock:
            if not (place is None or self._of(place).take()) or not self._all.take():
                self.dropped += 1
                self._untold += 1
                return []
            untold, self._untold = self._untold, 0
        if not untold:
            return [line]
        return [{"level": "warning", "source": "infra.log", "event": "dropped", "lines": untold}, line]

    def lose(self, lines: Sequence[Mapping[str, Value]]) -> None:
        """Counts the line in place of which these could not be written; what they say of others is still to be said."""
        with self._lock:
            self.dropped += 1
            self._untold += 1 + sum(int(one["lines"]) for one in lines[:-1])

    def _of(self, place: str) -> Allowance:
        place = place if place in self._places or len(self._places) < MOST_PLACES else ""
        if place not in self._places:
            self._places[place] = Allowance(self._clock, PART)
        return self._places[place]


_declared, _unforeseen = Room(), Room()


def dropped() -> int:
    """How many lines were too many to be written, or could not be, since the process began."""
    return _declared.dropped + _unforeseen.dropped


class Seldom:
    """Says of what may happen many times a second whether it is due to be logged: once in so many seconds, and at once
    when it is another thing than before.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._last: tuple[str, float] | None = None

    def due(self, what: str = "") -> bool:
        """Whether `what` is to be logged now."""
        now = self._clock()
        if self._last is not None and self._last[0] == what and now < self._last[1] + self._seconds:
            return False
        self._last = (what, now)
        return True


_libraries = Log("infra.log", library=("module", "kind"), failure=("kind", "where", "line"))


def _place_in(line: dict[str, Value]) -> str:
    return f"{line.get('module', line.get('where'))} {line.get('line', '')}"


def failure(error: BaseException) -> None:
    """Reports an unexpected exception by its type and the place it was raised, never by its message or its values."""
    where, line = _place(error.__traceback__)
    _libraries.error("failure", kind=word(type(error).__name__), where=where, line=line)


def quieten_libraries() -> None:
    """Lets the standard logging tree, into which libraries write freely, and Python itself, which prints warnings and
    what nobody caught with all that stands in it, report only module and kind.
    """
    logging.captureWarnings(True)
    sys.excepthook = lambda kind, error, trace: _uncaught(error)
    sys.unraisablehook = lambda raised: _uncaught(raised.exc_value)
    threading.excepthook = lambda raised: _uncaught(raised.exc_value)
    root = logging.getLogger()
    root.handlers[:] = [_NameOnly(logging.WARNING)]
    root.setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"


def _uncaught(error: BaseException | None) -> None:
    if error is not None and not isinstance(error, KeyboardInterrupt | SystemExit):
        failure(error)


class _NameOnly(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else record.levelname
        _libraries.warning("library", module=word(record.name), kind=word(kind))


def _place(traceback: TracebackType | None) -> tuple[str, int]:
    where, line = "unknown", 0
    while traceback is not None:
        where, line = word(traceback.tb_frame.f_globals.get("__name__", "unknown")), traceback.tb_lineno
        traceback = traceback.tb_next
    return where, line


def word(text: str) -> str:
    """The text as a value that every declared key takes: shortened, and without any other sign."""
    # Letters of other alphabets are letters to Python, too: only these are asked for, by name.
    return re.sub(r"[^a-z0-9.:-]", "-", text.lower()).lstrip(".:-")[:40] or "unnamed"
