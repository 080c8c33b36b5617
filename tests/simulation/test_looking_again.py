"""What one courier does puts off no other one's look at its custodian."""

from __future__ import annotations

from typing import Any

from tally.sequencer.custodian import Custodian
from tally.sequencer.ledger import Stage
from tally.sequencer.push import LOOK_AGAIN_SECONDS, Push
from tests.simulation.kernel import Condition, Kernel, Process
from tests.simulation.rehearsal import notices


def test_an_idle_courier_looks_again_though_the_others_are_busy() -> None:
    kernel, tally = Kernel(1), Process("tally")
    nothing: Any = None
    custodians = [Custodian(name, nothing) for name, _ in notices(3, 2).manifest.log.custodians]
    changed: Any = Condition(kernel)
    push = Push(nothing, notices(3, 2).manifest, custodians, changed)
    push._stage = Stage(0, 5, bytes(32), b"")
    courier = push._couriers[0]
    courier.size = 5

    def others() -> None:
        while True:
            kernel.pause(LOOK_AGAIN_SECONDS / 10)
            push.moved()

    def wait() -> None:
        push.next_task(courier)

    kernel.spawn(tally, "others", others)
    kernel.spawn(tally, "courier", wait)
    kernel.pause(1.5 * LOOK_AGAIN_SECONDS)
    kernel.end()
    assert courier.size is None
