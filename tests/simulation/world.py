"""The zones of one schedule, each made of the real code over simulated disks, network and clocks, and what must hold at
every moment, whatever happens to them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from audit.log.checkpoint import cosigned_by
from audit.log.keys import Signature
from audit.log.merkle import CompactRange, leaf_hash
from audit.log.notes import parse_note
from audit.log.sources import ReadError
from audit.log.treehead import parse_checkpoint
from audit.record.entries import parse_entry
from infra.exchange import Answer
from infra.follow import Follower
from intake.door.mover import Mover
from tally.sequencer.adopt import NOBODY
from tally.sequencer.custodian import Custodian
from tally.sequencer.ledger import Overtaken
from tally.sequencer.push import LedgerBehind, Push
from tally.sequencer.sequence import Sequencer
from tally.sequencer.service import Term
from tests.simulation import network as net
from tests.simulation.disk import Disk
from tests.simulation.kernel import Ahead, Condition, Event, Kernel, Killed, Process
from tests.simulation.rehearsal import rehearsal
from tests.simulation.stores import Ledger, LedgerState, Outbox, OutboxState, Queue, Store, VaultState
from vault.custodian.custody import Custodian as Keeper
from vault.custodian.keys import ManifestKeys

BASE_TIME = 1_800_000_000
BATCH_WAIT = 0.5
LOOK_SECONDS = 3.0


class Clock:
    """What a process takes for the time, POSIX seconds."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel, self.ahead, self.rate = kernel, 0.0, 1.0

    def __call__(self) -> float:
        return BASE_TIME + self.ahead + self.rate * self._kernel.now

    def mend(self) -> None:
        self.ahead, self.rate = 0.0, 1.0


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
        self.roots: dict[int, bytes] = {}
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
        return [self.ledger, self.queue.disk, self.intake.disk, *(vault.disk for vault in self.vaults)]

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

    def cosigned(self, vault: Vault, size: int, root: bytes) -> None:
        """A custodian has put its name to a tree."""
        if not vault.liar:
            other = self.roots.setdefault(size, root)
            self.expect(other == root, f"two trees of {size} entries are cosigned, one by {vault.name}")

    def published(self, raw: bytes) -> None:
        """A custodian has taken a checkpoint as the one to serve."""
        note = parse_note(raw)
        head = parse_checkpoint(note.text)
        names = cosigned_by(note, self.policy)
        self.expect(len(names) >= self.policy.W, f"{head.size} entries are published with {len(names)} cosignatures")
        for vault in self.honest:
            if vault.name in names and not vault.lost:
                kept = vault.disk.durable().heads.get(head.size)
                held = kept is not None and kept.root == head.root
                self.expect(held, f"{vault.name} has cosigned {head.size} entries and may lose them")

    def acknowledged(self, keys: Sequence[bytes]) -> None:
        """Rows are about to be deleted from the queue."""
        states = [vault.disk.durable() for vault in self.honest]
        lost = sum(vault.lost for vault in self.honest)
        for key in keys:
            raw = self.queue.disk.state.get(key)
            if raw is not None:
                holders = sum(raw in state.raws for state in states)
                text = f"an entry is acknowledged to the queue that {holders} custodians hold"
                self.expect(holders + lost >= self.sure, text)

    def at_rest(self) -> bool:
        """Everything has gone where it should be."""
        size = self.ledger.state.newest.size
        done = self.voters.done and not self.intake.disk.state.waiting and not self.queue.disk.state
        return done and all(vault.disk.state.published[0] == size for vault in self.vaults)

    def check_end(self) -> None:
        """What must hold when everything is at rest: one history, and in it all that was acknowledged, once."""
        entries = self.ledger.state.entries
        for vault in self.vaults:
            self.expect(vault.disk.state.entries == entries, f"{vault.name} holds another log than the ledger")
            times = [head.time for _, head in sorted(vault.disk.state.heads.items())]
            self.expect(times == sorted(times), f"the times of {vault.name} go back")
        identities = [parse_entry(raw).identity for raw in entries]
        self.expect(len(set(identities)) == len(identities), "an entry is recorded twice")
        for raw in self.voters.acknowledged:
            self.expect(entries.count(raw) == 1, "an entry that was acknowledged is not in the log")
        tree, roots = CompactRange(), {}
        for raw in entries:
            tree.append(leaf_hash(raw))
            roots[tree.size] = tree.root()
        for size, root in self.roots.items():
            self.expect(roots.get(size) == root, f"a tree of {size} entries was cosigned that is not of this log")


