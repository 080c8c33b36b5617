"""A bit flips at one custodian, while it runs or while it is down: it finds that by itself and signs nothing more, the
others go on, and once it is scrubbed it holds every acknowledged entry like them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from infra.postgres import Cluster, temporary_cluster
from tests.faults.client import PATIENCE, Client
from tests.faults.conftest import Counted, new_origin
from tests.faults.test_ledger import flip
from tests.faults.zones import Zones, zones
from tests.vault.damage import Damage

IN_DATABASE, IN_FOLDER = "custodian-1", "custodian-2"
PAGE_BYTE = 4_000


class Vaults:
    """Zones of which one custodian has a cluster of its own, and one a folder."""

    def __init__(self, client: Client, cluster: Cluster) -> None:
        self.client, self.cluster = client, cluster

    def strike(self, what: str) -> None:
        """Flips a bit."""
        town = self.client.zones
        town.faults += 1
        if what == "file":
            files = (path for path in (town.folders[IN_FOLDER] / "logs").glob("*/heads/**/*") if path.is_file())
            largest = max(files, key=lambda path: path.stat().st_size)
            flip(largest, largest.stat().st_size // 2)
        elif what == "page":
            self._strike_page(town)
        else:
            damage = Damage(town.databases[IN_DATABASE], town.meeting.origin)
            row = {"entry": ("entry", "data", "index = 150", 250), "tile": ("node", "hash", "level = 1 AND index = 0")}
            damage.flip(*row[what])

    def _strike_page(self, town: Zones) -> None:
        """While its server is down; the custodian, which was killed, begins over it."""
        database = town.databases[IN_DATABASE]
        with database.owner.connect() as connection:
            path = connection.scalar(text("SELECT pg_relation_filepath('entry')"))
        town.kill(IN_DATABASE)
        database.engine.dispose()
        database.owner.dispose()
        self.cluster.stop()
        flip(self.cluster.data / str(path), PAGE_BYTE)
        self.cluster.start()
        town.start(IN_DATABASE)


@pytest.fixture(scope="module")
def vaults(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vaults]:
    folder = tmp_path_factory.mktemp("custodian")
    folder.chmod(0o700)
    with (
        temporary_cluster("vault") as own,
        zones(cluster, new_origin(), clusters={IN_DATABASE: own}, folders={IN_FOLDER: folder}) as town,
    ):
        town.start()
        client = Client(town)
        client.found()
        client.put(client.entries(250))
        client.put(client.entries(60))
        yield Vaults(client, own)


@pytest.mark.parametrize(
    ("what", "name"), [("entry", IN_DATABASE), ("tile", IN_DATABASE), ("page", IN_DATABASE), ("file", IN_FOLDER)]
)
def test_a_bit_flips_at_a_custodian(vaults: Vaults, counted: Counted, what: str, name: str) -> None:
    client, town = vaults.client, vaults.client.zones
    counted(client)
    client.check()
    with client.load():
        client.grows()
        found = len(town.said(name, "damaged"))
        assert client.cosigns(name)
        vaults.strike(what)
        client.wait(lambda: len(town.said(name, "damaged")) > found)
        client.grows("custodian-0", by=40)
        # What it was storing in that moment it stores, and does not sign.
        assert not client.cosigns(name), f"{name} signs over what it found"
        stopped = client.held(name)
        town.kill(name)
        scrub(town, name)
        town.start(name)
        client.wait(lambda: client.size(name) > stopped)
    client.check()
    client.check_ledger()


def scrub(town: Zones, name: str) -> None:
    """What is damaged is mended from the first custodian."""
    log = town.folder / "scrub.log"
    log.unlink(missing_ok=True)
    words = ["custodian", "scrub", "--config", town.zones[name].config, "--peer", town.url("custodian-0")]
    assert town.spawner.command(*words, log=log).wait(PATIENCE)
    assert "mended" in log.read_text(), log.read_text()
