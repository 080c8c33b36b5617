"""The power of one store fails, of outbox, queue, ledger or a custodian alone, and all others go on: what it has
acknowledged it still has when it comes back, and nothing is lost between it and them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from infra.postgres import Cluster
from tests.faults.client import Client
from tests.faults.conftest import Counted, new_origin
from tests.faults.machines import FOLDER, STORES, Machines, machines
from tests.faults.stores import holds
from tests.faults.zones import zones

OFF_SECONDS = 2.0
LEAST = 10
"""Entries that a store holds before its power fails."""
FETCHES = {"intake": "ingress", "queue": "egress"}
"""Through whom it goes, what a store acknowledges: while this one is away, it is in that store and nowhere else."""


@pytest.fixture(scope="module")
def apart(cluster: Cluster) -> Iterator[tuple[Machines, Client]]:
    with machines() as here, zones(cluster, new_origin(), clusters=here.clusters, folders=here.folders("kept")) as town:
        town.start()
        client = Client(town)
        client.found()
        yield here, client


@pytest.mark.parametrize("name", [*STORES, FOLDER])
def test_the_power_of_one_store_fails(apart: tuple[Machines, Client], counted: Counted, name: str) -> None:
    here, client = apart
    town = client.zones
    counted(client)
    if name in FETCHES:
        client.emptied(name)
        town.kill(FETCHES[name])
    with client.load():
        client.wait(lambda: holds(town, name) >= LEAST)
        before = holds(town, name)
        here.cut_power(town, name)
        if name in town.custodians:
            client.grows()
        time.sleep(OFF_SECONDS)
        here.mend()
        assert holds(town, name) >= before
        town.start()
        client.grows(name if name in town.custodians else "custodian-0", by=30)
    client.check()
    client.check_ledger()
