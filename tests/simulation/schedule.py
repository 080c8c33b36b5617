"""One schedule from its seed: some seconds of faults, then none, until everything is at rest; and what did not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from unittest.mock import patch

from audit.record import entries as record_entries
from infra import failpoints, log
from intake.door import reception, watch
from tally.sequencer import term
from tests.simulation.faults import Faults
from tests.simulation.kernel import Overrun
from tests.simulation.keys import cheap_signatures
from tests.simulation.outbox import DoorSeen, sign_page
from tests.simulation.planted import Plant
from tests.simulation.world import World

read_text = lru_cache(4096)(record_entries.read_text)
"""As every zone reads every entry: once for all of them, since what it says depends on its bytes alone."""
EXPECTED = ("operationalerror", "notmarked")
"""What goes wrong with a disk, as the log names it."""
REST_SECONDS = 7200.0
"""Longer than an intake waits to pass an entry on again."""
TOLD_SECONDS = 300.0


@dataclass(frozen=True)
class Outcome:
    """`broken`: what did not hold, in words; empty if all did. `trace`: what tells two runs apart."""

    seed: int
    broken: tuple[str, ...]
    entries: int
    steps: int
    seconds: float
    trace: tuple[object, ...] = ()

    @property
    def report(self) -> str:
        lines = "\n".join(f"  {text}" for text in self.broken)
        return f"seed {self.seed}:\n{lines}\nagain:  .venv/bin/python -m tests.simulation --seed {self.seed}"


def run(seed: int, plant: Plant | None = None) -> Outcome:
    """Runs the schedule of this seed, to its end or to the first thing that does not hold."""
    plant = plant or Plant()
    with _simulated(lambda text: world.expect(False, text)), plant.planted():
        world = World(seed, plant)
        failpoints.set(world.failpoint)
        try:
            _direct(world)
        except Overrun:
            world.broken.append("does not come to rest")
        finally:
            failpoints.set(None)
            steps, seconds = world.kernel.steps, world.kernel.now
            world.kernel.end()
        world.broken.extend(f"{type(fault).__name__}: {fault}" for fault in world.kernel.faults)
        entries = len(world.ledger.state.entries)
        trace = (tuple(world.ledger.state.entries), world.dice.random())
        return Outcome(seed, tuple(world.broken), entries, steps, seconds, trace)


def _direct(world: World) -> None:
    kernel, dice = world.kernel, world.dice
    faults = Faults(world)
    end = kernel.now + dice.choice([10.0, 25.0, 60.0])
    kernel.pause(dice.choice([0.0, 2.0]))
    while kernel.now < end and not world.broken:
        faults.strike()
        kernel.pause(dice.random() * 8.0, lambda: bool(world.broken))
    faults.mend()
    over = kernel.pause(REST_SECONDS, lambda: bool(world.broken) or bool(kernel.faults) or world.at_rest())
    if world.broken or kernel.faults:
        return
    world.expect(over, "does not come to rest")
    if over:
        # A custodian that has nothing to be sent is asked again after a minute.
        told = world.thief is None or kernel.pause(TOLD_SECONDS, world.must.forks_are_told)
        world.expect(told, "a custodian shows another tree, and nobody is told")
        world.must.hold_at_the_end()


@contextmanager
def _simulated(fault: Callable[[str], None]) -> Iterator[None]:
    """`fault` is told of what the code under test reports as unexpected, though it goes on."""

    def write(source: log.Log, level: str, event: str, values: dict[str, log.Value]) -> None:
        if event == "failure" and values["kind"] not in EXPECTED:
            fault(f"{values['kind']} in {values['where']}, line {values['line']}")

    with ExitStack() as stack:
        stack.enter_context(cheap_signatures())
        stack.enter_context(patch.object(log.Log, "_write", write))
        # Looking costs turns; and in proportion to the others the one that leads finds out as late as it does.
        for name, seconds in (("POLL_SECONDS", 2.0), ("STANDBY_SECONDS", 1.0), ("BEAT_SECONDS", 3.0)):
            stack.enter_context(patch.object(term, name, seconds))
        stack.enter_context(patch.object(watch, "sign_page", sign_page))
        stack.enter_context(patch.object(record_entries, "read_text", read_text))
        for module in (watch, reception):
            stack.enter_context(patch.object(module, "SqlSeen", DoorSeen))
        yield
