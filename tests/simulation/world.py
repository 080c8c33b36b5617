"""The zones of one schedule, each made of the real code over simulated disks, network and clocks."""

from __future__ import annotations

from tests.simulation import network as net
from tests.simulation.disk import Disk
from tests.simulation.intake import Intake, QueueZone
from tests.simulation.invariants import Invariants
from tests.simulation.kernel import Kernel, Killed
from tests.simulation.planted import Plant
from tests.simulation.rehearsal import rehearsal
from tests.simulation.stores import LedgerState
from tests.simulation.tally import Tally
from tests.simulation.vault import Vault
from tests.simulation.voters import Voters
from tests.simulation.zone import Zone


class World:
    """All zones, how they begin again after they ended, and `broken`: what did not hold."""

    def __init__(self, seed: int, plant: Plant) -> None:
        self.kernel = kernel = Kernel(seed)
        self.dice, self.plant = kernel.dice, plant
        self.network = net.Network(kernel)
        custodians, W = (5, 3) if self.dice.random() < 0.2 else (3, 2)
        self.made = rehearsal(custodians, W)
        self.origin, self.policy = self.made.manifest.origin, self.made.manifest.log
        self.broken: list[str] = []
        self.crash_rate = 0.0
        self.restored = False
        self.must = Invariants(self)
        self.vaults = [Vault(self, i) for i in range(custodians)]
        self.queue = QueueZone(self, 3 if self.dice.random() < 0.25 else 1)
        self.ledger = Disk(kernel, "ledger", LedgerState)
        self.tallies = [Tally(self, i) for i in range(2 if self.dice.random() < 0.3 else 1)]
        self.intake = Intake(self)
        self.voters = Voters(self, self.dice.randint(3, 12))

    @property
    def zones(self) -> list[Zone]:
        return [*self.vaults, self.queue, *self.tallies, self.intake]

    @property
    def disks(self) -> list[Disk]:
        return [self.ledger, self.queue.disk, *(tally.disk for tally in self.tallies), self.intake.disk, *(vault.disk for vault in self.vaults)]

    @property
    def honest(self) -> list[Vault]:
        return [vault for vault in self.vaults if not vault.liar]

    @property
    def sure(self) -> int:
        """How many honest custodians there are among any W."""
        return self.policy.W - sum(vault.liar for vault in self.vaults)

    def expect(self, holds: bool, text: str) -> None:
        if not holds:
            self.broken.append(text)

    def failpoint(self, name: str) -> None:
        """The hook: now and then the process that comes here ends."""
        self.plant.failpoint(name)
        if self.crash_rate and self.dice.random() < self.crash_rate:
            process = self.network.serving or self.kernel.current.process
            zone = next((zone for zone in self.zones if zone.process is process), None)
            if zone is not None:
                zone.crash()
                raise net.Crash if self.network.serving else Killed

    def at_rest(self) -> bool:
        """Everything has gone where it should be."""
        size = self.ledger.state.newest.size
        done = self.voters.done and not self.intake.disk.state.waiting and not self.queue.disk.state
        return done and all(vault.disk.state.published[0] == size for vault in self.vaults)
