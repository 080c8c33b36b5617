"""Figures by allow-list, as Prometheus reads them. Whoever declares one says which labels it has and which values each
label may take; any other value is counted as `other`. So no request, address or pseudonym gets into a figure, and the
number of series is fixed before the first request comes.

There is one registry a process and nothing in it that was not declared here: none of the collectors that libraries
bring, and no time at which something was counted for the first time.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    disable_created_metrics,
    generate_latest,
)

from infra import log
from infra.database import tell
from infra.waiting_for import WaitingFor

PREFIX = "psephos_"
OTHER = "other"
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the classes of a duration."""
LOOK_SECONDS = 3.0
"""In which all that is looked at for a text must have been seen: a database that is stopped does not even refuse."""
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

# When a series began is when something happened for the first time.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Undeclared(LookupError):
    """A label that was not declared: a fault of the program, found by its tests."""


class _Figure:
    def __init__(self, inner: Any, labels: Mapping[str, frozenset[str]]) -> None:
        self._inner, self._labels = inner, labels

    def _values(self, given: Mapping[str, str]) -> dict[str, str]:
        if given.keys() != self._labels.keys():
            raise Undeclared(f"labels {sorted(given)} are given, {sorted(self._labels)} are declared")
        return {name: value if value in self._labels[name] else OTHER for name, value in given.items()}

    def _one(self, given: Mapping[str, str]) -> Any:
        values = self._values(given)
        return self._inner.labels(**values) if values else self._inner


class Count(_Figure):
    """Something that happens again and again."""

    def __init__(self, inner: Any, labels: Mapping[str, frozenset[str]]) -> None:
        super().__init__(inner, labels)
        self._reached: dict[tuple[str, ...], float] = {}

    def add(self, times: float = 1, **labels: str) -> None:
        self._one(labels).inc(times)

    def reach(self, total: float, **labels: str) -> None:
        """Adds what has come since the last time to a total that is counted elsewhere, and only ever grows."""
        place = tuple(self._values(labels).values())
        self.add(total - self._reached.get(place, 0), **labels)
        self._reached[place] = total


class Level(_Figure):
    """Something that rises and falls."""

    def set(self, value: float, **labels: str) -> None:
        self._one(labels).set(value)

    def only(self, values: Mapping[str, float]) -> None:
        """Sets every value of its one label, and what is not named to 0."""
        ((name, allowed),) = self._labels.items()
        for value in allowed:
            self._inner.labels(**{name: value}).set(values.get(value, 0))

    def unknown(self) -> None:
        """It cannot be told now: every series of it is NaN, rather than what it was."""
        if self._labels:
            self._inner.clear()
        else:
            self._inner.set(math.nan)


class Spread(_Figure):
    """How something is spread: durations in seconds, or sizes."""

    def note(self, value: float, **labels: str) -> None:
        self._one(labels).observe(value)


class Metrics:
    """The figures of one process. Names are without the prefix `psephos_`.

    A text is `pause` seconds old at most, and so old at least before there is another: what happens between two of
    them is told together. Figures declared `coarse` are told in multiples of `step`, rounded down.
    """

    def __init__(self, pause: float = 0.0, step: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry = CollectorRegistry(auto_describe=True)
        self._pause, self._step, self._clock = pause, step, clock
        self._coarse: set[str] = set()
        self._looks: list[tuple[Callable[[], None], Sequence[Level]]] = []
        self._looked, self._seen = WaitingFor(self._look, LOOK_SECONDS), 0
        self._lock = threading.Lock()
        self._text: tuple[float, bytes] | None = None
        lines = "Log lines that were too many, or could not be written, since the start."
        dropped = self.count("log_lines_dropped", lines)
        self.look(lambda: dropped.reach(log.dropped()))

    def count(self, name: str, help: str, *, coarse: bool = False, **labels: Iterable[str]) -> Count:
        """A counter; every series of it is there from the beginning, at 0."""
        allowed = _allowed(labels)
        inner = Counter(PREFIX + name, help, tuple(allowed), registry=self._registry)
        self._note_coarse(name, coarse)
        if allowed:
            # Else the first of a kind would show in that its series appears.
            for values in product(*allowed.values()):
                inner.labels(*values)
        return Count(inner, allowed)

    def level(self, name: str, help: str, *, coarse: bool = False, **labels: Iterable[str]) -> Level:
        """A gauge."""
        allowed = _allowed(labels)
        self._note_coarse(name, coarse)
        return Level(Gauge(PREFIX + name, help, tuple(allowed), registry=self._registry), allowed)

    def spread(self, name: str, help: str, bounds: Sequence[float] = SECONDS, **labels: Iterable[str]) -> Spread:
        """A histogram with these upper bounds. It cannot be coarse: its sum would tell what its counts do not."""
        allowed = _allowed(labels)
        inner = Histogram(PREFIX + name, help, tuple(allowed), registry=self._registry, buckets=bounds)
        return Spread(inner, allowed)

    def look(self, look: Callable[[], None], *levels: Level) -> None:
        """Has `look` called before a text is made, to bring levels up to date; if it fails, or is not back in time,
        `levels` are unknown. It is called by a thread of its own, once at a time.
        """
        self._looks.append((look, levels))

    def text(self) -> bytes:
        """All figures in Prometheus' text format. It may ask a database: not for the thread that serves."""
        with self._lock:
            now = self._clock()
            if self._text is None or now >= self._text[0] + self._pause:
                self._refresh()
                self._text = now, generate_latest(self)
            return self._text[1]

    def collect(self) -> Iterator[Metric]:
        """What `generate_latest` asks a registry for."""
        for family in self._registry.collect():
            if family.name in self._coarse:
                rounded = [sample._replace(value=self._round(sample.value)) for sample in family.samples]
                family.samples = rounded
            yield family

    def _refresh(self) -> None:
        if not self._looked():
            for _, levels in self._looks[self._seen :]:
                for level in levels:
                    level.unknown()

    def _look(self) -> None:
        for look, levels in tuple(self._looks):
            try:
                look()
            except Exception as error:
                # One figure that cannot be had must not hide the others.
                tell(error)
                for level in levels:
                    level.unknown()
            self._seen += 1
        self._seen = 0

    def _round(self, value: float) -> float:
        return value if math.isnan(value) else value // self._step * self._step

    def _note_coarse(self, name: str, coarse: bool) -> None:
        if coarse:
            self._coarse.add(PREFIX + name)


def _allowed(labels: Mapping[str, Iterable[str]]) -> dict[str, frozenset[str]]:
    return {name: frozenset(values) | {OTHER} for name, values in labels.items()}


def series(text: bytes) -> Collection[str]:
    """The series of a text: names with their labels, without values."""
    lines = text.decode().splitlines()
    return {line.rpartition(" ")[0] for line in lines if line and not line.startswith("#")}
