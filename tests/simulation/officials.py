"""What the officials of a vote do: replace keys, end the voting, and close it when every intake has accounted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audit.protocol.refused import Refused
from audit.record.entries import parse_entry
from infra.http import Problem
from tests.simulation import network as net
from tests.simulation.kernel import Process

if TYPE_CHECKING:
    from tests.simulation.world import World

PATIENCE = 10.0
"""After which an act that the log has not answered is handed in again, or drawn up anew."""


class Officials:
    """`promised`: the identities of the acts that an intake has promised to pass on, and which."""

    def __init__(self, world: World) -> None:
        self._world, self._dice = world, world.dice
        self.promised: set[tuple[bytes, str]] = set()
        self.done = False
        self.acts = 0
        """Handed in so far."""
        self._acts = [world.made.closing, *(one for one in world.made.rekeys.values() if self._dice.random() < 0.3)]
        self._dice.shuffle(self._acts)
        # Few are so impatient that they overrule an intake that is there.
        self._waits = self._dice.choice([0.0, 600.0, 600.0, 600.0])
        world.kernel.spawn(Process("officials"), "officials", self._act)

    def _act(self) -> None:
        kernel, public = self._world.kernel, self._world.public
        kernel.pause(None, lambda: public.phase == "open")
        for act in self._acts:
            kernel.pause(self._dice.random() * self._dice.choice([10.0, 20.0, 40.0]))
            if act == self._world.made.rekeys[self._world.vaults[0].name] and self._dice.random() < 0.5:
                act = self._replacement(act)
            self._record(act)
        self._close()
        self.done = True

    def _replacement(self, rotation: bytes) -> bytes:
        """Of the first custodian by another one, if it may go with its disk; else of its keys."""
        vault = self._world.vaults[0]
        if not self._world.may_lose(vault):
            return rotation
        vault.give_way()
        return self._world.made.replacement

    def _record(self, raw: bytes) -> None:
        identity = parse_entry(raw).identity
        while self._world.public.seen.recorded(identity) is None:
            self._hand_in(raw)
            self._world.kernel.pause(PATIENCE, lambda: self._world.public.seen.recorded(identity) is not None)

    def _close(self) -> None:
        kernel, public, since = self._world.kernel, self._world.public, self._world.kernel.now
        while public.phase != "closed":
            missing = [one for one in self._world.intakes if one.name not in public.election.reconciled]
            if all(one.gone for one in missing) or kernel.now > since + self._waits:
                self._hand_in(self._world.made.close(public.election.size, [one.name for one in missing]))
            kernel.pause(PATIENCE, lambda: public.phase == "closed")

    def _hand_in(self, raw: bytes) -> None:
        world, intake = self._world, self._dice.choice(self._world.intakes)
        self.acts += 1
        try:
            world.network.call("officials", intake.process, lambda: intake.hand_in(raw))
        except (net.NoAnswer, net.OperationalError, Problem, Refused):
            # What it lacks may come, and what is in doubt is handed in again.
            return
        self.promised.add((parse_entry(raw).identity, intake.name))
