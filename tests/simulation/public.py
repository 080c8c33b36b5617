"""The log as anybody reads it: by it voters see what became of their ballots, and officials what is to be done."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from audit.record.entries import Entry
from audit.record.seen import MemorySeen
from infra.follow import Follower, Unreadable

if TYPE_CHECKING:
    from tests.simulation.world import World

LOOK_SECONDS = 1.0


class Public:
    """What `read` has read so far."""

    def __init__(self, world: World) -> None:
        self._world, self.seen = world, MemorySeen()
        self._follower = Follower(world.readers("public"), world.made.manifest.hash, self.seen, clock=world.kernel.look)
        self.election = self._follower.election

    @property
    def phase(self) -> str:
        return self.election.phase

    def answered(self, identity: bytes, intake: str) -> bool:
        """Whether the log holds this entry, or its refusal, as it came through this intake ("": of no intake)."""
        return self.seen.recorded(identity) == intake or bool(self.seen.refused(identity, intake))

    def read(self) -> None:
        """Without end."""
        while True:
            entries: list[Entry] = []
            with suppress(Unreadable):
                entries = self._follower.read()
            for entry in entries:
                self._follower.apply([entry], self.seen)
                if entry.kind == "reconcile":
                    self._world.must.reconciled(entry, self.seen)
            if not entries:
                self._world.kernel.pause(LOOK_SECONDS)
