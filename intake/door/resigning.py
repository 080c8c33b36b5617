"""What waits in the outbox under a key that was replaced, signed anew.

Tally takes no line by a key that does not count any more, so a ballot that waits with one would never be recorded,
though its voter holds a receipt. Its text, and so its identity, stays; only this intake's line over it changes, and the
leaf hash with it. Who handed it in and finds no such leaf hands it in again, and is given the receipt for this one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import BindParameter, Connection, LargeBinary, bindparam, delete, insert, select, text, update

from audit.log.keys import Signer
from audit.record.entries import Entry, parse_entry, seal
from infra import failpoints
from intake.door.schema import OFFERED_LONG_AGO, accepted, changing, outbox

PAGE = 256
"""What is signed in one transaction: while it lasts, some tenths of a second, nothing is passed on."""


@dataclass(frozen=True)
class Page:
    """How many were signed anew, and how many were left as they are because no key of this intake has signed them: who
    can write into the database gets no line for it here. `last`: the greatest identity that was looked at, None if
    there are none beyond it.
    """

    signed: int
    strange: int
    last: bytes | None


def sign_page(
    connection: Connection, origin: str, signer: Signer, is_ours: Callable[[Entry], bool], after: bytes
) -> Page:
    """Replaces this intake's line by another key than this, on what `is_ours` verifies, of the next that wait with
    identities greater than `after`. In the caller's transaction, whose commit then waits for the disk. A crash between
    two pages leaves some signed anew and some not, as one before the first: who begins, begins at the first.
    """
    connection.execute(text("SET LOCAL synchronous_commit TO on"))
    changing(connection, origin)
    here = outbox.c.origin == origin, outbox.c.kind.in_(("ballot", "reconcile")), outbox.c.identity > after
    query = select(outbox.c.entry, outbox.c.due, outbox.c.identity).where(*here).order_by(outbox.c.identity)
    rows = connection.execute(query.limit(PAGE)).all()
    old = [(entry, row.due) for row in rows if _is_of_another_key(entry := parse_entry(bytes(row.entry)), signer)]
    mine = [(entry, due) for entry, due in old if is_ours(entry)]
    if mine:
        _replace(connection, origin, [(parse_entry(seal(entry.text, [signer])), due) for entry, due in mine])
    failpoints.at("outbox.signing-again")
    return Page(len(mine), len(old) - len(mine), bytes(rows[-1].identity) if len(rows) == PAGE else None)


def _is_of_another_key(entry: Entry, signer: Signer) -> bool:
    (line,) = entry.signatures
    return line.name == signer.name and line.key_id != signer.verifier.key_id


def _replace(connection: Connection, origin: str, signed: Sequence[tuple[Entry, int]]) -> None:
    """Nobody has taken these away: whoever does waits for this transaction."""
    one: BindParameter[bytes] = bindparam("one", type_=LargeBinary)
    identities = [{"one": new.identity} for new, _ in signed]
    connection.execute(delete(outbox).where(outbox.c.origin == origin, outbox.c.identity == one), identities)
    rows = [
        {"origin": origin, "identity": new.identity, "kind": new.kind, "entry": new.raw, "puts": 0}
        # What the queue was never offered leaves in a batch, as before.
        | {"due": min(due, OFFERED_LONG_AGO)}
        for new, due in signed
    ]
    connection.execute(insert(outbox), rows)
    leaves = [{"one": new.identity, "hash": new.leaf} for new, _ in signed]
    known = accepted.c.origin == origin, accepted.c.identity == one
    connection.execute(update(accepted).where(*known).values(leaf=bindparam("hash", type_=LargeBinary)), leaves)
