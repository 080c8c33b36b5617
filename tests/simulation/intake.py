"""An intake and the queue behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from audit.log.sources import ReadError
from audit.record.entries import parse_entry
from infra.follow import Follower
from intake.door.mover import Mover
from tests.simulation import network as net
from tests.simulation.disk import Disk
from tests.simulation.kernel import Event
from tests.simulation.stores import Outbox, OutboxState, Queue
from tests.simulation.zone import Zone

if TYPE_CHECKING:
    from tests.simulation.world import World

BATCH_WAIT = 0.5
LOOK_SECONDS = 3.0


class QueueZone(Zone):
    """Both faces of the queue, over one disk."""

    def __init__(self, world: World, copies: int) -> None:
        self.disk = Disk(world.kernel, "queue", dict)
        first = world.made.first
        self.disk.write(lambda state: state.update({b"\0" * 16: first}))
        self._copies = copies
        super().__init__(world, "queue")

    def boot(self) -> None:
        self.table = Queue(self.world.kernel, self.disk, self._copies)

    def ack(self, keys: Sequence[bytes]) -> None:
        self.world.must.acknowledged(keys)
        self.table.ack(keys)


class Intake(Zone):
    """The door, the mover, and what watches the log."""

    def __init__(self, world: World) -> None:
        self.disk = Disk(world.kernel, "outbox", OutboxState)
        super().__init__(world, "intake")

    def boot(self) -> None:
        world, kernel = self.world, self.world.kernel
        self.disk.lazy = world.plant.lazy_disks
        self._outbox = Outbox(self.disk)
        put = net.Ingress(world.network, world.queue.process, lambda entries: world.queue.table.put(entries))
        self.mover = Mover(
            self._outbox,
            put,
            kernel.dice.randint(1, 4),
            BATCH_WAIT,
            clock=self.clock,
            shuffle=kernel.dice.shuffle,
            draw=kernel.dice.randbytes,
            monotonic=kernel.look,
            bell=Event(kernel),
        )
        self.run("mover", lambda: self.mover.run(Event(kernel)))
        self.run("watch", self._watch)

    def accept(self, raw: bytes) -> None:
        """Takes an entry: on disk before it is acknowledged."""
        self._outbox.accept(parse_entry(raw))
        self.mover.ring()

    def _watch(self) -> None:
        world = self.world
        follower = self._follower()
        while True:
            try:
                entries = follower.read()
                if entries:
                    follower.apply(entries, follower.seen)
                    self._outbox.settle([entry.identity for entry in entries])
                    continue
            except ReadError:
                pass
            except net.OperationalError:
                follower = self._follower()
            world.kernel.pause(LOOK_SECONDS)

    def _follower(self) -> Follower:
        world = self.world
        readers = [net.Reader(world.network, v.process, v.checkpoint_keeper, world.origin) for v in world.vaults]
        return Follower(readers, world.made.manifest.hash)
