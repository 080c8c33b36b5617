"""What intake has promised to pass on, in PostgreSQL. An entry is here before its receipt is given, and until the log
holds it.

Accepting, passing on and settling are each one transaction. A crash between two of them repeats a step, and every step
may be repeated: an entry passed on twice is recorded once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Insert,
    Select,
    Table,
    Text,
    Update,
    any_,
    bindparam,
    column,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA
from sqlalchemy.dialects.postgresql import insert as upsert

from audit.record.entries import Entry
from infra import failpoints
from intake.door.relearning import agrees, is_restored, learn, note_drained, settle_answered
from intake.door.schema import OFFERED_LONG_AGO, accepted, changing, drained, outbox

NEVER = 0
"""When an entry is due that was never offered to the queue."""
MAX_BACKOFF = 10
"""Doublings of the time after which an entry is passed on again, so that a tally that stands still is not flooded."""
LONGEST_MS = 3_600_000
"""The longest that time may become by doubling: what tally has lost is recorded an hour later, not a week."""
SET_BACK_MS = 7_200_000
"""Due later than this from now is nothing, ten of the longest batch waits included, but where a clock was set back."""
PAGE = 1024


@dataclass(frozen=True)
class Accepted:
    """What a receipt states: identity and leaf hash (32 bytes each) and deadline (POSIX seconds). `new` if it did not
    stand there before.
    """

    identity: bytes
    leaf: bytes
    deadline: int
    new: bool = False


@dataclass(frozen=True)
class Waiting:
    """An entry to be passed on."""

    identity: bytes
    entry: bytes


class Drained(Exception):
    """The account of all ballots has been handed in, so no ballot can be accepted any more."""


class CannotAccount(Exception):
    """This outbox was restored, and the log holds other ballots from this intake than it knows: no account of them
    would be true, and one may have been given before.
    """


class Outbox:
    """The outbox of the log `origin`. Methods raise SQLAlchemyError when the database cannot be used."""

    def __init__(self, engine: Engine, origin: str) -> None:
        self._engine = engine
        self._origin = origin

    def accept(self, entries: Sequence[tuple[Entry, int]]) -> list[Accepted | Drained]:
        """Stores entries with their deadlines; when it returns they are on disk.

        For each: what now stands under its identity, which is an earlier one if there was one; Drained for a ballot
        that is too late.
        """
        with self._engine.begin() as connection:
            # Whatever the role or the cluster is set to: the commit below waits for the disk. And the lock, shared by
            # all that accept, exclusive for `drain`: no ballot slips in behind the account of them, for the next
            # statement sees what was committed before the lock was had.
            on_disk = func.set_config("synchronous_commit", "on", True)
            connection.execute(select(on_disk, func.pg_advisory_xact_lock_shared(self._lock())))
            standing = self._insert(connection, entries)
            failpoints.at("outbox.committing")
        failpoints.at("outbox.committed")
        return [standing.get(entry.identity) or Drained() for entry, _ in entries]

    def find(self, identity: bytes) -> Accepted | None:
        """What was accepted under this identity."""
        with self._engine.connect() as connection:
            return self._standing(connection, [identity]).get(identity)

    def waits(self, identity: bytes) -> bool:
        """Whether what was accepted under this identity is still to be passed on, or again."""
        query = select(1).where(outbox.c.origin == self._origin, outbox.c.identity == identity)
        with self._engine.connect() as connection:
            return connection.execute(query).first() is not None

    def renew(self, entry: Entry, deadline: int) -> Accepted:
        """Takes an entry that was accepted once and does not wait any more, though nothing final has become of it: an
        act that tally refused as too early, or what somebody took out of here. It waits anew, with this deadline.
        Others may have signed an act this time, so it is another leaf that is promised. If it waits already, what waits
        stands. On disk when it returns.
        """
        one = (accepted.c.origin == self._origin, accepted.c.identity == entry.identity)
        with self._engine.begin() as connection:
            connection.execute(text("SET LOCAL synchronous_commit TO on"))
            again = upsert(outbox).values(self._waiting(entry)).on_conflict_do_nothing().returning(outbox.c.identity)
            if connection.execute(again).first():
                connection.execute(update(accepted).where(*one).values(deadline=deadline, leaf=entry.leaf))
            standing = self._standing(connection, [entry.identity])[entry.identity]
            failpoints.at("outbox.renewing")
        failpoints.at("outbox.renewed")
        return standing

    def settle(self, connection: Connection, settled: Collection[tuple[bytes, str]]) -> None:
        """Removes what the log is seen to hold, as entry or as refusal, given identity and kind, in the caller's
        transaction.
        """
        if settled:
            changing(connection, self._origin)
            one = tuple_(outbox.c.identity, outbox.c.kind).in_(settled)
            connection.execute(delete(outbox).where(outbox.c.origin == self._origin, one))

    def settle_refused(self, connection: Connection, refused: Collection[tuple[bytes, bytes]]) -> int:
        """Removes ballots that the log refuses, given the identity and leaf hash in each refusal, in the caller's
        transaction; how many refusals are of other bytes than were accepted. Those answer nothing: what was accepted
        waits on, and has its own answer.
        """
        if not refused:
            return 0
        identities = [identity for identity, _ in refused]
        promised = {one.identity: one.leaf for one in self._standing(connection, identities).values()}
        same = [(identity, "ballot") for identity, leaf in refused if promised.get(identity) == leaf]
        self.settle(connection, same)
        return sum(promised.get(identity, leaf) != leaf for identity, leaf in refused)

    def fresh(self, start: bytes, most: int) -> list[Waiting]:
        """Up to `most` entries that were never offered to the queue: those whose identities follow `start`, and from
        the first again when there are no more. In no order of arrival, which is not kept.
        """
        found: list[Waiting] = []
        with self._engine.connect() as connection:
            for part in (outbox.c.identity >= start, outbox.c.identity < start):
                query = _ENTRIES.where(outbox.c.origin == self._origin, outbox.c.due == NEVER, part)
                query = query.order_by(outbox.c.identity).limit(most - len(found))
                found += _waiting(connection, query)
        return found

    def count_fresh(self, most: int) -> int:
        """How many ballots were never offered to the queue, or if there are none, how many other entries: what is no
        ballot hides none. Counting ends at `most`.
        """
        mine = outbox.c.origin == self._origin, outbox.c.due == NEVER
        with self._engine.connect() as connection:
            for kind in (outbox.c.kind == "ballot", outbox.c.kind != "ballot"):
                rows = select(1).where(*mine, kind).limit(most)
                if found := connection.scalar(select(func.count()).select_from(rows.subquery())):
                    return found
        return 0

    def due_again(self, now: int, most: int) -> list[Waiting]:
        """Up to `most` entries that were offered to the queue and are to be passed on again at `now` (POSIX
        milliseconds), the longest due first; then those that are due so much later that the clock must have been set
        back since.
        """
        found: list[Waiting] = []
        with self._engine.connect() as connection:
            for due in (outbox.c.due.between(NEVER + 1, now), outbox.c.due > now + SET_BACK_MS):
                query = _ENTRIES.where(outbox.c.origin == self._origin, due).order_by(outbox.c.due, outbox.c.identity)
                found += _waiting(connection, query.limit(most - len(found)))
        return found

    def offered(self, waiting: Sequence[Waiting], due: int) -> None:
        """Notes, before these are put into the queue, that it has seen them; they are due again at `due` unless it says
        that it has stored them. What has been signed anew meanwhile it has not seen.
        """
        with self._engine.begin() as connection:
            changing(connection, self._origin)
            connection.execute(self._each(waiting).values(due=due))

    def passed_on(self, waiting: Sequence[Waiting], now: int, again_after: int) -> None:
        """Notes that these were put into the queue at `now`: they are due again after `again_after` milliseconds, and
        after twice as long each time, up to an hour. Not what has been signed anew meanwhile.
        """
        doubled = func.least(again_after * func.power(2, outbox.c.puts), max(again_after, LONGEST_MS))
        due = literal(now, BigInteger) + doubled
        with self._engine.begin() as connection:
            changing(connection, self._origin)
            again = self._each(waiting).values(due=due, puts=func.least(outbox.c.puts + 1, MAX_BACKOFF))
            connection.execute(again)

    def hurry(self, connection: Connection) -> None:
        """Makes all that was offered to the queue due at once, in the caller's transaction: nothing keeps the vote from
        being closed for longer than a tally that is there needs.
        """
        changing(connection, self._origin)
        offered = outbox.c.origin == self._origin, outbox.c.due > NEVER
        connection.execute(update(outbox).where(*offered).values(due=OFFERED_LONG_AGO, puts=0))

    def holds(self, ballots: bool, most: int) -> bool:
        """Whether as many ballots, or else as many other entries, wait."""
        kind = outbox.c.kind == "ballot" if ballots else outbox.c.kind != "ballot"
        query = select(1).where(outbox.c.origin == self._origin, kind).offset(most - 1).limit(1)
        with self._engine.connect() as connection:
            return connection.execute(query).first() is not None

    def ballots(self) -> Iterator[bytes]:
        """The entries of all ballots that the log does not hold yet."""
        query = select(outbox.c.entry).where(outbox.c.origin == self._origin, outbox.c.kind == "ballot")
        with self._engine.connect() as connection:
            yield from map(bytes, connection.scalars(query.execution_options(yield_per=PAGE)))

    def restored(self) -> bool:
        """Whether it may have promised more than it knows."""
        with self._engine.connect() as connection:
            return is_restored(connection, self._origin)

    def learn(
        self, connection: Connection, entries: Sequence[Entry], deadline: int, is_ours: Callable[[Entry], bool]
    ) -> None:
        """See `relearning.learn`; in the caller's transaction."""
        if entries:
            learn(connection, self._origin, entries, deadline, is_ours)

    def drain(self, intake: str, account: Callable[[Iterator[bytes]], tuple[Entry, int]]) -> bool:
        """Once every ballot is settled, stores the entry that accounts for them, and accepts no ballot ever after.

        `account` is given the identities of all ballots ever accepted, in ascending order, and returns the entry and
        its deadline. False while a ballot is still on its way; True if the account stands, also from before.
        CannotAccount.
        """
        with self._engine.begin() as connection:
            connection.execute(select(func.pg_advisory_xact_lock(self._lock())))
            if self._drained(connection):
                return True
            settle_answered(connection, self._origin, intake)
            ballots = select(1).where(outbox.c.origin == self._origin, outbox.c.kind == "ballot").limit(1)
            if connection.execute(ballots).first():
                return False
            if is_restored(connection, self._origin) and not agrees(connection, self._origin, intake):
                raise CannotAccount
            mine = accepted.c.origin == self._origin, accepted.c.kind == "ballot"
            query = select(accepted.c.identity).where(*mine).order_by(accepted.c.identity)
            found = connection.scalars(query.execution_options(yield_per=PAGE))
            entry, deadline = account(bytes(identity) for identity in found)
            self._insert(connection, [(entry, deadline)])
            note_drained(connection, self._origin, entry.identity)
            failpoints.at("outbox.draining")
        failpoints.at("outbox.drained")
        return True

    def _insert(self, connection: Connection, entries: Sequence[tuple[Entry, int]]) -> dict[bytes, Accepted]:
        # In the order in which `learn` takes the rows, too: of the same ones neither waits for the other in a circle.
        ordered = sorted(entries, key=lambda item: item[0].identity)
        given = {entry.identity: (entry, deadline) for entry, deadline in ordered}
        columns: dict[str, list[object]] = {
            "identity": list(given),
            "kind": [entry.kind for entry, _ in given.values()],
            "leaf": [entry.leaf for entry, _ in given.values()],
            "deadline": [deadline for _, deadline in given.values()],
            "entry": [entry.raw for entry, _ in given.values()],
        }
        new = {bytes(identity) for identity in connection.scalars(INSERT, {"origin": self._origin, **columns})}
        standing = {
            entry.identity: Accepted(entry.identity, entry.leaf, deadline, new=True)
            for entry, deadline in given.values()
            if entry.identity in new
        }
        return standing | self._standing(connection, [identity for identity in given if identity not in new])

    def _waiting(self, entry: Entry) -> dict[str, object]:
        kept = {"identity": entry.identity, "kind": entry.kind, "entry": entry.raw}
        return {"origin": self._origin, **kept, "due": NEVER, "puts": 0}

    def _standing(self, connection: Connection, identities: Sequence[bytes]) -> dict[bytes, Accepted]:
        if not identities:
            return {}
        columns = accepted.c.identity, accepted.c.leaf, accepted.c.deadline
        query = select(*columns).where(accepted.c.origin == self._origin, _among(identities, accepted))
        found = [Accepted(bytes(row.identity), bytes(row.leaf), row.deadline) for row in connection.execute(query)]
        return {one.identity: one for one in found}

    def _each(self, waiting: Sequence[Waiting]) -> Update:
        """Of what stands under these identities, what has these very bytes."""
        hashes = [hashlib.sha256(one.entry).digest() for one in waiting]
        same = func.sha256(outbox.c.entry) == any_(bindparam("hashes", hashes, type_=ARRAY(BYTEA)))
        return update(outbox).where(outbox.c.origin == self._origin, _among([one.identity for one in waiting]), same)

    def _drained(self, connection: Connection) -> bool:
        return connection.execute(select(1).where(drained.c.origin == self._origin)).first() is not None

    def _lock(self) -> ColumnElement[int]:
        return func.hashtextextended(self._origin, 0)


