"""Faults of every kind, one after another and some at once, drawn from a seed, while entries come in without end: until
so many have been acknowledged, all is mended, and every one of them is looked for.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from infra import failpoints
from infra.postgres import Cluster
from tests.faults.client import Client
from tests.faults.lying import LIES
from tests.faults.network import HERE
from tests.faults.totals import Totals
from tests.faults.zones import zones
from tests.storage.small_disk import SmallDisk, cluster_on, small_disk
from tests.storage.test_full import fill_the_log, restart

MEGABYTES = 320
TROUBLE_SECONDS = 2.0
ON_SMALL_DISKS = ("tally", "custodian-1")
ZONE_OF = {"outbox": "intake", "mover": "intake", "sequencer": "tally", "custodian": "custodian-0"}
"""By the first word of a failpoint, a zone that comes to it; of the queue's, see `zone_of`."""


def zone_of(failpoint: str) -> str:
    first = failpoint.partition(".")[0]
    return ZONE_OF.get(first) or ("ingress" if failpoint in ("queue.storing", "queue.stored") else "egress")


@dataclass(frozen=True)
class Disks:
    """The disks that may be full, and the clusters on them: the ledger's and one custodian's."""

    disks: dict[str, SmallDisk]
    clusters: dict[str, Cluster]


@contextmanager
def disks() -> Iterator[Disks]:
    with ExitStack() as stack:
        made = Disks({}, {})
        for name in ON_SMALL_DISKS:
            made.disks[name] = stack.enter_context(small_disk(MEGABYTES))
            made.clusters[name] = stack.enter_context(cluster_on(made.disks[name], "storm"))
        yield made


class Storm:
    """What befalls the zones of one run. Every kind of trouble is over when it returns, or ends with `mend`."""

    def __init__(self, client: Client, disks: Disks, seed: int) -> None:
        self._client, self._zones, self._disks = client, client.zones, disks
        self._dice = random.Random(seed)
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
        ]

    def strike(self) -> None:
        """One trouble, or two at once, for a while."""
        for kind in self._dice.sample(self._kinds, self._dice.choice([1, 1, 2])):
            kind()
        time.sleep(self._dice.uniform(0.2, TROUBLE_SECONDS))
        self.mend()

    def mend(self) -> None:
        for name, cluster in self._disks.clusters.items():
            restart(cluster, self._disks.disks[name])
        self._zones.mend()

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
        name = self._dice.choice(ON_SMALL_DISKS)
        if self._dice.random() < 0.5:
            self._disks.disks[name].fill()
        else:
            fill_the_log(self._disks.clusters[name], self._disks.disks[name])
        self._zones.faults += 1

    def lie(self) -> None:
        """One at most, and honest again before the next trouble."""
        self._again("custodian-2", lies=self._dice.choice(sorted(LIES)))
        time.sleep(self._dice.uniform(0.2, TROUBLE_SECONDS))
        self._again("custodian-2")

    def _plant(self, **fault: object) -> None:
        name = self._dice.choice(failpoints.NAMES)
        self._again(zone_of(name), at=name, **fault)

    def _again(self, name: str, **fault: object) -> None:
        if self._zones.zones[name].alive:
            self._zones.kill(name)
        self._zones.start(name, **fault)

    def _alive(self, most: int) -> list[str]:
        alive = [name for name in self._zones.names if self._zones.zones[name].alive]
        return self._dice.sample(alive, min(most, len(alive)))


def run(
    cluster: Cluster, here: Disks, origin: str, seed: int, entries: int, seconds: float, batch: int = 100
) -> Totals:
    """One run: until so many entries are acknowledged, `batch` at once, or so long has passed. AssertionError if one is
    lost.
    """
    with zones(cluster, origin, clusters=here.clusters) as town:
        town.start()
        client = Client(town)
        client.found()
        storm, end = Storm(client, here, seed), time.monotonic() + seconds
        with client.load(pause=0.05, batch=batch):
            while len(client.acknowledged) < entries and time.monotonic() < end:
                storm.strike()
                time.sleep(0.5)
        # Those that were started with a fault that has not struck yet begin anew.
        town.kill(*(name for name in town.names if town.zones[name].alive))
        storm.mend()
        client.check()
        client.check_ledger()
        return Totals(1, town.faults, len(client.checked), client.lost)
