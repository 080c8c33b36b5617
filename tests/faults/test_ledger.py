"""A ledger that is not what it was: an old copy of it, or one with a changed bit, in an entry or on a page of its disk.
Nothing is signed over it, and it is read back from the custodians.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text

from infra.postgres import Cluster, temporary_cluster
from tests.faults.client import PATIENCE, Client
from tests.faults.conftest import Counted, new_origin
from tests.faults.zones import zones
from tests.vault.damage import Damage


@dataclass
class House:
    """Zones of which tally has a cluster of its own."""

    cluster: Cluster
    client: Client

    def down(self) -> None:
        """Tally and its database."""
        self.client.zones.kill("tally")
        self.client.zones.databases["tally"].engine.dispose()
        self.client.zones.databases["tally"].owner.dispose()
        self.cluster.stop()

    def ends(self, *words: str) -> None:
        """Tally is started, ends by itself and says why; nothing is published meanwhile, and nothing cosigned."""
        town, client = self.client.zones, self.client
        before = client.size("custodian-0")
        said = len(town.log("tally").read_text())
        town.start("tally")
        assert town.process("tally").wait(PATIENCE), "goes on over a damaged ledger"
        last = town.log("tally").read_text()[said:]
        assert all(word in last for word in words), last
        assert {client.size(name) for name in town.custodians} == {before}
        town.faults += 1


@pytest.fixture(scope="module")
def house(cluster: Cluster) -> Iterator[House]:
    with temporary_cluster("ledger") as own, zones(cluster, new_origin(), clusters={"tally": own}) as town:
        town.start()
        client = Client(town)
        client.found()
        client.put(client.entries(250))
        client.put(client.entries(60))
        yield House(own, client)


def test_an_old_ledger_is_noticed_and_read_back(house: House, counted: Counted) -> None:
    client, town, data = house.client, house.client.zones, house.cluster.data
    counted(client)
    client.check()
    house.down()
    shutil.copytree(data, old := data.with_name("old"))
    house.cluster.start()
    town.start("tally")
    with client.load():
        client.grows(by=30)
    client.check()
    house.down()
    shutil.rmtree(data)
    give_to_its_account(old.rename(data), house.cluster)
    house.cluster.start()
    town.faults += 1
    client.put(client.entries(10))
    town.start("tally")
    with client.load():
        client.grows()
    client.check()
    client.check_ledger()
    assert town.said("tally", "ledger-behind")


def give_to_its_account(folder: Path, cluster: Cluster) -> None:
    if cluster.account is None:
        return
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, cluster.account.uid, cluster.account.gid)


def test_a_lost_ledger_is_read_back_by_one_that_fails_and_is_killed_meanwhile(house: House, counted: Counted) -> None:
    client, town = house.client, house.client.zones
    counted(client)
    client.check()
    town.kill("tally")
    town.lose_disk("tally")
    client.put(client.entries(10))
    town.start("tally", at="sequencer.staging", fail=[1, 2], kill=[3], tells=["sequencer.adopted"])
    assert town.process("tally").wait(PATIENCE), "does not begin to read it back three times"
    assert not town.said("tally", "came-to")
    town.start("tally", at="sequencer.adopted", kill=[1])
    assert town.process("tally").wait(PATIENCE)
    # What was read back stands: nothing is read a second time.
    town.start("tally", at="sequencer.adopted", kill=[1])
    client.check()
    town.kill("tally")
    town.lose_disk("tally")
    client.put(client.entries(10))
    town.start("tally", at="sequencer.adopted", fail=[1])
    client.check()
    client.check_ledger()
    assert not town.said("tally", "broke")


def test_a_flipped_bit_in_an_entry(house: House, counted: Counted) -> None:
    client, town = house.client, house.client.zones
    counted(client)
    client.check()
    town.kill("tally")
    client.put(client.entries(10))
    Damage(town.databases["tally"], town.meeting.origin).flip("entry", "data", "index = 150", byte=250)
    house.ends("Damaged", "do not have the root that was staged")
    town.lose_disk("tally")
    town.start("tally")
    client.check()
    client.check_ledger()


def test_a_flipped_bit_in_a_root(house: House, counted: Counted) -> None:
    client, town = house.client, house.client.zones
    counted(client)
    client.check()
    town.kill("tally")
    client.put(client.entries(10))
    newest = client.size("custodian-0")
    Damage(town.databases["tally"], town.meeting.origin).flip("stage", "root", f"size = {newest}")
    house.ends("Damaged", "do not have the root that was staged")
    town.lose_disk("tally")
    town.start("tally")
    client.check()
    client.check_ledger()


def test_a_flipped_bit_on_a_heap_page(house: House, counted: Counted) -> None:
    client, town = house.client, house.client.zones
    counted(client)
    client.check()
    client.put(client.entries(10))
    client.check()
    with town.databases["tally"].owner.connect() as connection:
        path = connection.scalar(text("SELECT pg_relation_filepath('entry')"))
    house.down()
    flip(house.cluster.data / str(path), 4_000)
    house.cluster.start()
    client.put(client.entries(10))
    house.ends("invalid page")
    town.lose_disk("tally")
    town.start("tally")
    client.check()
    client.check_ledger()


def flip(path: Path, place: int) -> None:
    """One bit of a file, under everybody's feet."""
    with path.open("r+b") as file:
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ 1]))
