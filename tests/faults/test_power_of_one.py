"""The power of one store fails, of outbox, queue, ledger or a custodian alone, and all others go on: what it has
acknowledged it still has when it comes back, and nothing is lost between it and them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from infra.postgres import Cluster
from tally.sequencer.ledger import Ledger
from tests.faults.client import Client
from tests.faults.conftest import Counted, new_origin
from tests.faults.machines import FOLDER, STORES, Machines, machines
from tests.faults.zones import zones

OFF_SECONDS = 2.0


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
    with client.load():
        client.grows(by=30)
        before = holds(client, name)
        here.cut_power(town, name)
        if name in town.custodians:
            client.grows()
        time.sleep(OFF_SECONDS)
        here.mend()
        after = holds(client, name) if name in town.databases else before
        town.start()
        client.grows(name if name in town.custodians else "custodian-0", by=30)
    assert after >= before
    client.check()
    client.check_ledger()


def holds(client: Client, name: str) -> int:
    """How many entries a custodian has cosigned, or the ledger knows to be held by W of them."""
    if name == "tally":
        found = Ledger(client.zones.databases["tally"].engine, client.zones.meeting.origin).newest_witnessed()
        return found[0] if found else 0
    return client.held(name) if name in client.zones.custodians else 0