def _insert_statement() -> Insert:
    """One statement for a whole batch: what is not there yet goes into both tables, no ballot once all is drained."""
    origin = bindparam("origin", type_=Text)
    names = ["identity", "kind", "leaf", "deadline", "entry"]
    types: dict[str, Any] = dict(zip(names, (BYTEA(), Text(), BYTEA(), BigInteger(), BYTEA()), strict=True))
    arrays = [bindparam(name, type_=ARRAY(kind)) for name, kind in types.items()]
    rows = func.unnest(*arrays).table_valued(*(column(name, kind) for name, kind in types.items()), name="given")
    given = rows.render_derived()
    closed = exists().where(drained.c.origin == origin)
    fresh = select(origin, given.c.identity, given.c.kind, given.c.leaf, given.c.deadline)
    kept = fresh.where(or_(given.c.kind != "ballot", ~closed))
    names = ["origin", "identity", "kind", "leaf", "deadline"]
    new = upsert(accepted).from_select(names, kept).on_conflict_do_nothing().returning(accepted.c.identity).cte("new")
    waiting = select(origin, given.c.identity, given.c.kind, given.c.entry, literal(NEVER), literal(0))
    both = waiting.join_from(given, new, new.c.identity == given.c.identity)
    names = ["origin", "identity", "kind", "entry", "due", "puts"]
    return insert(outbox).from_select(names, both).returning(outbox.c.identity)


INSERT = _insert_statement()
_ENTRIES = select(outbox.c.identity, outbox.c.entry)


def _waiting(connection: Connection, query: Select[tuple[bytes, bytes]]) -> list[Waiting]:
    return [Waiting(bytes(row.identity), bytes(row.entry)) for row in connection.execute(query)]


def _among(identities: Collection[bytes], table: Table = outbox) -> ColumnElement[bool]:
    return table.c.identity == any_(bindparam("identities", list(identities), type_=ARRAY(BYTEA)))
