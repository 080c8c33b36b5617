"""The power of the machines fails, of all at once: what any of them has acknowledged is on disk. The same without
writing through to the disk must lose, or this test shows nothing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import httpx
import pytest
from sqlalchemy.exc import SQLAlchemyError

from audit.protocol.refused import Refused
from infra.postgres import Cluster, ClusterError
from tests.faults import power
from tests.faults.client import Client
from tests.faults.conftest import Counted, new_origin
from tests.faults.stores import holds
from tests.faults.zones import Zones, zones
from tests.storage.small_disk import SmallDisk, cluster_on, run, small_disk

MEGABYTES = 320
UNSAFE = {"unsafe": True}


@dataclass
class Machines:
    """All zones on one disk: their databases in one cluster, and the folder of one custodian."""

    disk: SmallDisk
    cluster: Cluster
    zones: Zones
    client: Client

    def sizes(self) -> dict[str, int]:
        return {name: self.client.held(name) for name in self.zones.custodians} | {"tally": holds(self.zones, "tally")}

    def fail(self) -> None:
        """The power is gone, for all of them."""
        power.cut(self.disk)
        self.zones.faults += 1
        self.zones.close()
        for database in self.zones.databases.values():
            database.engine.dispose()
        power.let_go(self.disk, self.cluster)

    def come_back(self, **how: object) -> None:
        power.come_back(self.disk, self.cluster)
        self.zones.start(**how)


@contextmanager
def machines(unsafe: bool = False) -> Iterator[Machines]:
    with small_disk(MEGABYTES) as disk, cluster_on(disk, "power") as cluster:
        folder = disk.folder / "custodian-2"
        folder.mkdir(mode=0o700)
        with zones(cluster, new_origin(), folders={"custodian-2": folder}) as made:
            if unsafe:
                # Only now: what makes a custodian's place refuses one that is not safe.
                for database in made.databases.values():
                    database.engine.dispose()
                    database.owner.dispose()
                cluster.stop()
                with (cluster.data / "postgresql.conf").open("a") as file:
                    file.write("fsync = off\n")
                cluster.start()
            # What stands before the test is not what it asks about.
            run("sync", "--file-system", disk.folder)
            made.start(**(UNSAFE if unsafe else {}))
            client = Client(made)
            client.found()
            yield Machines(disk, cluster, made, client)


@pytest.fixture(scope="module")
def safe() -> Iterator[Machines]:
    with machines() as here:
        yield here


def test_nothing_acknowledged_is_lost_in_two_power_cuts(safe: Machines, counted: Counted) -> None:
    client, dice = safe.client, random.Random(1)
    counted(client)
    for _ in range(2):
        with client.load():
            client.grows()
            time.sleep(dice.uniform(0.5, 2.0))
            before = safe.sizes()
            safe.fail()
            safe.come_back()
        client.wait(lambda: all(client.size(name) for name in safe.zones.custodians))
        after = safe.sizes()
        assert {name: size for name, size in before.items() if after[name] < size} == {}
        client.check()
        client.check_ledger()


def test_what_outbox_and_queue_acknowledge_is_on_disk_before_anybody_fetched_it(
    safe: Machines, counted: Counted
) -> None:
    client = safe.client
    counted(client)
    client.check()
    client.emptied("intake", "queue")
    safe.zones.kill("egress")
    client.put(client.entries(50))
    safe.zones.kill("ingress")
    for entry in client.entries(30):
        assert client.hand_in(entry)
    safe.fail()
    power.come_back(safe.disk, safe.cluster)
    assert (holds(safe.zones, "intake"), holds(safe.zones, "queue")) == (30, 50)
    safe.zones.start()
    client.check()
    client.check_ledger()


def test_without_fsync_every_store_loses_what_it_acknowledged() -> None:
    with machines(unsafe=True) as here:
        client = here.client
        client.put(client.entries(40))
        client.wait(lambda: len(set(here.sizes().values())) == 1)
        before = here.sizes()
        client.emptied("queue")
        here.zones.kill("egress")
        client.put(client.entries(50))
        here.zones.kill("ingress")
        for entry in client.entries(10):
            assert client.hand_in(entry)
        before |= {"intake": 10, "queue": 50}
        here.fail()
        after = found_again(here)
        assert {name for name in before if after.get(name, 0) < before[name]} == set(before)


def found_again(here: Machines) -> dict[str, int]:
    """What is there after the power cut, of every store whose service or server can be started at all."""
    found: dict[str, int] = {}
    with suppress(ClusterError):
        power.come_back(here.disk, here.cluster)
        for name in ("intake", "queue", "tally"):
            found[name] = or_nothing(lambda name=name: holds(here.zones, name))
    for name in here.zones.custodians:
        here.zones.start(name, **UNSAFE)
        here.client.wait(lambda name=name: not here.zones.zones[name].alive or answers(here.zones.url(name)))
        found[name] = or_nothing(lambda name=name: here.client.held(name))
    return found


def or_nothing(size: Callable[[], int]) -> int:
    """What a store says, nothing if it is damaged or its service cannot start."""
    try:
        return size()
    except (SQLAlchemyError, httpx.HTTPError, Refused):
        return 0


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=5, trust_env=False).status_code == 204
    except httpx.HTTPError:
        return False
