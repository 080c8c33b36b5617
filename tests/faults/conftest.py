"""Zones that a module's tests strike, one after another, and what they add to the sum over all faults."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator

import pytest

from infra.postgres import Cluster
from tests.bench.processes import descendants
from tests.faults.client import Client
from tests.faults.network import ip
from tests.faults.power import command_of
from tests.faults.totals import KEY, Totals
from tests.faults.zones import Zones, zones

_numbers = itertools.count()
LAST_WORDS = 1_500
"""Characters of a zone's log that are shown with a failure."""


@pytest.fixture(scope="session", autouse=True)
def nothing_left() -> Iterator[None]:
    """What the tests of this process have made is gone when they end, also those that fail."""
    yield
    left = [line for line in ip("netns", "list").splitlines() if line.startswith(f"psephos-{os.getpid()}")]
    left += [command for pid in descendants(os.getpid()) if "tests.faults" in (command := command_of(pid))]
    assert not left, left


@pytest.fixture(scope="module")
def town(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zones]:
    """All zones, running: two custodians with a database and one with a folder, of whom two witness."""
    folder = tmp_path_factory.mktemp("custodian")
    folder.chmod(0o700)
    with zones(cluster, new_origin(), folders={"custodian-2": folder}) as made:
        made.start()
        yield made


@pytest.fixture(scope="module")
def founded(town: Zones) -> Client:
    client = Client(town)
    client.found()
    return client


Counted = Callable[[Client], None]


@pytest.fixture
def client(founded: Client, counted: Counted) -> Iterator[Client]:
    """Who hands entries in. All zones run and reach each other when a test begins."""
    founded.zones.mend()
    counted(founded)
    yield founded


@pytest.fixture
def counted(request: pytest.FixtureRequest) -> Iterator[Counted]:
    """Called with a client, adds what it hands in from then on, and what its zones suffer, to the sum of all runs."""
    watched: list[tuple[Client, int, int]] = []
    yield lambda client: watched.append((client, len(client.checked), client.zones.faults))
    for client, checked, faults in watched:
        totals = Totals(1, client.zones.faults - faults, len(client.checked) - checked, client.lost)
        request.node.user_properties.append((KEY, totals.as_list()))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """With a failure, the last words of every zone."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    at_work = report.failed and report.when == "call"
    if at_work and (town := struck(getattr(item, "funcargs", {}))) is not None:
        for name in town.names:
            words = town.log(name).read_text(errors="replace")[-LAST_WORDS:] if town.log(name).exists() else ""
            report.sections.append((f"{name}, {'runs' if town.zones[name].alive else 'has ended'}", words))


def struck(arguments: dict[str, object]) -> Zones | None:
    """The zones that a test had."""
    for made in arguments.values():
        client = getattr(made, "client", made)
        if isinstance(client, Client):
            return client.zones
        if isinstance(made, Zones):
            return made
    return None


def new_origin() -> str:
    """A log that no other test has."""
    return f"vote.example/faults-{next(_numbers)}"
