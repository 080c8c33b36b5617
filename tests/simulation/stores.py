"""A custodian's store and the queue, as the code under test asks for them, each over a simulated disk; and what the
entries of a log answer.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from audit.log.merkle import leaf_hash
from audit.protocol.refused import Refused
from audit.record.entries import parse_entry
from audit.record.heads import is_rekey
from audit.record.seen import intake_of
from infra import failpoints
from infra.queue.frames import Row
from tests.simulation.disk import Disk
from tests.simulation.kernel import Kernel
from vault.custodian import cosign, storage

LEASE_SECONDS = 30.0


class Answer(NamedTuple):
    """An entry by its identity and its intake ("": of none), and if it is refused, by its leaf hash."""

    identity: bytes
    intake: str
    refused: bytes = b""


@lru_cache(4096)
def answer_of(raw: bytes) -> Answer:
    """What this entry of the log answers: what it records, or what it refuses."""
    entry = parse_entry(raw)
    if entry.kind == "refusal":
        return Answer(entry.fields["identity"], entry.fields["intake"], entry.fields["leaf"])
    return Answer(entry.identity, intake_of(entry))


def answers_of(entries: Iterable[bytes]) -> Iterator[Answer]:
    """What these entries of a custodian's answer. What stolen keys have made it take need not be an entry."""
    for raw in entries:
        with suppress(Refused):
            yield answer_of(raw)


def is_answered(identity: bytes, intake: str, leaf: bytes, answers: Container[Answer]) -> bool:
    """Whether an entry is recorded, or refused in the very bytes with this leaf hash."""
    return Answer(identity, intake) in answers or Answer(identity, intake, leaf) in answers


@dataclass
class VaultState:
    """`answers`: what its entries are the answers to. By line of trees: `observed`, heads by the size that they follow;
    `brought`, entries by their number.
    """

    entries: list[bytes] = field(default_factory=list)
    heads: dict[int, cosign.Head] = field(default_factory=dict)
    newest: cosign.Head = cosign.EMPTY
    published: tuple[int, bytes] = (0, b"")
    answers: set[Answer] = field(default_factory=set)
    observed: dict[str, dict[int, cosign.Head]] = field(default_factory=dict)
    brought: dict[str, dict[int, bytes]] = field(default_factory=dict)


class Store:
    """See `vault.custodian.storage.Store`; without what only scrubbing asks."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    @property
    def _state(self) -> VaultState:
        self._disk.check()
        return self._disk.state

    def newest(self, origin: str) -> cosign.Head:
        return self._state.newest

    def head_at(self, origin: str, size: int) -> cosign.Head | None:
        return self._state.heads.get(size)

    def head_after(self, origin: str, size: int) -> cosign.Head | None:
        larger = [other for other in self._state.heads if other > size]
        return self._state.heads[min(larger)] if larger else None

    def last_time(self) -> int:
        return max((head.time for head in self._state.heads.values()), default=0)

    def append(
        self, origin: str, new: cosign.Head, leaves: Sequence[bytes], entries: Sequence[bytes], line: str | None = None
    ) -> None:
        entries = list(entries)

        def change(state: VaultState) -> None:
            if state.newest.size != new.old_size:
                raise storage.Overtaken(origin)
            brought = state.brought.get(line or "", {})
            added = [brought[index] for index in range(new.old_size, new.size - len(entries))] + entries
            state.entries += added
            state.answers.update(answers_of(added))
            state.heads[new.size] = state.newest = new

        failpoints.at("custodian.committing")
        self._disk.write(change)

    def published(self, origin: str, below: int | None = None) -> tuple[int, bytes]:
        return self._state.published

    def publish(self, origin: str, size: int, note: bytes) -> None:
        def change(state: VaultState) -> None:
            state.published = max(state.published, (size, note))

        self._disk.write(change)

    def hashes(self, origin: str, level: int, start: int, end: int) -> list[bytes]:
        assert level == 0, "no simulated log is that long"
        return [leaf_hash(entry) for entry in self._state.entries[start:end]]

    def entries(self, origin: str, start: int, end: int) -> list[bytes]:
        return self._state.entries[start:end]

    def staged(self, origin: str) -> int:
        return len(self._state.entries)

    def rekeys(self, origin: str) -> list[int]:
        return [index for index, entry in enumerate(self._state.entries) if is_rekey(entry)]

    def brought(self, origin: str, line: str) -> int:
        return max(self._state.brought.get(line, {}), default=-1) + 1

    def bring(self, origin: str, line: str, start: int, leaves: Sequence[bytes], entries: Sequence[bytes]) -> None:
        entries = list(entries)

        def change(state: VaultState) -> None:
            brought = state.brought.setdefault(line, {})
            if start in brought:
                raise storage.Overtaken(origin)
            brought.update(enumerate(entries, start))

        self._disk.write(change)

    def brought_hashes(self, origin: str, line: str, start: int, end: int) -> list[bytes]:
        return list(map(leaf_hash, self.brought_entries(origin, line, start, end)))

    def brought_entries(self, origin: str, line: str, start: int, end: int) -> list[bytes]:
        brought = self._state.brought.get(line, {})
        return [brought[index] for index in range(start, end) if index in brought]

    def observed(self, origin: str, line: str | None = None, most: int | None = None) -> cosign.Head:
        lines = self._state.observed
        heads = [head for one in (lines if line is None else (line,)) for head in lines.get(one, {}).values()]
        found = (head for head in heads if most is None or head.size <= most)
        return max(found, key=lambda head: head.size, default=cosign.EMPTY)

    def observed_beyond(self, origin: str, size: int, most: int) -> list[cosign.Head]:
        lines = self._state.observed.values()
        found = [[head for head in one.values() if size < head.size <= most] for one in lines]
        return [max(heads, key=lambda head: head.size) for heads in found if heads]

    def observe(self, origin: str, line: str, new: cosign.Head) -> None:
        def change(state: VaultState) -> None:
            observed = state.observed.setdefault(line, {})
            if new.old_size in observed:
                raise storage.Overtaken(origin)
            observed[new.old_size] = new

        self._disk.write(change)

    def contradict(self, origin: str, line: str, other: cosign.Head) -> None:
        """Evidence, on which nothing is built."""

    def heads(self, origin: str) -> Iterator[int]:
        return iter(sorted(self._state.heads))


class Queue:
    """Both faces of the queue; leases are in memory only. `copies`: every entry is put so many times."""

    def __init__(self, kernel: Kernel, disk: Disk, copies: int) -> None:
        self._kernel, self._disk, self._copies = kernel, disk, copies
        self._leases: dict[bytes, float] = {}

    def put(self, entries: Sequence[bytes]) -> None:
        rows = [(self._kernel.dice.randbytes(16), entry) for entry in entries for _ in range(self._copies)]
        failpoints.at("queue.storing")
        self._disk.write(lambda state: state.update(rows))
        failpoints.at("queue.stored")

    def take(self, most: int, anew: bool) -> list[Row]:
        self._disk.check()
        now = self._kernel.now
        if anew:
            self._leases.clear()
        free = [key for key in sorted(self._disk.state) if self._leases.get(key, 0.0) <= now][:most]
        self._leases |= dict.fromkeys(free, now + LEASE_SECONDS)
        return [Row(key, self._disk.state[key]) for key in free]

    def ack(self, keys: Sequence[bytes]) -> None:
        def change(state: dict[bytes, bytes]) -> None:
            for key in keys:
                state.pop(key, None)

        failpoints.at("queue.deleting")
        self._disk.write(change)
        failpoints.at("queue.deleted")
