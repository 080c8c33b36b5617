"""A tally, which sequences or stands by, and the ledger's and the log's keys as it holds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from audit.log.keys import Signature
from audit.log.treehead import parse_checkpoint
from tally.sequencer.courier import LedgerBehind
from tally.sequencer.custodian import Custodian
from tally.sequencer.leading import Leading
from tally.sequencer.ledger import Overtaken
from tally.sequencer.mark import Mark
from tally.sequencer.push import Push
from tally.sequencer.survey import NOBODY
from tally.sequencer.term import Term, Threads, stand_by
from tests.simulation import network as net
from tests.simulation.disk import Disk, failing
from tests.simulation.kernel import Ahead, Condition, Event, Process
from tests.simulation.ledger import Ledger
from tests.simulation.proofs import Pool
from tests.simulation.sessions import Engine
from tests.simulation.zone import Zone

if TYPE_CHECKING:
    from tests.simulation.world import World


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
            self._world.must.signed(head.size, head.root)
        return self._signer.sign(text, time)


@dataclass(frozen=True)
class WatchedTerm(Term):
    """`behind` is told why the ledger is taken for an old copy."""

    behind: Callable[[LedgerBehind], None] = lambda _: None

    def serve(self, *arguments: Any) -> None:
        try:
            super().serve(*arguments)
        except LedgerBehind as error:
            self.behind(error)
            raise


class Tally(Zone):
    """One sequencer, and its mark on a disk of its own; the ledger is a machine of its own, which all of them share."""

    def __init__(self, world: World, index: int) -> None:
        self._looks_ahead = world.dice.random() < 0.7
        self.disk = Disk(world.kernel, f"mark of tally {index}", dict)
        super().__init__(world, f"tally {index}")
        self.to_be_stopped = 0.0  # for so many seconds, at a failpoint that it comes by
        self._engine, self.stop = Engine(world.server, self), Event(world.kernel)

    @property
    def cut_off(self) -> bool:
        """From the ledger."""
        return frozenset((self.name, "ledger")) in self.world.network.cuts

    def reach(self, patience: float = 0.0) -> None:
        """OperationalError if it is cut off from the ledger, and stays so for as long as it waits for an answer."""
        if self.cut_off and not (patience and self.world.kernel.pause(patience, lambda: not self.cut_off)):
            raise failing("no answer")

    @property
    def leads(self) -> bool:
        """As far as the server of the ledger has noticed."""
        return self._engine.session is not None and self._engine.session is self.world.server.holder

    def crash(self) -> None:
        if self.process.alive:
            self._engine.lost()
        super().crash()

    def be_stopped(self) -> None:
        """Now, for as long as it is to be, and not only by what it does next."""
        kernel, seconds, self.to_be_stopped = self.world.kernel, self.to_be_stopped, 0.0
        self.process.stopped = True

        def go_on() -> None:
            kernel.pause(seconds)
            self.process.stopped = False

        kernel.spawn(Process("world"), "SIGCONT", go_on)
        kernel.pause()

    def boot(self) -> None:
        self.to_be_stopped = 0.0
        self.stop = Event(self.world.kernel)
        self.run("sequencer", self._live)

    def fail(self, error: Exception) -> None:
        # Overtaken ends it, as it must, and it is begun again.
        if not isinstance(error, Overtaken):
            super().fail(error)

    def _live(self) -> None:
        kernel, make_event, engine = self.world.kernel, Event, self._engine
        stop: Any = self.stop
        threads: Any = Threads(
            lambda name, work, ended: kernel.thread(self.process, name, work), lambda: make_event(kernel), kernel.look
        )
        stand_by(self._term, Leading(engine, self.world.origin), stop, threads)

    def _term(self) -> Term:
        world, kernel = self.world, self.world.kernel
        world.ledger.lazy = world.plant.lazy_disks
        ledger: Any = Ledger(world.ledger, world.origin, world.plant.compares, world.must.staged, world.server, self)
        manifest = world.made.manifest
        custodians = [Custodian(v.name, net.Exchange(world.network, self.name, v.process, v.ask)) for v in world.vaults]
        egress: Any = net.Egress(world.network, self.name, world.queue.process, self._take, world.queue.ack)
        push = Push(
            ledger,
            manifest,
            custodians,
            changed=Condition(kernel),
            start=lambda name, run, _: kernel.spawn(self.process, name, run),
        )
        push.told = world.must.told
        signers: Any = [Signer(world, signer) for signer in world.made.keys(world.made.parties.log)]
        ahead: Any = Ahead(kernel, self.process) if self._looks_ahead else None
        make_pool: Any = Pool
        mark = Mark(ledger, self._marked, self._set_mark)
        sequencer = world.plant.Sequencer(
            ledger, manifest, signers, push, egress, make_pool, lambda: int(self.clock()), mark, None, ahead
        )
        parts: Any = ledger, manifest, custodians, lambda: NOBODY, push, sequencer, mark, lambda _: None, kernel.look
        return WatchedTerm(*parts, behind=world.must.be_behind)

    def _marked(self) -> bytes | None:
        return self.disk.state.get("mark") if self.world.plant.marks else None

    def _set_mark(self, text: bytes) -> None:
        try:
            self.disk.write(lambda state: state.update(mark=text))
        except net.OperationalError as error:
            raise OSError(str(error)) from None

    def _take(self, most: int, anew: bool) -> list[Any]:
        return self.world.queue.table.take(most, anew)
