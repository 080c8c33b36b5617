"""Faults of every kind, one after another and some at once, drawn from a seed, while entries come in without end: until
so many have been acknowledged, all is mended, and every one of them is looked for.
"""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from infra import failpoints
from infra.postgres import Cluster
from tests.faults.client import PATIENCE, Client
from tests.faults.lying import LIES
from tests.faults.machines import FOLDER, STORES, Machines, rebuild
from tests.faults.network import HERE
from tests.faults.totals import Totals
from tests.faults.zones import zones
from tests.storage.small_disk import run as command

TROUBLE_SECONDS = 2.0
PAUSE, BATCH = 0.25, 100
"""Entries come no faster than the log takes them, so that all zones have some when something befalls them."""
TWO_DAYS = 2 * 24 * 3600.0
CLOCKS: list[dict[str, float]] = [{"ahead": -TWO_DAYS}, {"rate": 2.0}]
ZONE_OF = {"outbox": "intake", "mover": "intake", "sequencer": "tally", "custodian": "custodian-0"}
"""By the first word of a failpoint, a zone that comes to it; of the queue's, see `zone_of`."""


def zone_of(failpoint: str) -> str:
    first = failpoint.partition(".")[0]
    return ZONE_OF.get(first) or ("ingress" if failpoint in ("queue.storing", "queue.stored") else "egress")


