"""The zones of one schedule, each made of the real code over simulated disks, network and clocks."""

from __future__ import annotations

from audit.log.reader import Reader
from tests.simulation import network as net
from tests.simulation.disk import Disk
from tests.simulation.intake import Intake, QueueZone
from tests.simulation.invariants import Invariants
from tests.simulation.kernel import Crash, Kernel, Killed, Process
from tests.simulation.ledger import LedgerState
from tests.simulation.officials import Officials
from tests.simulation.planted import Plant
from tests.simulation.public import Public
from tests.simulation.rehearsal import notices, vote
from tests.simulation.sessions import Server
from tests.simulation.tally import Tally
from tests.simulation.thief import Thief
from tests.simulation.vault import Vault
from tests.simulation.voters import Notices, Voter
from tests.simulation.zone import Zone

VOTES = 0.1
"""The share of schedules in which a whole vote is held: each costs as much as some of the others."""

HOSTS = 0.4
"""The share of schedules in which two tallies run on the ledger."""
THIEVES = 0.2
"""The share of schedules in which somebody has the log's keys."""
FOLDERS = 0.2
"""The share of schedules in which one custodian keeps its log in a folder."""


class World:
    """All zones, how they begin again after they ended, and `broken`: what did not hold."""

    def __init__(self, seed: int, plant: Plant) -> None:
        self.kernel = kernel = Kernel(seed)
        self.dice, self.plant = kernel.dice, plant
        self.network = net.Network(kernel)
        custodians, W = (5, 3) if self.dice.random() < 0.2 else (3, 2)
        votes = self.dice.random() < VOTES if plant.votes is None else plant.votes
        self.made = vote(custodians, W) if votes else notices(custodians, W)
        self.origin, self.policy = self.made.manifest.origin, self.made.manifest.log
        self.broken: list[str] = []
        self.crash_rate = 0.0
        self.restored = False
        self.must = Invariants(self)
        folder = self.dice.randrange(custodians)
        if not plant.in_folder and self.dice.random() >= FOLDERS:
            folder = custodians
        self.vaults = [Vault(self, i, i == folder) for i in range(custodians)]
        self.queue = QueueZone(self, 3 if self.dice.random() < 0.25 else 1)
        self.ledger = Disk(kernel, "ledger", LedgerState)
        hosts = plant.hosts or (2 if self.dice.random() < HOSTS else 1)
        # Half of the pairs have a lock that keeps nobody out: what decides must do without it.
        self.server = Server(kernel, hosts == 1 or (self.dice.random() < 0.5 if plant.locks is None else plant.locks))
        self.tallies = [Tally(self, i) for i in range(hosts)]
        self.intakes = [Intake(self, i) for i in range(2 if votes else 1)]
        thieves = self.dice.random() < THIEVES if plant.thief is None else plant.thief
        self.thief = Thief(self) if thieves else None
        self.public = Public(self)
        self.notices = None if votes else Notices(self, self.dice.randint(3, 12))
        self.voters = [Voter(self, texts) for texts in self.made.ballots]
        self.officials = Officials(self) if votes else None
        if votes:
            kernel.spawn(Process("public"), "public", self.public.read)

    @property
    def zones(self) -> list[Zone]:
        return [*self.vaults, self.queue, *self.tallies, *self.intakes]

    @property
    def disks(self) -> list[Disk]:
        return [self.ledger, *(zone.disk for zone in (self.queue, *self.intakes, *self.vaults, *self.tallies))]

    @property
    def honest(self) -> list[Vault]:
        return [vault for vault in self.vaults if not vault.liar]

    @property
    def sure(self) -> int:
        """How many honest custodians there are among any W."""
        return self.policy.W - sum(vault.liar for vault in self.vaults)

    def may_lose(self, vault: Vault) -> bool:
        """Whether this custodian's disk may be lost: those of N - W may, unless what is to be survived is worse."""
        gone = sum(one.lost is not None for one in self.vaults)
        spared = (
            self.restored or self.thief is not None or vault.lost is not None or len(self.honest) < len(self.vaults)
        )
        return not spared and gone < len(self.vaults) - self.policy.W

    @property
    def may_restore(self) -> bool:
        """Whether the ledger may be lost, or put back to what it was: all custodians must tell what they hold then."""
        return self.thief is None and not any(vault.lost or vault.liar for vault in self.vaults)

    def readers(self, source: str) -> list[Reader]:
        """The custodians, as whoever is called so reads them."""
        return [net.Reader(self.network, source, v.process, v.checkpoint_keeper, self.origin) for v in self.vaults]

    def expect(self, holds: bool, text: str) -> None:
        if not holds:
            self.broken.append(text)

    def failpoint(self, name: str) -> None:
        """The hook: now and then the process that comes here ends, or is stopped for a while."""
        self.plant.failpoint(name)
        task = self.kernel.current
        for tally in self.tallies:
            # Mostly where another one may come between what it has read and what it writes.
            share = 0.5 if name == "sequencer.staging" else 0.05
            passes = tally.to_be_stopped and task.process is tally.process and not task.serving
            if passes and self.dice.random() < share:
                tally.be_stopped()
        self.may_crash()

    def may_crash(self, share: float = 1.0) -> None:
        """Now and then, by this share of what is usual, the process whose task this is ends."""
        if self.crash_rate and self.dice.random() < self.crash_rate * share:
            task = self.kernel.current
            process = task.serving[0] if task.serving else task.process
            zone = next((zone for zone in self.zones if zone.process is process), None)
            if zone is not None:
                zone.crash()
                raise Crash if task.serving else Killed

    def at_rest(self) -> bool:
        """Everything has gone where it should be."""
        people = (*self.voters, *(one for one in (self.notices, self.officials, self.thief) if one is not None))
        if not all(one.done for one in people) or self.queue.disk.state:
            return False
        size = self.ledger.state.newest.size
        settled = all(intake.gone or not intake.disk.state.waiting for intake in self.intakes)
        return settled and all(v.disk.state.published[0] == size for v in self.vaults if not self._is_spared(v))

    def _is_spared(self, vault: Vault) -> bool:
        return self.thief is not None and self.thief.left_behind(vault)
