"""Whoever hands in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation import network as net
from tests.simulation.kernel import Process

if TYPE_CHECKING:
    from tests.simulation.world import World


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
