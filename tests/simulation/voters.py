"""Whoever hands in: the officials of an election of notices, and the voters of one that is voted in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from audit.protocol.refused import Refused
from audit.record.entries import read_text
from infra.http import Problem
from intake.door.reception import Answer
from tests.simulation import network as net
from tests.simulation.intake import Intake
from tests.simulation.kernel import Process

if TYPE_CHECKING:
    from tests.simulation.world import World

PATIENCE = 7.0
"""Until a receipt's deadline: after that a ballot is handed in again, there or elsewhere."""
COMMON = frozenset({"closed", "not-open", "duplicate", "revision-lower", "revision-repeated"})
"""Why a true ballot may be refused at a door."""


class Notices:
    """Hands in one after another, each again until it is promised."""

    def __init__(self, world: World, entries: int) -> None:
        self._world, self._entries = world, entries
        self.promised: list[bytes] = []
        world.kernel.spawn(Process("voters"), "voters", self._hand_in)

    @property
    def done(self) -> bool:
        return len(self.promised) == self._entries

    def _hand_in(self) -> None:
        world, kernel = self._world, self._world.kernel
        kernel.pause(None, lambda: sum(v.disk.state.published[0] > 0 for v in world.vaults) >= world.policy.W)
        for raw in world.made.notices[: self._entries]:
            kernel.pause(kernel.dice.random() * kernel.dice.choice([0.1, 1.0, 8.0]))
            while not self._handed_in(raw):
                kernel.pause(1.0)
            self.promised.append(raw)

    def _handed_in(self, raw: bytes) -> bool:
        world, (intake,) = self._world, self._world.intakes
        try:
            world.network.call("voters", intake.process, lambda: intake.hand_in(raw))
        except (net.NoAnswer, net.OperationalError, Problem):
            return False
        except Refused as refusal:
            # It has not read the log's beginning yet.
            world.expect(refusal.reason == "wrong-phase", f"{intake.name} refuses a notice: {refusal}")
            return False
        return True


class Voter:
    """One account's ballots, each handed in until the log answers it, here or at another intake, and some again.
    `receipts`: what was promised, by the ballot's identity and the intake.
    """

    def __init__(self, world: World, texts: Sequence[bytes]) -> None:
        self._world, self._dice = world, world.dice
        self._texts = texts[: self._dice.randint(1, len(texts))]
        self.receipts: dict[tuple[bytes, str], bytes] = {}
        self.done = False
        world.kernel.spawn(Process("voters"), "voter", self._vote)

    def _vote(self) -> None:
        kernel, public = self._world.kernel, self._world.public
        kernel.pause(None, lambda: public.phase != "none" and public.phase != "noticed")
        for text in self._texts:
            kernel.pause(self._dice.random() * self._dice.choice([0.1, 4.0, 20.0]))
            if self._dice.random() < 0.6:
                self._await_an_act()
            self._cast(text)
        self.done = True

    def _await_an_act(self) -> None:
        """Of the officials: until an intake has read of it, a ballot may be too late, or signed with a key that is
        over.
        """
        kernel, officials = self._world.kernel, self._world.officials
        assert officials is not None
        acts = officials.acts
        if not officials.done:
            kernel.pause(30.0, lambda: officials.acts != acts)
            kernel.pause(self._dice.random() * 3.0)

    def _cast(self, text: bytes) -> None:
        kernel, public, identity = self._world.kernel, self._world.public, read_text(text).identity
        waits = self._dice.random() < 0.6
        while True:
            intake = self._dice.choice(self._world.intakes)
            said = self._hand_in(intake, text)
            if said == "promised":
                if self._dice.random() < 0.4:
                    self._hand_in(self._dice.choice(self._world.intakes), text)
                if not waits:
                    return
            elif said in COMMON:
                return
            if kernel.pause(PATIENCE, partial(public.answered, identity, intake.name)):
                return

    def _hand_in(self, intake: Intake, text: bytes) -> str:
        """What came of it, in a word."""
        world = self._world
        try:
            answer = world.network.call("voters", intake.process, lambda: intake.hand_in(text))
        except Refused as refusal:
            world.expect(refusal.reason in COMMON, f"{intake.name} refuses a true ballot: {refusal}")
            return refusal.reason
        except (net.NoAnswer, net.OperationalError):
            return "no answer"
        except Problem as problem:
            return problem.reason
        self._keep(read_text(text).identity, intake, answer)
        return "promised"

    def _keep(self, identity: bytes, intake: Intake, answer: Answer) -> None:
        before = self.receipts.setdefault((identity, intake.name), answer.receipt)
        if intake.name not in self._world.made.new:
            # With another key, it gives another one.
            self._world.expect(before == answer.receipt, f"{intake.name} gives two receipts for one ballot")
