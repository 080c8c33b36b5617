"""What happens to the zones: the kinds of faults that a schedule draws from, one after another until all is mended."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.kernel import Process
from tests.simulation.vault import Vault
from tests.simulation.world import World
from tests.simulation.zone import Zone

TWO_DAYS = 2 * 24 * 3600.0
SETTLED = 70.0
"""Longer than any request is under way."""


class Faults:
    """The kinds of one schedule, and `strike`, which has one of them happen."""

    def __init__(self, world: World) -> None:
        self._world, self._dice = world, world.dice
        self._away: list[Vault] = []
        kinds: list[Callable[[], None]] = [
            self.kill,
            self.kill,
            self.cut_power,
            self.trouble,
            self.partition,
            self.stop,
            self.fail_storage,
            self.fill_disk,
            self.slow_disk,
            self.shift_clock,
            self.lie,
            self.lose_a_custodian,
            self.lose_ledger,
            self.lose_what_one_holds,
        ]
        if world.officials:
            kinds.append(self.lose_an_intake)
        befalls = world.plant.befalls
        self._kinds = [kind for kind in kinds if self._dice.random() < 0.35 or kind.__name__ == befalls]
        if self._dice.random() < 0.5:
            world.crash_rate = self._dice.choice([0.01, 0.05, 0.2])

    def strike(self) -> None:
        if self._kinds:
            self._dice.choice(self._kinds)()

    def mend(self) -> None:
        """Ends all of it: only what was lost is lost."""
        world = self._world
        world.crash_rate = world.network.trouble = 0.0
        world.network.cuts.clear()
        for disk in world.disks:
            disk.mend()
        for zone in world.zones:
            zone.process.stopped = False
            # One that is away comes back by itself.
            zone.held_down = zone.held_down and zone in self._away
            zone.clock.mend()
        for vault in world.vaults:
            vault.lying = False

    def kill(self) -> None:
        self._any().crash()

    def cut_power(self) -> None:
        """A machine goes down, with its database."""
        world = self._world
        if self._dice.random() < 0.3:
            for tally in world.tallies:
                tally.crash()
            world.ledger.lose_power()
            return
        zone = self._dice.choice([*world.vaults, world.queue, *world.intakes])
        zone.crash()
        zone.disk.lose_power()

    def trouble(self) -> None:
        self._world.network.trouble = self._dice.choice([0.05, 0.2, 0.5])
        self._later(self._calm)

    def partition(self) -> None:
        zones = (*self._world.intakes, *self._world.vaults)
        names = ["tally", "queue", "voters", "officials", "public", *(zone.name for zone in zones)]
        cut = frozenset(self._dice.sample(names, 2))
        self._world.network.cuts.add(cut)
        self._later(lambda: self._world.network.cuts.discard(cut))

    def stop(self) -> None:
        """SIGSTOP, and after a while SIGCONT."""
        process = self._any().process
        process.stopped = process.alive
        self._later(lambda: setattr(process, "stopped", False))

    def fail_storage(self) -> None:
        disk = self._dice.choice(self._world.disks)
        if self._dice.random() < 0.5:
            disk.failures = 2
        else:
            disk.unreliable = self._dice.choice([0.1, 0.4])
            self._later(disk.mend)

    def fill_disk(self) -> None:
        disk = self._dice.choice(self._world.disks)
        disk.full = True
        self._later(disk.mend)

    def slow_disk(self) -> None:
        """Of a ledger or an outbox: of the others, nobody else has a turn while they write."""
        world = self._world
        disk = self._dice.choice([world.ledger, *(intake.disk for intake in world.intakes)])
        disk.seconds = self._dice.choice([0.5, 5.0])
        self._later(disk.mend)

    def shift_clock(self) -> None:
        clock = self._any().clock
        if self._dice.random() < 0.5:
            clock.ahead = -TWO_DAYS
            self._later(clock.mend)
        else:
            clock.ahead, clock.rate = -self._world.kernel.now, 2.0

    def lie(self) -> None:
        """At most one custodian, so that W of them hold one honest copy."""
        world = self._world
        liars = [vault for vault in world.vaults if vault.liar]
        if not liars and (world.restored or any(vault.lost for vault in world.vaults)):
            return
        liar: Vault = liars[0] if liars else self._dice.choice(world.vaults)
        liar.liar = liar.lying = True
        self._later(lambda: setattr(liar, "lying", False))

    def lose_a_custodian(self) -> None:
        """With its disk."""
        vaults = [vault for vault in self._world.vaults if self._world.may_lose(vault)]
        if vaults:
            self._dice.choice(vaults).lose()

    def lose_an_intake(self) -> None:
        """For good, with its disk: at most one, so that there is another one to hand in at."""
        world = self._world
        if not any(intake.gone for intake in world.intakes):
            intake = self._dice.choice(world.intakes)
            intake.gone = True
            intake.crash()

    def lose_ledger(self) -> None:
        """Lost as a whole; or an old copy of it is put in its place, and nobody says so."""
        world = self._world
        if any(vault.lost or vault.liar for vault in world.vaults):
            return
        self._put_in_place(self._old_copy() if self._dice.random() < 0.5 else 0)

    def lose_what_one_holds(self) -> None:
        """A tree comes to one custodian alone; then the ledger is an old copy without it, and the custodian is away
        when the sequencer begins again. Of two hosts, one may have been away while the other signed: it cannot know.
        """
        world = self._world
        if any(vault.lost or vault.liar for vault in world.vaults) or len(world.tallies) > 1:
            return
        # From here on no disk is lost that would have been enough.
        world.restored = True
        one = self._dice.choice(world.vaults)
        cuts = {frozenset(("tally", vault.name)) for vault in world.vaults if vault is not one}
        world.network.cuts |= cuts

        def alone() -> bool:
            held = one.disk.state.newest.size
            return all(vault.disk.state.newest.size < held for vault in world.vaults if vault is not one)

        def lose() -> None:
            world.kernel.pause(60.0, alone)
            world.network.cuts -= cuts
            size = one.disk.state.newest.size
            length = len(world.ledger.journal)
            while length and self._sizes(length) >= size:
                length -= 1
            self._keep_away(one)
            self._put_in_place(length)

        world.kernel.spawn(Process("operator"), "loss", lose)

    def _put_in_place(self, length: int) -> None:
        """The ledger is what it was when it had seen so many changes."""
        world = self._world
        world.restored = True
        for tally in world.tallies:
            tally.held_down = True
            tally.crash()
        world.ledger.restore(length)
        world.kernel.spawn(Process("operator"), "operator", self._begin_again)

    def _old_copy(self) -> int:
        """How many changes an old ledger had seen. Of two hosts, only one may have the mark: so a copy is as old that
        any W custodians find it out.
        """
        world, disk = self._world, self._world.ledger
        newest = max(disk.state.witnessed, default=0)
        length = self._dice.randint(0, len(disk.journal))
        while len(world.tallies) > 1 and length and self._sizes(length) >= newest:
            length -= 1
        return length

    def _keep_away(self, vault: Vault) -> None:
        """A custodian is away until some time after the sequencer has begun again."""
        tally = self._world.tallies[0]
        vault.crash()
        vault.held_down = True
        self._away.append(vault)

        def come_back() -> None:
            kernel = self._world.kernel
            kernel.pause(None, lambda: not tally.held_down)
            kernel.pause(30.0 * self._dice.random())
            vault.held_down = False

        self._world.kernel.spawn(Process("operator"), "way back", come_back)

    def _sizes(self, length: int) -> int:
        disk = self._world.ledger
        return int(disk._replayed(length).newest.size)

    def _begin_again(self) -> None:
        self._world.kernel.pause(SETTLED)
        for tally in self._world.tallies:
            tally.held_down = False

    def _any(self) -> Zone:
        return self._dice.choice(self._world.zones)

    def _calm(self) -> None:
        self._world.network.trouble = 0.0

    def _later(self, call: Callable[[], object]) -> None:
        seconds = self._dice.choice([1.0, 10.0, 60.0]) * self._dice.random()

        def wait() -> None:
            self._world.kernel.pause(seconds)
            call()

        self._world.kernel.spawn(Process("world"), "end of a fault", wait)
