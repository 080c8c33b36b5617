"""The ledger, as the sequencer asks for it, over a simulated disk and as far as its host reaches it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from audit.record.entries import Entry
from audit.record.seen import MemorySeen
from infra import failpoints
from tally.sequencer.ledger import EMPTY, Overtaken, Stage
from tests.simulation.disk import Change, Disk, failing
from tests.simulation.sessions import PATIENCE, Host, Server


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

    def newest_witnessed(self, most: int) -> tuple[int, bytes] | None:
        return max((one for one in self._state.witnessed.items() if one[0] <= most), default=None)

    def witnessed(self, size: int) -> bytes | None:
        return self._state.witnessed.get(size)

    def witness(self, size: int, note: bytes) -> bytes:
        self._write(lambda state: state.witnessed.setdefault(size, note))
        return self._state.witnessed[size]

    def entries(self, start: int, end: int) -> list[bytes]:
        return self._state.entries[start:end]

    def all_entries(self, size: int | None = None, first: int = 0) -> Iterator[bytes]:
        yield from self._state.entries[first:size]

    def _write(self, change: Change) -> None:
        """Who is cut off meanwhile does not know whether it was written."""
        self._disk.wait()
        self._host.reach(PATIENCE)
        self._disk.write(change)