class Storm:
    """What befalls the zones of one run. Every kind of trouble is over when it returns, or ends with `mend`.

    `folder`: where an old copy of the ledger is kept. `lost`: a custodian whose disk is lost, one at most; `odd`: zones
    that were started with another clock.
    """

    def __init__(self, client: Client, here: Machines, seed: int, folder: Path) -> None:
        self._client, self._zones, self._here, self._old = client, client.zones, here, folder / "ledger"
        self._dice = random.Random(seed)
        self._lost: str | None = None
        self._odd: set[str] = set()
        self._kinds: list[Callable[[], None]] = [
            self.kill,
            self.kill,
            self.kill_at,
            self.kill_at,
            self.fail_at,
            self.part,
            self.stop,
            self.fill,
            self.lie,
            self.cut_power,
            self.lose_disk,
            self.put_back_ledger,
            self.set_clock,
        ]
        self._coming: list[Callable[[], None]] = []

    def strike(self) -> None:
        """One trouble, or two at once, for a while."""
        for _ in range(self._dice.choice([1, 1, 2])):
            # Each has its turn before one comes again.
            if not self._coming:
                self._coming = self._dice.sample(self._kinds, len(self._kinds))
            self._coming.pop()()
        time.sleep(self._dice.uniform(0.2, TROUBLE_SECONDS))
        self.mend()

    def mend(self) -> None:
        self._here.mend()
        town = self._zones
        for name in self._odd:
            if town.zones[name].alive:
                town.process(name).kill()
        self._odd.clear()
        if self._lost is not None:
            self._rebuild(self._lost)
            self._lost = None
        town.mend()

    def kill(self) -> None:
        self._zones.kill(*self._alive(self._dice.choice([1, 1, 2, 7])))

    def kill_at(self) -> None:
        self._plant(kill=[self._dice.choice([1, 2, 5])])

    def fail_at(self) -> None:
        self._plant(fail=[1, 2])

    def part(self) -> None:
        a, b = self._dice.sample([*self._zones.names, HERE], 2)
        for one, other in self._dice.choice([[(a, b)], [(b, a)], [(a, b), (b, a)]]):
            self._zones.cut(one, other)

    def stop(self) -> None:
        self._zones.stop(*self._alive(self._dice.choice([1, 2])))

    def fill(self) -> None:
        name = self._dice.choice([*STORES, FOLDER])
        if name not in self._here.off:
            self._here.fill(self._zones, name, log=name != FOLDER and self._dice.random() < 0.5)

    def lie(self) -> None:
        """One at most, and honest again before the next trouble."""
        if self._lost is None and FOLDER not in self._here.off:
            self._again(FOLDER, lies=self._dice.choice(sorted(LIES)))
            time.sleep(self._dice.uniform(0.2, TROUBLE_SECONDS))
            self._again(FOLDER)

    def cut_power(self) -> None:
        name = self._dice.choice([*STORES, FOLDER])
        if name not in self._here.off and name != self._lost:
            self._here.cut_power(self._zones, name)

    def lose_disk(self) -> None:
        name = self._dice.choice(["custodian-0", "custodian-1", FOLDER])
        if name not in self._here.off | self._here.full:
            if self._zones.zones[name].alive:
                self._zones.process(name).kill()
            self._zones.lose_disk(name)
            self._lost = name

    def put_back_ledger(self) -> None:
        """As it was a while ago."""
        if "tally" in self._here.off | self._here.full:
            return
        data = self._here.clusters["tally"].data
        self._away(lambda: command("cp", "--archive", data, self._old))
        self._zones.start("tally")
        time.sleep(self._dice.uniform(0.5, TROUBLE_SECONDS))
        # A copy that is put back is on disk before anybody goes on with it.
        put_back = [["cp", "--archive", self._old, data], ["sync", "--file-system", data]]
        self._away(lambda: (shutil.rmtree(data), [command(*words) for words in put_back]))
        shutil.rmtree(self._old)
        self._zones.faults += 1

    def set_clock(self) -> None:
        name = self._dice.choice(["intake", "tally", *self._zones.custodians])
        if name != self._lost and name not in self._here.off:
            self._again(name, **self._dice.choice(CLOCKS))
            self._odd.add(name)

    def _away(self, do: Callable[[], object]) -> None:
        """Does something to the ledger's files, while neither tally nor its database runs."""
        if self._zones.zones["tally"].alive:
            self._zones.process("tally").kill()
        database, cluster = self._zones.databases["tally"], self._here.clusters["tally"]
        database.engine.dispose()
        database.owner.dispose()
        cluster.stop()
        do()
        cluster.start()

    def _rebuild(self, name: str) -> None:
        """From the two others, while all but it are there: they must have cosigned since. Who fails, because one of
        them was killed by what was planted in it before, is run again.
        """
        town, end = self._zones, time.monotonic() + PATIENCE
        others = [one for one in town.custodians if one != name]
        town.network.heal()
        faults: list[Exception] = []

        def work() -> None:
            try:
                rebuild(town, name, others)
            except Exception as fault:
                faults.append(fault)

        while True:
            tried = len(faults)
            running = threading.Thread(target=work, daemon=True)
            running.start()
            while running.is_alive():
                assert time.monotonic() < end, f"{name} is not made whole again: {faults}"
                for one in town.names:
                    if town.zones[one].alive:
                        town.go_on(one)
                    elif one != name:
                        town.start(one)
                running.join(0.5)
            if len(faults) == tried:
                return

    def _plant(self, **fault: object) -> None:
        name = self._dice.choice(failpoints.NAMES)
        if zone_of(name) != self._lost:
            self._again(zone_of(name), at=name, **fault)

    def _again(self, name: str, **fault: object) -> None:
        if self._zones.zones[name].alive:
            self._zones.kill(name)
        self._zones.start(name, **fault)

    def _alive(self, most: int) -> list[str]:
        alive = [name for name in self._zones.names if self._zones.zones[name].alive]
        return self._dice.sample(alive, min(most, len(alive)))


def run(cluster: Cluster, here: Machines, origin: str, seed: int, entries: int, seconds: float) -> Totals:
    """One run: until so many entries are acknowledged, or so long has passed. Whoever asked for it is to judge what was
    lost.
    """
    folders = here.folders(origin.rpartition("/")[2])
    with (
        zones(cluster, origin, clusters=here.clusters, folders=folders) as town,
        TemporaryDirectory(prefix="psephos-storm-") as folder,
    ):
        town.start()
        client = Client(town)
        client.found()
        storm, end = Storm(client, here, seed, Path(folder)), time.monotonic() + seconds
        with client.load(PAUSE, BATCH):
            while len(client.acknowledged) < entries and time.monotonic() < end:
                storm.strike()
                time.sleep(0.5)
        # Those that were started with a fault that has not struck yet begin anew.
        town.kill(*(name for name in town.names if town.zones[name].alive))
        storm.mend()
        client.count(patience=2 * PATIENCE)
        client.check_ledger()
        found = Totals(1, town.faults, len(client.checked), client.lost)
    here.forget(town)
    return found
