"""The disk of outbox, queue, ledger or a custodian is full: nothing is acknowledged that is not on disk, and all goes
on when there is room.

Both ways in which PostgreSQL meets a full disk: a table cannot grow, which fails the statement; or the write-ahead log
cannot, which ends the server.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from infra.postgres import Cluster
from tests.faults.client import PATIENCE, Client
from tests.faults.conftest import Counted, new_origin
from tests.faults.machines import FOLDER, Machines, machines
from tests.faults.stores import holds
from tests.faults.zones import zones
from tests.storage.small_disk import CLUSTER_MEGABYTES

FULL_SECONDS = 4.0
LEAST, ENOUGH = 10, 20
"""Entries that a store holds before its disk is full, and that are then turned away in a row."""
STAND_STILL = {"intake": ["ingress"], "queue": ["egress", "intake"]}
"""Who is away so that nothing leaves a store, and it alone acknowledges."""


@pytest.fixture(scope="module")
def full(cluster: Cluster) -> Iterator[tuple[Machines, Client]]:
    with (
        machines(CLUSTER_MEGABYTES) as here,
        zones(cluster, new_origin(), clusters=here.clusters, folders=here.folders("kept")) as town,
    ):
        client = Client(town)
        town.start()
        client.found()
        yield here, client


@pytest.fixture
def disks(full: tuple[Machines, Client], counted: Counted) -> tuple[Machines, Client]:
    """All have room, and run, when a test begins."""
    here, client = full
    here.mend()
    client.zones.mend()
    counted(client)
    return full


@pytest.mark.parametrize("what", ["table", "log"])
@pytest.mark.parametrize("name", STAND_STILL)
def test_outbox_and_queue_on_a_full_disk(disks: tuple[Machines, Client], name: str, what: str) -> None:
    here, client = disks
    town = client.zones
    client.emptied("intake", "queue")
    town.kill(*STAND_STILL[name])
    with client.load(pause=0.04, batch=20):
        client.wait(lambda: holds(town, name) >= LEAST)
        here.fill(town, name, log=what == "log")
        acknowledges_nothing_more(client)
        if (name, what) == ("queue", "table"):
            # What is there can be fetched, whatever cannot be stored.
            town.start("egress")
            client.grows()
        # What it said last, before there was no room, outlasts the machine.
        here.cut_power(town, name)
        here.mend()
        town.start()
        client.grows()
    client.check()
    client.check_ledger()


def acknowledges_nothing_more(client: Client) -> None:
    """Returns once so many in a row have not been answered that their entry is accepted."""
    acknowledged, turned_away = -1, 0
    end = time.monotonic() + PATIENCE / 2
    while client.turned_away < turned_away + ENOUGH:
        assert time.monotonic() < end, "acknowledges without end on a full disk"
        time.sleep(0.1)
        if len(client.acknowledged) != acknowledged:
            acknowledged, turned_away = len(client.acknowledged), client.turned_away


@pytest.mark.parametrize("what", ["table", "log"])
def test_a_ledger_on_a_full_disk(disks: tuple[Machines, Client], what: str) -> None:
    here, client = disks
    with client.load(batch=20):
        client.grows()
        here.fill(client.zones, "tally", log=what == "log")
        client.stands_still(seconds=FULL_SECONDS)
        here.mend()
        client.grows()
    client.check()
    client.check_ledger()


@pytest.mark.parametrize(("name", "what"), [("custodian-1", "table"), ("custodian-1", "log"), (FOLDER, "folder")])
def test_a_custodian_on_a_full_disk_cosigns_nothing_more_and_the_log_goes_on(
    disks: tuple[Machines, Client], name: str, what: str
) -> None:
    here, client = disks
    with client.load(batch=20):
        client.grows(name)
        here.fill(client.zones, name, log=what == "log")
        stopped = client.stands_still(name)
        client.grows("custodian-0", by=40)
        assert client.size(name) in (stopped, 0)
        here.mend()
        client.wait(lambda: client.size(name) > stopped)
    client.check()


def test_two_custodians_on_full_disks_acknowledge_nothing_between_them(disks: tuple[Machines, Client]) -> None:
    here, client = disks
    with client.load():
        client.grows()
        for name in ("custodian-1", FOLDER):
            here.fill(client.zones, name)
        client.stands_still(seconds=FULL_SECONDS)
        here.mend()
        client.grows()
    client.check()
    client.check_ledger()
