"""What the tests of several subjects share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from unittest.mock import patch

import httpx
import pytest
from hypothesis import settings

from infra import log
from infra.postgres import Cluster, temporary_cluster
from tests.faults.totals import Totals, total

TESTS = Path(__file__).parent
NEED_ROOT = (TESTS / "faults", TESTS / "storage")
"""They make disks and networks."""
LONG = ("end_to_end", "faults", "simulation", "judges", "officials", "register")
"""Whose files take long. They come first, or in the end one process would be at the last and the others idle."""

# Property tests try the same examples in every run, and no clock decides whether they pass.
settings.register_profile("psephos", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("psephos")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running PostgreSQL cluster for the whole test run; each test makes databases of its own names in it."""
    with temporary_cluster("tests") as running:
        yield running


@pytest.fixture(scope="session", autouse=True)
def authorities() -> Iterator[None]:
    """httpx reads by whom servers are known once, and not for every client: that takes longer than most answers."""
    with patch.object(httpx._transports.default, "create_ssl_context", cache(httpx.create_ssl_context)):
        yield


@pytest.fixture(autouse=True)
def room_for_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test has fewer lines, or one more on how many there were not, for what one before it has logged."""
    monkeypatch.setattr(log, "_declared", log.Room())
    monkeypatch.setattr(log, "_unforeseen", log.Room())


def pytest_report_header() -> str | None:
    if os.geteuid() == 0:
        return None
    return "not root: the tests of tests/faults and tests/storage make disks and networks, and are left out"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=place_of)
    if os.geteuid() == 0:
        return
    left_out = [item for item in items if any(item.path.is_relative_to(folder) for folder in NEED_ROOT)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def place_of(item: pytest.Item) -> int:
    """Of a test's folder among those that come first."""
    folder = item.path.relative_to(TESTS).parts[0]
    return LONG.index(folder) if folder in LONG else len(LONG)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What all runs under faults come to: each test's last report has it all."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    ends = [report for report in reports if getattr(report, "when", "") == "teardown"]
    found = total(one for report in ends for one in report.user_properties)
    if found != Totals():
        terminalreporter.write_line(f"faults: {found}")
