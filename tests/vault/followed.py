"""A log that is followed, and its sources."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

from tests.vault.conftest import NOW, Growing
from tests.vault.fixed_keys import FixedKeys
from tests.vault.sources import Shown
from vault.custodian.alarms import Alarms
from vault.custodian.following import Follower
from vault.custodian.storage import Store

_numbers = itertools.count()


class Watch:
    """A follower of a log of its own, over one or more sources."""

    def __init__(self, store: Store, folder: Path, sources: int = 1, origin: str = "", **settings: float) -> None:
        self.store, self.folder, self.settings = store, folder, settings
        self.log = Growing(origin or f"vote.example/followed-{next(_numbers)}")
        self.sources = [Shown(self.log, f"http://source-{i}.example:80/x") for i in range(sources)]
        self.time = 0.0
        self.begin()

    def begin(self) -> Follower:
        """The process begins, perhaps again."""
        self.alarms = Alarms(self.folder / "evidence")
        self.follower = Follower(
            self.store,
            FixedKeys(self.log.policy),
            self.sources,
            self.alarms,
            self.folder / "shown.json",
            clock=lambda: self.time,
            now=lambda: NOW + int(self.time),
            choose=lambda n: n - 1,
            silence=self.settings.get("silence", 100.0),
            idle=self.settings.get("idle"),
            sample=int(self.settings.get("sample", 2)),
        )
        return self.follower

    def fill(self, *steps: int) -> None:
        """The log grows, every source shows it, and the follower takes it."""
        for count in steps:
            self.log.grow(count)
            for source in self.sources:
                source.show()
            self.follower.round()
        assert not self.alarms.raised

    def raised(self) -> dict[str, int]:
        """The alarms of one round."""
        self.alarms.raised.clear()
        self.follower.round()
        return dict(self.alarms.raised)

    def held(self) -> list[bytes]:
        newest = self.store.newest(self.log.origin)
        return self.store.entries(self.log.origin, 0, newest.size)

    def evidence(self, kind: str) -> dict:
        (file,) = self.folder.glob(f"evidence/{kind}-*.json")
        return json.loads(file.read_bytes())


def forked(log: Growing, number: int, size: int) -> Growing:
    """The log that an operator shows to others: another entry at `number`, and as many entries as said."""
    other = Growing(log.origin, [*log.entries[:number], b"another"])
    other.grow(size - len(other.entries))
    return other
