"""A sequencer, and the ledger's and the log's keys as it holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from audit.log.keys import Signature
from audit.log.treehead import parse_checkpoint
from tally.sequencer.courier import LedgerBehind
from tally.sequencer.custodian import Custodian
from tally.sequencer.ledger import Overtaken
from tally.sequencer.mark import Mark
from tally.sequencer.push import Push
from tally.sequencer.survey import NOBODY
from tally.sequencer.term import Term
from tests.simulation import network as net
from tests.simulation.disk import Disk
from tests.simulation.kernel import Ahead, Condition, Event
from tests.simulation.proofs import Pool
from tests.simulation.stores import Ledger
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


class Tally(Zone):
    """One sequencer, and its mark on a disk of its own; the ledger is a machine of its own, which all of them share."""

    def __init__(self, world: World, index: int) -> None:
        self._looks_ahead = world.dice.random() < 0.7
        self.disk = Disk(world.kernel, f"mark of tally {index}", dict)
        super().__init__(world, f"tally {index}")

    def boot(self) -> None:
        self.run("sequencer", self._live)

    def fail(self, error: Exception) -> None:
        # Overtaken ends it, as it must, and it is begun again.
        if not isinstance(error, Overtaken):
            super().fail(error)

    def _live(self) -> None:
        behind: LedgerBehind | None = None
        never = Event(self.world.kernel)
        while True:
            try:
                self._term().serve(never, behind is not None, behind.claim if behind is not None else None)
            except LedgerBehind as error:
                if not self.world.restored:
                    raise
                behind = error

    def _term(self) -> Term:
        world, kernel = self.world, self.world.kernel
        world.ledger.lazy = world.plant.lazy_disks
        ledger: Any = Ledger(kernel, world.ledger, world.origin, world.plant.compares, world.must.staged)
        manifest = world.made.manifest
        custodians = [Custodian(v.name, net.Exchange(world.network, v.process, v.ask)) for v in world.vaults]
        egress: Any = net.Egress(world.network, world.queue.process, self._take, world.queue.ack)
        push = Push(
            ledger,
            manifest,
            custodians,
            changed=Condition(kernel),
            start=lambda name, run, _: kernel.spawn(self.process, name, run),
        )
        signers: Any = [Signer(world, signer) for signer in world.made.keys(world.made.parties.log)]
        ahead: Any = Ahead(kernel, self.process) if self._looks_ahead else None
        make_pool: Any = Pool
        mark = Mark(ledger, self._marked, self._set_mark)
        sequencer = world.plant.Sequencer(
            ledger, manifest, signers, push, egress, make_pool, lambda: int(self.clock()), mark, None, ahead
        )
        return Term(ledger, manifest, custodians, lambda: NOBODY, push, sequencer, mark, lambda _: None, kernel.look)

    def _marked(self) -> bytes | None:
        return self.disk.state.get("mark") if self.world.plant.marks else None

    def _set_mark(self, text: bytes) -> None:
        try:
            self.disk.write(lambda state: state.update(mark=text))
        except net.OperationalError as error:
            raise OSError(str(error)) from None

    def _take(self, most: int, anew: bool) -> list[Any]:
        return self.world.queue.table.take(most, anew)
