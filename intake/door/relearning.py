"""What an outbox that is older than the log learns again: after its database was restored from a copy, or was lost.

What the log holds under this intake's own line was promised here, whoever has forgotten it. Such an outbox is marked,
for good, as `restored`: it may have promised more than it knows. So it must not contradict what it said before its
loss: an account of ballots that is in the log, or on its way, is the only one, and no ballot comes after it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, any_, bindparam, delete, except_, exists, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA
from sqlalchemy.dialects.postgresql import insert as upsert

from audit.record.entries import Entry
from infra import failpoints
from infra.seen import passed, recorded, refused
from intake.door.schema import OFFERED_LONG_AGO, accepted, changing, drained, outbox, restored


@dataclass(frozen=True)
class Kept:
    """A promise as a copy holds it: `entry` is empty if it was settled, `drained` marks the account of ballots."""

    identity: bytes
    kind: str
    leaf: bytes
    deadline: int
    entry: bytes
    drained: bool


def put_back(connection: Connection, origin: str, page: Sequence[Kept]) -> int:
    """Takes in promises that are not known; how many. Their entries wait again, to be passed on at once."""
    rows = [
        {"origin": origin, "identity": one.identity, "kind": one.kind, "leaf": one.leaf, "deadline": one.deadline}
        for one in page
    ]
    statement = upsert(accepted).values(rows).on_conflict_do_nothing().returning(accepted.c.identity)
    new = {bytes(identity) for identity in connection.scalars(statement)}
    waiting = [
        {"origin": origin, "identity": one.identity, "kind": one.kind, "entry": one.entry}
        | {"due": OFFERED_LONG_AGO, "puts": 0}
        for one in page
        if one.entry and one.identity in new
    ]
    if waiting:
        connection.execute(upsert(outbox).on_conflict_do_nothing(), waiting)
    for one in page:
        if one.drained:
            note_drained(connection, origin, one.identity)
    return len(new)


def learn(
    connection: Connection, origin: str, entries: Sequence[Entry], deadline: int, is_ours: Callable[[Entry], bool]
) -> None:
    """Takes in, as promised and settled, those of these entries of the log that are not known here although this
    intake has signed them, as `is_ours` verifies; the account of ballots among them is the one that stands.
    """
    known = select(accepted.c.identity).where(accepted.c.origin == origin, _among([one.identity for one in entries]))
    there = {bytes(identity) for identity in connection.scalars(known)}
    # The same may be handed in at this moment: `Outbox.accept` takes the rows in this order, too.
    ordered = sorted(entries, key=lambda one: one.identity)
    new = [one for one in ordered if one.identity not in there and is_ours(one)]
    if not new:
        return
    rows = [
        {"origin": origin, "identity": one.identity, "kind": one.kind, "leaf": one.leaf, "deadline": deadline}
        for one in new
    ]
    connection.execute(upsert(accepted).on_conflict_do_nothing(), rows)
    for one in new:
        if one.kind == "reconcile":
            note_drained(connection, origin, one.identity)
    note_restored(connection, origin)
    failpoints.at("outbox.learning")


def note_drained(connection: Connection, origin: str, identity: bytes) -> None:
    connection.execute(upsert(drained).values(origin=origin, identity=identity).on_conflict_do_nothing())


def note_restored(connection: Connection, origin: str) -> None:
    """Marks the outbox as one that may have promised more than it knows."""
    connection.execute(upsert(restored).values(origin=origin).on_conflict_do_nothing())


def is_restored(connection: Connection, origin: str) -> bool:
    return connection.execute(select(1).where(restored.c.origin == origin)).first() is not None


def settle_answered(connection: Connection, origin: str, intake: str) -> None:
    """Removes ballots that the log has answered before they were handed in again, recorded, or refused in these very
    bytes: nothing new in it will settle them.
    """
    stands = exists().where(
        recorded.c.origin == origin, recorded.c.identity == outbox.c.identity, recorded.c.intake == intake
    )
    said_no = exists().where(
        refused.c.origin == origin,
        refused.c.identity == outbox.c.identity,
        refused.c.intake == intake,
        accepted.c.origin == origin,
        accepted.c.identity == outbox.c.identity,
        accepted.c.leaf == refused.c.leaf,
    )
    mine = outbox.c.origin == origin, outbox.c.kind == "ballot"
    changing(connection, origin)
    connection.execute(delete(outbox).where(*mine, or_(stands, said_no)))


def agrees(connection: Connection, origin: str, intake: str) -> bool:
    """Whether the ballots known here are exactly those that the log holds from this intake."""
    known = select(accepted.c.identity).where(accepted.c.origin == origin, accepted.c.kind == "ballot")
    held = passed(origin, intake)
    differences = (except_(held, known), except_(known, held))
    return all(connection.execute(difference.limit(1)).first() is None for difference in differences)


def _among(identities: Collection[bytes]) -> ColumnElement[bool]:
    return accepted.c.identity == any_(bindparam("identities", list(identities), type_=ARRAY(BYTEA)))
