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
            self.restart_ledger,
            self.ask_to_stop,
            self.fail_storage,
            self.fill_disk,
            self.slow_disk,
            self.shift_clock,
            self.lie,
            self.lose_a_custodian,
            self.lose_ledger,
            self.lose_what_one_holds,
        ]
        if len(world.tallies) > 1:
            kinds += [self.hold_up_the_leader, self.hold_up_the_leader, self.lose_a_host]
        if world.officials:
            kinds.append(self.lose_an_intake)
        befalls = world.plant.befalls
        self._kinds = [kind for kind in kinds if self._dice.random() < 0.35]
        # As often as all the others.
        self._kinds += [kind for kind in set(kinds) if kind.__name__ == befalls] * max(1, len(self._kinds))
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
        for tally in world.tallies:
            tally.to_be_stopped = 0.0
        for vault in world.vaults:
            vault.lying = False
        if world.thief is not None:
            world.thief.end()

    def kill(self) -> None:
        self._any().crash()

    def cut_power(self) -> None:
        """A machine goes down, with its database."""
        world = self._world
        if self._dice.random() < 0.3:
            # On the same machine, or not.
            for tally in world.tallies if self._dice.random() < 0.5 else ():
                tally.crash()
            world.server.start_anew()
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
        others = ["ledger", "queue", "voters", "officials", "public", *(zone.name for zone in zones)]
        # Who stands by is where the other is.
        hosts = [tally.name for tally in self._world.tallies]
        pair = self._dice.sample(["tally", *others], 2)
        if "tally" in pair:
            other = pair[pair.index("tally") - 1]
            some = self._dice.sample(hosts, self._dice.randint(1, len(hosts)))
            self._cut({frozenset((host, other)) for host in some})
        else:
            self._cut({frozenset(pair)})

    def hold_up_the_leader(self) -> None:
        """Who sequences is stopped, somewhere in its round, or cut off from the ledger, until another may have taken
        over, and then goes on; or its session alone has ended, which it does not know yet.
        """
        world, dice = self._world, self._dice
        leaders = [tally for tally in world.tallies if tally.leads and tally.process.alive]
        if not leaders:
            return
        leader, seconds = dice.choice(leaders), dice.choice([5.0, 15.0, 30.0]) * (0.5 + dice.random())
        how = dice.choice(["stopped", "stopped", "cut off", "ended"])
        if how == "ended":
            world.server.end_holder()
        elif how == "cut off":
            self._cut({frozenset((leader.name, "ledger"))}, seconds)
        else:
            leader.to_be_stopped = seconds

    def restart_ledger(self) -> None:
        """The server of the ledger is started anew: whoever has a session loses it."""
        self._world.server.start_anew()

    def ask_to_stop(self) -> None:
        """SIGTERM."""
        self._dice.choice(self._world.tallies).stop.set()

    def lose_a_host(self) -> None:
        """For good, one of two: the other one sequences."""
        world = self._world
        if len(world.tallies) > 1 and not any(tally.gone for tally in world.tallies):
            tally = self._dice.choice(world.tallies)
            tally.gone = True
            tally.crash()

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
        if world.thief is not None:
            return
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
        if not world.may_restore:
            return
        self._put_in_place(self._old_copy() if self._dice.random() < 0.5 else 0)

    def lose_what_one_holds(self) -> None:
        """A tree comes to one custodian alone; then the ledger is an old copy without it, and the custodian is away
        when the sequencer begins again. Of two hosts, one may have been away while the other signed: it cannot know.
        """
        world = self._world
        if not world.may_restore or len(world.tallies) > 1:
            return
        # From here on no disk is lost that would have been enough.
        world.restored = True
        one = self._dice.choice(world.vaults)
        (tally,) = world.tallies
        cuts = {frozenset((tally.name, vault.name)) for vault in world.vaults if vault is not one}
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

    def _cut(self, cuts: set[frozenset[str]], seconds: float | None = None) -> None:
        network = self._world.network
        network.cuts |= cuts

        def heal() -> None:
            network.cuts -= cuts

        self._later(heal) if seconds is None else self._after(seconds, heal)

    def _any(self) -> Zone:
        return self._dice.choice(self._world.zones)

    def _calm(self) -> None:
        self._world.network.trouble = 0.0

    def _later(self, call: Callable[[], object]) -> None:
        self._after(self._dice.choice([1.0, 10.0, 60.0]) * self._dice.random(), call)

    def _after(self, seconds: float, call: Callable[[], object]) -> None:
        def wait() -> None:
            self._world.kernel.pause(seconds)
            call()

        self._world.kernel.spawn(Process("world"), "end of a fault", wait)
