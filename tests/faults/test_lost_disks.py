"""N - W custodians go, with their disks: the log goes on, and they are made whole again from the others."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from infra.postgres import Cluster
from tests.faults.client import PATIENCE, Client
from tests.faults.conftest import Counted, new_origin
from tests.faults.machines import rebuild
from tests.faults.zones import zones

N, W = 5, 3
GONE = ("custodian-1", "custodian-4")
FOLDERS = ("custodian-3", "custodian-4")


@pytest.fixture(scope="module")
def five(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folders = {name: tmp_path_factory.mktemp(name) for name in FOLDERS}
    for folder in folders.values():
        folder.chmod(0o700)
    with zones(cluster, new_origin(), N, W, folders=folders) as town:
        town.start()
        client = Client(town)
        client.found()
        yield client


def test_as_many_custodians_as_may_go_with_their_disks_and_are_rebuilt(five: Client, counted: Counted) -> None:
    counted(five)
    town = five.zones
    with five.load():
        five.grows(by=30)
        for name in GONE:
            town.kill(name)
            town.lose_disk(name)
        five.grows(by=30)
        others = [name for name in town.custodians if name not in GONE]
        work = [threading.Thread(target=rebuild, args=(town, name, others), daemon=True) for name in GONE]
        for thread in work:
            thread.start()
        for thread in work:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        town.start(*GONE)
        for name in GONE:
            five.wait(lambda name=name: five.size(name) > 100)
    five.check()
    five.check_ledger()
    # They count again: now without two of the others.
    town.kill("custodian-0", "custodian-2")
    with five.load():
        five.grows("custodian-3")
    town.start()
    five.check()


def test_one_more_than_may_go_and_nothing_is_published_until_it_is_back(five: Client, counted: Counted) -> None:
    counted(five)
    town = five.zones
    with five.load():
        five.grows()
        town.kill("custodian-0", *GONE)
        five.stands_still("custodian-2")
        town.start("custodian-0")
        five.grows("custodian-2")
        town.start()
    five.check()
