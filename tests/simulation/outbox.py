"""An intake's database over a simulated disk: the outbox, as door and mover ask for it, and the index over the log."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from audit.log.keys import Signer
from audit.record.entries import Entry, parse_entry, seal
from audit.record.seen import MemorySeen
from infra import failpoints
from intake.door.mover import Waiting
from intake.door.outbox import LONGEST_MS, MAX_BACKOFF, NEVER, SET_BACK_MS, Accepted, Drained
from intake.door.resigning import Page
from intake.door.schema import OFFERED_LONG_AGO
from tests.simulation.disk import Change, Disk


class Owner(Protocol):
    """The intake whose outbox it is, told of what must not be."""

    def forgot(self, entry: Entry) -> None: ...

    def accounted(self) -> None: ...


class Row(NamedTuple):
    """An entry that waits to be passed on."""

    raw: bytes
    kind: str
    due: int = NEVER
    puts: int = 0


@dataclass
class OutboxState:
    """`ballots`: the identities of all that were ever accepted; `drained`: that of the account of them."""

    accepted: dict[bytes, Accepted] = field(default_factory=dict)
    ballots: set[bytes] = field(default_factory=set)
    waiting: dict[bytes, Row] = field(default_factory=dict)
    drained: bytes | None = None
    seen: MemorySeen = field(default_factory=MemorySeen)

    def take(self, entry: Entry, deadline: int) -> None:
        if entry.identity not in self.accepted:
            self.accepted[entry.identity] = Accepted(entry.identity, entry.leaf, deadline)
            self.waiting[entry.identity] = Row(entry.raw, entry.kind)
            if entry.kind == "ballot":
                self.ballots.add(entry.identity)

    def renew(self, entry: Entry, deadline: int) -> None:
        if entry.identity not in self.waiting:
            self.accepted[entry.identity] = Accepted(entry.identity, entry.leaf, deadline)
            self.waiting[entry.identity] = Row(entry.raw, entry.kind)

    def answered(self, identity: bytes, intake: str) -> bool:
        """Whether the log has recorded this ballot, or refused these very bytes."""
        refused = self.seen.refused(identity, intake)
        return self.seen.recorded(identity) == intake or self.accepted[identity].leaf in refused

    def settle(self, settled: Collection[tuple[bytes, str]]) -> None:
        for identity, kind in settled:
            if identity in self.waiting and self.waiting[identity].kind == kind:
                del self.waiting[identity]

    def hurry(self) -> None:
        offered = {identity: row for identity, row in self.waiting.items() if row.due > NEVER}
        self.waiting |= {identity: row._replace(due=OFFERED_LONG_AGO, puts=0) for identity, row in offered.items()}

    def sign_again(self, identity: bytes, new: Entry) -> None:
        if identity in self.waiting:
            self.waiting[identity] = Row(new.raw, new.kind, min(self.waiting[identity].due, OFFERED_LONG_AGO))
            self.accepted[identity] = Accepted(identity, new.leaf, self.accepted[identity].deadline)


class Connection:
    """What one transaction reads, and has changed when it is committed."""

    def __init__(self, state: OutboxState) -> None:
        self.state = state
        self.changes: list[Change] = []


class Engine:
    """As SQLAlchemy's, of this database."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        self._disk.check()
        yield Connection(self._disk.state)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Between what is decided and its commit others have their turn."""
        with self.connect() as connection:
            yield connection
        changes = connection.changes
        if changes:
            self._disk.wait()
            self._disk.write(lambda state: [change(state) for change in changes])


class DoorSeen:
    """The index over the log: `infra.seen.SqlSeen`."""

    def __init__(self, connection: Connection, origin: str) -> None:
        self._connection, self._added = connection, MemorySeen()

    def __enter__(self) -> DoorSeen:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def recorded(self, identity: bytes) -> str | None:
        found = self._added.recorded(identity)
        return self._connection.state.seen.recorded(identity) if found is None else found

    def refused(self, identity: bytes, intake: str) -> Collection[bytes]:
        before = self._connection.state.seen.refused(identity, intake)
        return {*self._added.refused(identity, intake), *before}

    def revision(self, pseudonym: bytes) -> int | None:
        known = (self._added.revision(pseudonym), self._connection.state.seen.revision(pseudonym))
        return max((revision for revision in known if revision is not None), default=None)

    def passed(self, intake: str) -> Sequence[bytes]:
        return sorted({*self._added.passed(intake), *self._connection.state.seen.passed(intake)})

    def counted(self) -> Sequence[bytes]:
        raise NotImplementedError

    def add(self, entry: Entry) -> None:
        self._added.add(entry)
        self._connection.changes.append(lambda state: state.seen.add(entry))


class Outbox:
    """See `intake.door.outbox.Outbox`."""

    def __init__(self, disk: Disk, owner: Owner) -> None:
        self._disk, self._owner = disk, owner

    @property
    def _state(self) -> OutboxState:
        self._disk.check()
        return self._disk.state

    def accept(self, entries: Sequence[tuple[Entry, int]]) -> list[Accepted | Drained]:
        # While many are stored, others have their turn: a ballot may come too late only here.
        self._disk.wait()
        state = self._state
        closed = state.drained is not None
        new = {entry.identity for entry, _ in entries if entry.identity not in state.accepted}
        kept = [one for one in entries if one[0].kind != "ballot" or not closed]

        def change(state: OutboxState) -> None:
            for entry, deadline in kept:
                state.take(entry, deadline)

        failpoints.at("outbox.committing")
        self._disk.write(change)
        failpoints.at("outbox.committed")
        found = [self._disk.state.accepted.get(entry.identity) for entry, _ in entries]
        return [Drained() if one is None else Accepted(*_fields(one), new=one.identity in new) for one in found]

    def find(self, identity: bytes) -> Accepted | None:
        return self._state.accepted.get(identity)

    def waits(self, identity: bytes) -> bool:
        return identity in self._state.waiting

    def renew(self, entry: Entry, deadline: int) -> Accepted:
        failpoints.at("outbox.renewing")
        self._disk.write(lambda state: state.renew(entry, deadline))
        failpoints.at("outbox.renewed")
        return self._disk.state.accepted[entry.identity]

    def settle(self, connection: Connection, settled: Collection[tuple[bytes, str]]) -> None:
        connection.changes.append(lambda state: state.settle(settled))

    def settle_refused(self, connection: Connection, refused: Collection[tuple[bytes, bytes]]) -> int:
        promised = {identity: connection.state.accepted.get(identity) for identity, _ in refused}
        known = [(identity, leaf, one.leaf) for identity, leaf in refused if (one := promised[identity]) is not None]
        self.settle(connection, [(identity, "ballot") for identity, leaf, ours in known if leaf == ours])
        return sum(leaf != ours for _, leaf, ours in known)

    def hurry(self, connection: Connection) -> None:
        connection.changes.append(lambda state: state.hurry())

    def learn(
        self, connection: Connection, entries: Sequence[Entry], deadline: int, is_ours: Callable[[Entry], bool]
    ) -> None:
        for entry in entries:
            if entry.identity not in connection.state.accepted and is_ours(entry):
                self._owner.forgot(entry)

    def holds(self, ballots: bool, most: int) -> bool:
        return sum((row.kind == "ballot") == ballots for row in self._state.waiting.values()) >= most

    def ballots(self) -> Iterator[bytes]:
        yield from [row.raw for row in self._state.waiting.values() if row.kind == "ballot"]

    def restored(self) -> bool:
        return False

    def drain(self, intake: str, account: Callable[[Iterator[bytes]], tuple[Entry, int]]) -> bool:
        state = self._state
        if state.drained is not None:
            return True
        ballots = [identity for identity, row in state.waiting.items() if row.kind == "ballot"]
        answered = [(identity, "ballot") for identity in ballots if state.answered(identity, intake)]
        if len(answered) < len(ballots):
            self._disk.write(lambda state: state.settle(answered))
            return False
        entry, deadline = account(iter(sorted(state.ballots)))

        def change(state: OutboxState) -> None:
            state.settle(answered)
            state.take(entry, deadline)
            state.drained = entry.identity

        failpoints.at("outbox.draining")
        self._disk.write(change)
        failpoints.at("outbox.drained")
        self._owner.accounted()
        return True

    def fresh(self, start: bytes, most: int) -> list[Waiting]:
        found = [Waiting(identity, row.raw) for identity, row in self._state.waiting.items() if row.due == NEVER]
        return sorted(found, key=lambda one: (one.identity < start, one.identity))[:most]

    def count_fresh(self, most: int) -> int:
        fresh = [row.kind == "ballot" for row in self._state.waiting.values() if row.due == NEVER]
        return min(most, sum(fresh) or len(fresh))

    def due_again(self, now: int, most: int) -> list[Waiting]:
        rows = self._state.waiting.items()
        due = [(row.due, one) for one, row in rows if NEVER < row.due <= now or row.due > now + SET_BACK_MS]
        return [Waiting(identity, self._state.waiting[identity].raw) for _, identity in sorted(due)[:most]]

    def offered(self, waiting: Sequence[Waiting], due: int) -> None:
        self._each(waiting, lambda row: row._replace(due=due))

    def passed_on(self, waiting: Sequence[Waiting], now: int, again_after: int) -> None:
        def again(row: Row) -> Row:
            due = now + min(again_after * 2**row.puts, max(again_after, LONGEST_MS))
            return row._replace(due=due, puts=min(row.puts + 1, MAX_BACKOFF))

        self._each(waiting, again)

    def _each(self, waiting: Sequence[Waiting], changed: Callable[[Row], Row]) -> None:
        same = [(one.identity, one.entry) for one in waiting]

        def change(state: OutboxState) -> None:
            rows = {one: state.waiting[one] for one, _ in same if one in state.waiting}
            state.waiting |= {one: changed(rows[one]) for one, raw in same if one in rows and rows[one].raw == raw}

        self._disk.write(change, sync=False)


def sign_page(
    connection: Connection, origin: str, signer: Signer, is_ours: Callable[[Entry], bool], after: bytes
) -> Page:
    """See `intake.door.resigning.sign_page`; all that wait are one page."""
    count = 0
    for identity, row in connection.state.waiting.items():
        if row.kind in ("ballot", "reconcile"):
            entry = parse_entry(row.raw)
            (line,) = entry.signatures
            if line.name == signer.name and line.key_id != signer.verifier.key_id and is_ours(entry):
                connection.changes.append(_signed_again(identity, parse_entry(seal(entry.text, [signer]))))
                count += 1
    failpoints.at("outbox.signing-again")
    return Page(count, 0, None)


def _signed_again(identity: bytes, new: Entry) -> Change:
    return lambda state: state.sign_again(identity, new)


def _fields(one: Accepted) -> tuple[Any, ...]:
    return one.identity, one.leaf, one.deadline
