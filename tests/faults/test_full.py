"""The disk of the ledger, or of a custodian, is full: nothing is acknowledged that is not on disk, and all goes on when
there is room. Outbox and queue: tests/storage/test_full.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from infra.postgres import Cluster
from tests.faults.client import Client
from tests.faults.conftest import Counted, new_origin
from tests.faults.zones import zones
from tests.storage.small_disk import CLUSTER_MEGABYTES, SmallDisk, cluster_on, small_disk
from tests.storage.test_full import fill_the_log, restart

FULL_SECONDS = 4.0


@dataclass
class Disks:
    """The ledger's cluster and that of one custodian, each on a small disk, and another one's folder on a third."""

    client: Client
    disks: dict[str, SmallDisk]
    clusters: dict[str, Cluster]


@pytest.fixture(scope="module")
def disks(cluster: Cluster) -> Iterator[Disks]:
    with ExitStack() as stack:
        disks, clusters = {}, {}
        for name in ("tally", "custodian-1"):
            disks[name] = stack.enter_context(small_disk(CLUSTER_MEGABYTES))
            clusters[name] = stack.enter_context(cluster_on(disks[name], "full"))
        disks["custodian-2"] = stack.enter_context(small_disk(24))
        folder = disks["custodian-2"].folder / "kept"
        folder.mkdir(mode=0o700)
        made = zones(cluster, new_origin(), clusters=clusters, folders={"custodian-2": folder})
        town = stack.enter_context(made)
        town.start()
        client = Client(town)
        client.found()
        yield Disks(client, disks, clusters)


def fill(here: Disks, name: str, what: str) -> None:
    if what == "log":
        fill_the_log(here.clusters[name], here.disks[name])
    else:
        here.disks[name].fill()
    here.client.zones.faults += 1


def room(here: Disks, name: str) -> None:
    if name in here.clusters:
        restart(here.clusters[name], here.disks[name])
    else:
        here.disks[name].empty()


@pytest.mark.parametrize("what", ["table", "log"])
def test_a_ledger_on_a_full_disk(disks: Disks, counted: Counted, what: str) -> None:
    client = disks.client
    counted(client)
    with client.load(batch=20):
        client.grows()
        fill(disks, "tally", what)
        client.stands_still(seconds=FULL_SECONDS)
        room(disks, "tally")
        client.grows()
    client.check()
    client.check_ledger()


@pytest.mark.parametrize(
    ("name", "what"), [("custodian-1", "table"), ("custodian-1", "log"), ("custodian-2", "folder")]
)
def test_a_custodian_on_a_full_disk_cosigns_nothing_more_and_the_log_goes_on(
    disks: Disks, counted: Counted, name: str, what: str
) -> None:
    client = disks.client
    counted(client)
    with client.load(batch=20):
        client.grows(name)
        fill(disks, name, what)
        stopped = client.stands_still(name)
        client.grows("custodian-0", by=40)
        assert client.size(name) in (stopped, 0)
        room(disks, name)
        client.wait(lambda: client.size(name) > stopped)
    client.check()


def test_two_custodians_on_full_disks_acknowledge_nothing_between_them(disks: Disks, counted: Counted) -> None:
    client = disks.client
    counted(client)
    with client.load():
        client.grows()
        for name in ("custodian-1", "custodian-2"):
            fill(disks, name, "table")
        client.stands_still(seconds=FULL_SECONDS)
        for name in ("custodian-1", "custodian-2"):
            room(disks, name)
        client.grows()
    client.check()
    client.check_ledger()