class Plant:
    """What a schedule is run with: as it is, or with a fault planted, which a schedule must find."""

    Sequencer: type[Sequencer] = Sequencer
    lazy_disks = False
    compares = True

    def failpoint(self, name: str) -> None:
        """Is told of every failpoint that is passed."""


class Zone:
    """A process that is begun again some time after it has ended."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name, self.process = world, name, Process(name)
        self.process.alive = False
        self.held_down = False
        self.clock = Clock(world.kernel)
        world.kernel.spawn(Process("supervisor"), f"supervisor of {name}", self._supervise)

    def crash(self) -> None:
        if self.process.alive:
            self.world.kernel.kill(self.process)

    def _supervise(self) -> None:
        kernel = self.world.kernel
        while True:
            try:
                self.boot()
                self.process.alive = True
            except net.OperationalError:
                kernel.pause(1.0)
                continue
            kernel.pause(None, lambda: not self.process.alive)
            kernel.pause(0.2 + kernel.dice.random() * 6.0)
            kernel.pause(None, lambda: not self.held_down)

    def boot(self) -> None:
        raise NotImplementedError

    def run(self, name: str, call: Callable[[], None]) -> None:
        """A task of this process, which ends with whatever the call raises."""

        def live() -> None:
            try:
                call()
            except Exception as error:
                self.fail(error)
            self.crash()

        self.world.kernel.spawn(self.process, name, live)

    def fail(self, error: Exception) -> None:
        self.world.expect(False, f"{self.name} ends with {type(error).__name__}: {error}")


class Vault(Zone):
    """A custodian. `lost`: its disk was lost once; `liar`: it answers what it likes now and then."""

    def __init__(self, world: World, index: int) -> None:
        self.disk = Disk(world.kernel, f"custodian {index}", VaultState)
        self.lost = self.liar = self.lying = False
        self.slow = 0.0
        self.signers = world.made.parties.custodians[index]
        self._said: list[Answer] = []
        super().__init__(world, world.policy.custodians[index][0])

    def boot(self) -> None:
        self.disk.lazy = self.world.plant.lazy_disks
        world = self.world
        keys = {world.origin: ManifestKeys(world.made.manifest)}
        self.keeper = Keeper(Store(self.disk), keys, self.signers, lambda: int(self.clock()))

    def ask(self, method: str, path: str, content: bytes | None) -> Answer:
        """What it answers to the sequencer."""
        world = self.world
        if self.lying and world.dice.random() < 0.5:
            return self._lie(method)
        answer = net.answer_of(self.keeper, world.origin, method, path, content)
        if path == "publish" and answer.status == 204 and not self.liar:
            world.published(content or b"")
        if answer.status == 200 and path in ("append", "held"):
            state = self.disk.state
            world.cosigned(self, state.newest.size, state.newest.root)
            self._said.append(answer)
        return answer

    def checkpoint_keeper(self) -> Any:
        """What it shows to readers."""
        return Forger(self) if self.lying and self.world.dice.random() < 0.5 else self.keeper

    def _lie(self, method: str) -> Answer:
        dice = self.world.dice
        lies = [
            Answer(500, "", b""),
            Answer(404, "", b""),
            Answer(200, "text/plain", b""),
            Answer(200, "text/plain", dice.randbytes(40)),
            Answer(409, "text/x.tlog.size", b"%d\n" % dice.randint(0, 30)),
            Answer(409, "text/x.tlog.size", b"many\n"),
            *(vault._said[-1] for vault in self.world.vaults if vault._said),
            *self._said[:1],
        ]
        return dice.choice(lies)


class Forger:
    """What a lying custodian shows to readers."""

    def __init__(self, vault: Vault) -> None:
        self._vault, self._dice = vault, vault.world.dice

    def checkpoint(self, origin: str) -> bytes | None:
        newest = self._vault.disk.state.newest.note
        lines = b"".join(answer.body for answer in self._vault._said[-1:])
        return self._dice.choice([None, b"", self._dice.randbytes(90), newest, newest + lines])

    def tile(self, origin: str, *which: int) -> bytes | None:
        return self._dice.choice([None, b"", self._dice.randbytes(32)])

    def bundle(self, origin: str, *which: int) -> bytes | None:
        return self._dice.choice([None, b"", self._dice.randbytes(60)])


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
        self.world.acknowledged(keys)
        self.table.ack(keys)


class Signer:
    """The log's key, watched: it signs no tree that is not in the ledger."""

    def __init__(self, world: World, signer: Any) -> None:
        self._world, self._signer = world, signer
        self.name, self.verifier = signer.name, signer.verifier

    def sign(self, text: bytes, time: int = 0) -> Signature:
        if text.startswith(self._world.origin.encode() + b"\n"):
            head = parse_checkpoint(text)
            staged = any((s.size, s.root) == (head.size, head.root) for s in self._world.ledger.state.stages)
            self._world.expect(staged, f"a tree of {head.size} entries is signed that is not staged")
        return self._signer.sign(text, time)


