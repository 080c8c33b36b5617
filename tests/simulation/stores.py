"""The ledger, a custodian's store and the queue, as the code under test asks for them, each over a simulated disk."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from audit.log.merkle import leaf_hash
from audit.record.entries import Entry, parse_entry
from audit.record.heads import is_rekey
from audit.record.seen import MemorySeen, intake_of
from infra import failpoints
from infra.queue.frames import Row
from tally.sequencer.ledger import EMPTY, Overtaken, Stage
from tests.simulation.disk import Change, Disk, failing
from tests.simulation.kernel import Kernel
from tests.simulation.sessions import PATIENCE, Host, Server
from vault.custodian import cosign, storage

LEASE_SECONDS = 30.0


class Seen(MemorySeen):
    """The index over the log within one transaction."""

    def __init__(self, of: MemorySeen) -> None:
        self.identities = dict(of.identities)
        self.refusals = {entry: set(leaves) for entry, leaves in of.refusals.items()}
        self.by_intake = {intake: list(found) for intake, found in of.by_intake.items()}
        self.latest = dict(of.latest)
        self.added: list[Entry] = []

    def __enter__(self) -> Seen:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def look_up(self, entries: Sequence[Entry]) -> None:
        pass

    def add(self, entry: Entry) -> None:
        super().add(entry)
        self.added.append(entry)


@dataclass
class LedgerState:
    entries: list[bytes] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    signed: dict[int, bytes] = field(default_factory=dict)
    witnessed: dict[int, bytes] = field(default_factory=dict)
    seen: MemorySeen = field(default_factory=MemorySeen)

    @property
    def newest(self) -> Stage:
        return self.stages[-1] if self.stages else EMPTY

    @property
    def newest_signed(self) -> Stage:
        return next((stage for stage in reversed(self.stages) if stage.size in self.signed), EMPTY)

    def sign(self, size: int, note: bytes, entries: Sequence[Entry]) -> None:
        if size not in self.signed:
            self.signed[size] = note
            for entry in entries:
                self.seen.add(entry)


class Transaction:
    """See `tally.sequencer.ledger.Transaction`."""

    def __init__(self, state: LedgerState, compares: bool) -> None:
        self._compares = compares
        self._index = Seen(state.seen)
        self.stages: list[tuple[Stage, list[bytes]]] = []
        self.signed: dict[int, bytes] = {}

    def seen(self) -> Seen:
        return self._index

    def hurry(self) -> None:
        pass

    @contextmanager
    def lasting(self, check: Callable[[], None]) -> Iterator[None]:
        yield

    def append(self, new: Stage, entries: Sequence[bytes]) -> None:
        self.stages.append((new, list(entries)))

    def keep(self, refused: Sequence[Entry]) -> None:
        pass

    def sign(self, size: int, note: bytes) -> None:
        self.signed[size] = note

    def change(self, state: LedgerState) -> None:
        if self._compares and self.stages and self.stages[0][0].old_size != state.newest.size:
            raise Overtaken("another sequencer has continued the log")
        for stage, entries in self.stages:
            state.stages.append(stage)
            state.entries += entries
        state.signed.update(self.signed)
        for entry in self._index.added:
            state.seen.add(entry)


class Ledger:
    """See `tally.sequencer.ledger.Ledger`, as the process at `host` reaches it. `staged` is told how many entries a
    stage continues, and the ledger held.
    """

    def __init__(
        self, disk: Disk, origin: str, compares: bool, staged: Callable[[int, int], None], server: Server, host: Host
    ) -> None:
        self._disk, self.origin, self._compares = disk, origin, compares
        self._staged, self._server, self._host = staged, server, host

    @property
    def _state(self) -> LedgerState:
        self._host.reach()
        self._disk.check()
        return self._disk.state

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        transaction, starts = Transaction(self._state, self._compares), self._server.starts
        yield transaction
        failpoints.at("sequencer.staging")
        self._disk.wait()
        self._host.reach(PATIENCE)
        if starts != self._server.starts:
            raise failing("the session has ended")
        size = self._disk.state.newest.size
        self._disk.write(transaction.change)
        if transaction.stages:
            self._staged(transaction.stages[0][0].old_size, size)
        self._host.reach(PATIENCE)

    @contextmanager
    def seen(self) -> Iterator[Seen]:
        yield Seen(self._state.seen)

    def differing(self, expected_at: Callable[[Stage], object]) -> list[str]:
        expected_at(self.newest_signed())
        return []

    def newest(self) -> Stage:
        return self._state.newest

    def newest_signed(self) -> Stage:
        return self._state.newest_signed

    def stage_up_to(self, size: int) -> Stage:
        return max((s for s in self._state.stages if s.size <= size), key=lambda s: s.size, default=EMPTY)

    def stages(self, start: int, end: int) -> list[Stage]:
        return [stage for stage in self._state.stages if start < stage.size <= end]

    def furthest(self, start: int, most: int) -> tuple[Stage, bytes] | None:
        state = self._state
        found = [s for s in state.stages if start < s.size <= start + most and s.size in state.signed]
        return (found[-1], state.signed[found[-1].size]) if found else None

    def signed(self, size: int) -> bytes | None:
        return self._state.signed.get(size)

    def sign(self, size: int, note: bytes, entries: Sequence[Entry]) -> bytes:
        entries = list(entries)
        self._write(lambda state: state.sign(size, note, entries))
        return self._state.signed[size]

    def witnessed(self, size: int) -> bytes | None:
        return self._state.witnessed.get(size)

    def witness(self, size: int, note: bytes) -> bytes:
        self._write(lambda state: state.witnessed.setdefault(size, note))
        return self._state.witnessed[size]

    def entries(self, start: int, end: int) -> list[bytes]:
        return self._state.entries[start:end]

    def all_entries(self, size: int | None = None) -> Iterator[bytes]:
        yield from self._state.entries[:size]

    def _write(self, change: Change) -> None:
        """Who is cut off meanwhile does not know whether it was written."""
        self._disk.wait()
        self._host.reach(PATIENCE)
        self._disk.write(change)


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


def is_answered(identity: bytes, intake: str, leaf: bytes, answers: Container[Answer]) -> bool:
    """Whether an entry is recorded, or refused in the very bytes with this leaf hash."""
    return Answer(identity, intake) in answers or Answer(identity, intake, leaf) in answers


@dataclass
class VaultState:
    """`answers`: what its entries are the answers to."""

    entries: list[bytes] = field(default_factory=list)
    heads: dict[int, cosign.Head] = field(default_factory=dict)
    newest: cosign.Head = cosign.EMPTY
    published: tuple[int, bytes] = (0, b"")
    answers: set[Answer] = field(default_factory=set)


class Store:
    """See `vault.custodian.storage.Store`; without what only witnesses, mirrors and scrubbing ask."""

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
            state.entries += entries
            state.answers.update(map(answer_of, entries))
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

    def observed(self, origin: str, line: str | None = None, most: int | None = None) -> cosign.Head:
        return cosign.EMPTY

    def observed_beyond(self, origin: str, size: int, most: int) -> list[cosign.Head]:
        return []

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
