"""Stores with machines of their own: each zone's database, and one custodian's folder, on a small disk that can be full
or lose its power, while all others go on.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from psycopg import sql

from infra.postgres import Cluster
from tests.faults import power
from tests.faults.zones import Zones
from tests.storage.small_disk import SmallDisk, administer, cluster_on, fill_the_log, restart, run, small_disk
from vault.custodian import care
from vault.custodian.rebuilding import SKEW

MEGABYTES = 320
STORES = ("intake", "queue", "tally", "custodian-1")
FOLDER = "custodian-2"
"""Who keeps a folder, and no database."""


@dataclass
class Machines:
    """By store: its disk, and its cluster, if it has one. `off`: those without power, `full`: those without room."""

    disks: dict[str, SmallDisk]
    clusters: dict[str, Cluster]
    off: set[str] = field(default_factory=set)
    full: set[str] = field(default_factory=set)

    def folders(self, name: str) -> dict[str, Path]:
        """A new folder of this name for the custodian that keeps one."""
        folder = self.disks[FOLDER].folder / name
        folder.mkdir(mode=0o700)
        return {FOLDER: folder}

    def fill(self, town: Zones, name: str, log: bool = False) -> None:
        """There is no room, not even for the write-ahead log if `log`."""
        if log:
            fill_the_log(self.clusters[name], self.disks[name])
        else:
            self.disks[name].fill()
        self.full.add(name)
        town.faults += 1

    def cut_power(self, town: Zones, name: str) -> None:
        """Of a store; the service goes on without it, but for one whose folder it is."""
        power.cut(self.disks[name])
        self.off.add(name)
        town.faults += 1
        if name in town.databases:
            town.databases[name].engine.dispose()
            town.databases[name].owner.dispose()
        elif town.zones[name].alive:
            town.zones[name].process.kill()
        power.let_go(self.disks[name], self.clusters.get(name))

    def mend(self) -> None:
        """All have power and room again. A server that has ended is started by its service manager."""
        for name in self.off:
            self.disks[name].mount()
            self.disks[name].empty()
            if name in self.clusters:
                self.clusters[name].start()
        for name in self.full - self.off:
            if name in self.clusters:
                restart(self.clusters[name], self.disks[name])
            else:
                self.disks[name].empty()
        self.off.clear()
        self.full.clear()

    def forget(self, town: Zones) -> None:
        """Gives back the room that the stores of zones take that have come to their end."""
        for name, cluster in self.clusters.items():
            with administer(cluster) as connection:
                database = sql.Identifier(town.databases[name].engine.url.database or "")
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))
        shutil.rmtree(town.folders[FOLDER])


def rebuild(town: Zones, name: str, others: Sequence[str]) -> None:
    """What a custodian has lost, from these. Its clock is behind theirs, when it begins, by as much as it may be; then
    somebody sets it right.
    """
    behind = iter([SKEW])
    with mock.patch.object(care, "WAIT_SECONDS", 0.3):
        care.rebuild(
            town.zones[name].config,
            [town.url(other) for other in others],
            at_once=False,
            clock=lambda: int(time.time()) - next(behind, 0),
        )


@contextmanager
def machines(megabytes: int = MEGABYTES) -> Iterator[Machines]:
    """Each store on a disk of this size."""
    with ExitStack() as stack:
        made = Machines({}, {})
        for name in STORES:
            made.disks[name] = stack.enter_context(small_disk(megabytes))
            made.clusters[name] = stack.enter_context(cluster_on(made.disks[name], "faults"))
        made.disks[FOLDER] = stack.enter_context(small_disk(megabytes))
        for disk in made.disks.values():
            # What stands before a test is not what it asks about.
            run("sync", "--file-system", disk.folder)
        yield made
