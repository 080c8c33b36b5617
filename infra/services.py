"""How several services are, in one table: read from their private ports, and of tally, which listens on nothing, from
the file that it writes. A service may have been captured: what it says is bounded, and fit for a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from infra.config import ConfigError, read_toml
from infra.exchange import Unusable, ask, client, read_json
from infra.log import word

SECONDS = 5.0
"""For an answer of a private port; and how old tally's file may be."""
MOST = 1 << 17
"""Bytes of an answer, or of tally's file: ten times what an intake says. Reading takes time that grows with the square
of a label's length: at most a second, whatever somebody writes there.
"""
PATHS = ("/readyz", "/metrics")
COLUMNS = ("service", "ready", "log", "phase", "waiting", "oldest", "behind", "refused", "failed")


@dataclass(frozen=True)
class Condition:
    """A service: why it is not ready ("" if it is), and its figures, by name and labels; those that are 0 too."""

    name: str
    reason: str
    figures: Sequence[tuple[str, dict[str, str], float]] = ()

    def row(self) -> tuple[str, ...]:
        """What the table shows of it, as COLUMNS; "" where it has no such figure."""
        return (
            self.name,
            self.reason or "yes",
            number(self._of("log_size")),
            next((word(labels.get("phase", "")) for labels, value in self._with("log_phase") if value == 1), ""),
            number(self._of("outbox_depth", "queue_depth")),
            number(self._of("outbox_oldest_seconds", "queue_oldest_seconds"), " s"),
            number(self._of("custodian_behind")),
            number(self._of("refusals_total")),
            number([value for labels, value in self._with("requests_total") if labels.get("status") == "5xx"]),
        )

    def _of(self, *names: str) -> list[float]:
        return [value for name in names for _, value in self._with(name)]

    def _with(self, name: str) -> list[tuple[dict[str, str], float]]:
        return [(labels, value) for found, labels, value in self.figures if found == name]


def show(configs: Sequence[Path]) -> int:
    """Prints the table of the services that run by these files; 1 if one cannot do its work, 0 otherwise. ConfigError
    as `condition`.
    """
    found = [condition(path) for path in configs]
    print(table([one.row() for one in found]))
    return int(any(one.reason for one in found))


def condition(path: Path) -> Condition:
    """How the service is that runs by this file. ConfigError if the file does not say where to ask."""
    _, settings = read_toml(path)
    name = f"{path.resolve().parent.name}/{path.stem}"
    if "private" not in settings and "status" in settings:
        return written(name, path.resolve().parent / str(settings["status"]))
    if "private" not in settings:
        raise ConfigError(path, ["missing key `private`: only there does a service say how it is"])
    private = str(settings["private"])
    address, _, port = private.rpartition(":")
    if not address or not port.isdecimal():
        raise ConfigError(path, ["key `private` must be ADDRESS:PORT"])
    return asked(name, f"http://{private}")


def asked(name: str, url: str) -> Condition:
    """How the service says that it is, at its private port."""
    try:
        with client(httpx.Timeout(SECONDS), base_url=url, trust_env=False) as private:
            ready, figures = (ask(private, "GET", path, None, most=MOST, seconds=SECONDS) for path in PATHS)
        reason = "" if ready.status == 204 else word(str(read_json(ready.body)["reason"]))
        return Condition(name, reason, read(figures.body.decode()))
    except (httpx.HTTPError, Unusable, ValueError, LookupError, TypeError):
        return Condition(name, "no-answer")


def written(name: str, status: Path, now: float | None = None) -> Condition:
    """How tally has written that it is; `now` in POSIX seconds."""
    try:
        with status.with_suffix(".prom").open("rb") as file:
            raw = file.read(MOST + 1)
        if len(raw) > MOST:
            return Condition(name, "no-file")
        figures = read(raw.decode())
    except (OSError, ValueError):
        return Condition(name, "no-file")
    values = {name: value for name, _, value in figures}
    if (time.time() if now is None else now) > values.get("written_time", 0.0) + SECONDS:
        return Condition(name, "old-file", figures)
    if not values.get("leading"):
        return Condition(name, "standing-by", figures)
    awaited = any(value for name, _, value in figures if name == "custodian_awaited")
    return Condition(name, "custodian-awaited" if awaited else "", figures)


def read(text: str) -> list[tuple[str, dict[str, str], float]]:
    """Our figures in a text of Prometheus' format, without their prefix. ValueError if it is none."""
    samples: Iterable[Any] = (s for family in text_string_to_metric_families(text) for s in family.samples)
    return [(sample.name.removeprefix("psephos_"), sample.labels, float(sample.value)) for sample in samples]


def number(values: Sequence[float], unit: str = "") -> str:
    """Their sum, in whole numbers; "?" if one of them is unknown."""
    if not values:
        return ""
    total = sum(values)
    return "?" if total != total else f"{total:,.0f}{unit}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """The rows under COLUMNS; text to the left, numbers to the right."""
    lines = [COLUMNS, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    text = {"service", "ready", "phase"}
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in text else cell.rjust(width)
            for cell, width, column in zip(line, widths, COLUMNS, strict=True)
        ).rstrip()
        for line in lines
    )
