"""An intake: the real door, mover and watch over a simulated outbox; and the queue behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from audit.record.entries import Entry
from infra.follow import Follower
from intake.door.key import DoorKey
from intake.door.mover import Mover
from intake.door.outbox import Accepted, Drained
from intake.door.reception import Answer, Reception
from intake.door.serve import storing
from intake.door.standing import Standing
from intake.door.watch import Watch
from tests.simulation import network as net
from tests.simulation.coroutines import finish
from tests.simulation.disk import Disk
from tests.simulation.kernel import Event
from tests.simulation.outbox import Engine, Outbox, OutboxState
from tests.simulation.proofs import Pool
from tests.simulation.stores import Queue
from tests.simulation.zone import Zone

if TYPE_CHECKING:
    from tests.simulation.world import World

LOOK_SECONDS = 3.0
SLOW_SECONDS = 5.0
"""That writing takes at some intakes, until all is mended."""


class QueueZone(Zone):
    """Both faces of the queue, over one disk. What the election begins with stands in it, to be taken in this order."""

    def __init__(self, world: World, copies: int) -> None:
        self.disk = Disk(world.kernel, "queue", dict)
        rows = {place.to_bytes(16, "big"): raw for place, raw in enumerate(world.made.entries)}
        self.disk.write(lambda state: state.update(rows))
        self._copies = copies
        super().__init__(world, "queue")

    def boot(self) -> None:
        self.table = Queue(self.world.kernel, self.disk, self._copies)

    def ack(self, keys: Sequence[bytes]) -> None:
        self.world.must.acknowledged(keys)
        self.table.ack(keys)


class Intake(Zone):
    """The door, the mover, and what watches the log."""

    def __init__(self, world: World, index: int) -> None:
        signer = world.made.parties.intakes[index]
        self.disk = Disk(world.kernel, f"outbox of {signer.name}", OutboxState)
        if world.dice.random() < 0.4:
            self.disk.seconds = SLOW_SECONDS
        self._signers = world.made.keys([signer])
        super().__init__(world, signer.name)

    def boot(self) -> None:
        world, kernel, manifest = self.world, self.world.kernel, self.world.made.manifest
        self.disk.lazy = world.plant.lazy_disks
        outbox: Any = Outbox(self.disk, self)
        put = net.Ingress(world.network, self.name, world.queue.process, lambda rows: world.queue.table.put(rows))
        self.mover = Mover(
            outbox,
            put,
            kernel.dice.randint(1, 4),
            manifest.batch_wait,
            clock=self.clock,
            shuffle=kernel.dice.shuffle,
            draw=kernel.dice.randbytes,
            monotonic=kernel.look,
            bell=Event(kernel),
        )
        engine: Any = Engine(self.disk)
        standing, key = Standing(), DoorKey(self._signers, manifest)
        self._store = storing(outbox, key)
        watch = Watch(self._follow, standing, outbox, engine, manifest, key, clock=self.clock, monotonic=kernel.look)
        self.reception = Reception(
            manifest, key, standing, engine, outbox, self._accept, lambda: Pool(standing.checker()), self.clock
        )
        self.run("mover", lambda: self.mover.run(Event(kernel)))
        self.run("watch", lambda: self._watch(watch))

    def hand_in(self, raw: bytes) -> Answer:
        """What the door answers. Refused, Problem, OperationalError."""
        answer = finish(self.world.kernel, self.reception.hand_in(raw))
        if answer.new:
            self.mover.ring()
        return answer

    async def _accept(self, entry: Entry, deadline: int) -> Accepted | Drained:
        (accepted,) = self._store([(entry, deadline)])
        return accepted

    def _watch(self, watch: Watch) -> None:
        never: Any = Event(self.world.kernel)
        watch.run(never, LOOK_SECONDS)
        self.world.expect(False, f"{self.name} finds the log against the rules")

    def _follow(self) -> Follower:
        return Follower(self.world.readers(self.name), self.world.made.manifest.hash, clock=self.world.kernel.look)

    def forgot(self, entry: Entry) -> None:
        """In the log stands an entry that this intake has signed and does not know: nothing that befalls one here makes
        it forget.
        """
        self.world.expect(False, f"{self.name} has forgotten a {entry.kind} that it has signed")

    def accounted(self) -> None:
        """It has given the account of all its ballots."""
        self.world.must.accounted(self)
