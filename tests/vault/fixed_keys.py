"""The keys of a log that never change, for tests without an election."""

from __future__ import annotations

from audit.log.checkpoint import LogPolicy


class FixedKeys:
    """The keys of a log that changes none."""

    def __init__(self, policy: LogPolicy) -> None:
        self.origin, self.policy = policy.origin, policy

    def at(self, size: int) -> LogPolicy:
        return self.policy

    def after(self, start: int, entries: object) -> FixedKeys:
        return self

    def places(self) -> tuple[int, ...]:
        return ()

    def claimed(self, reader: object, size: int, others: object = ()) -> LogPolicy:
        return self.policy

    def shown(self, reader: object, note: object) -> dict[int, bytes]:
        return {}

    def learn(self, index: int, entry: bytes) -> None:
        pass