class Tally(Zone):
    """One sequencer; the ledger is a machine of its own, which all of them share."""

    def __init__(self, world: World, index: int) -> None:
        self._looks_ahead = world.dice.random() < 0.7
        super().__init__(world, f"tally {index}")

    def boot(self) -> None:
        self.run("sequencer", self._live)

    def fail(self, error: Exception) -> None:
        # Overtaken ends it, as it must, and it is begun again.
        if not isinstance(error, Overtaken):
            super().fail(error)

    def _live(self) -> None:
        behind, never = False, Event(self.world.kernel)
        while True:
            try:
                self._term().serve(never, behind)
            except LedgerBehind:
                if not self.world.restored:
                    raise
                behind = True

    def _term(self) -> Term:
        world, kernel = self.world, self.world.kernel
        world.ledger.lazy = world.plant.lazy_disks
        ledger: Any = Ledger(kernel, world.ledger, world.origin, world.plant.compares)
        manifest = world.made.manifest
        custodians = [Custodian(v.name, net.Exchange(world.network, v.process, v.ask)) for v in world.vaults]
        egress: Any = net.Egress(world.network, world.queue.process, self._take, world.queue.ack)
        push = Push(
            ledger,
            manifest,
            custodians,
            changed=Condition(kernel),
            start=lambda name, run: kernel.spawn(self.process, name, run),
        )
        signers: Any = [Signer(world, signer) for signer in world.made.parties.log]
        ahead: Any = Ahead(kernel, self.process) if self._looks_ahead else None
        sequencer = world.plant.Sequencer(
            ledger, manifest, signers, push, egress, lambda checker: None, lambda: int(self.clock()), None, ahead
        )
        return Term(ledger, manifest, custodians, NOBODY, push, sequencer, lambda _: None)

    def _take(self, most: int) -> list[Any]:
        return self.world.queue.table.take(most)


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


class Voters:
    """Whoever hands in: each entry again until it is acknowledged."""

    def __init__(self, world: World, entries: int) -> None:
        self._world, self._entries = world, entries
        self.acknowledged: list[bytes] = []
        world.kernel.spawn(Process("voters"), "voters", self._hand_in)

    @property
    def done(self) -> bool:
        return len(self.acknowledged) == self._entries

    def _hand_in(self) -> None:
        world, kernel = self._world, self._world.kernel
        kernel.pause(None, lambda: sum(v.disk.state.published[0] > 0 for v in world.vaults) >= world.policy.W)
        for raw in world.made.notices[: self._entries]:
            kernel.pause(kernel.dice.random() * kernel.dice.choice([0.1, 1.0, 8.0]))
            while not self._handed_in(raw):
                kernel.pause(1.0)
            self.acknowledged.append(raw)

    def _handed_in(self, raw: bytes) -> bool:
        intake = self._world.intake
        try:
            self._world.network.call("voters", intake.process, lambda: intake.accept(raw))
        except (net.NoAnswer, net.OperationalError):
            return False
        return True
