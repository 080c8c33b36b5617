"""What waits in the outbox under a key that was replaced, signed anew.

Tally takes no line by a key that does not count any more, so a ballot that waits with one would never be recorded,
though its voter holds a receipt. Its text, and so its identity, stays; only this intake's line over it changes, and the
leaf hash with it. Who handed it in and finds no such leaf hands it in again, and is given the receipt for this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sqlalchemy import Connection, delete, insert, select, text, update

from audit.log.keys import Signer
from audit.record.entries import Entry, parse_entry, seal
from infra import failpoints
from intake.door.schema import accepted, outbox

AT_ONCE = 1
"""When these are due that the queue may have seen: at once. What it was never offered leaves in a batch, as before."""
PAGE = 1024


def sign_again(
    connection: Connection, origin: str, signer: Signer, is_ours: Callable[[Entry], bool]
) -> tuple[int, int]:
    """Replaces this intake's line on whatever waits with another key's; how many that were, and how many were left as
    they are because no key of this intake has signed them, as `is_ours` verifies: who can write into the database gets
    no line for it here. In the caller's transaction, whose commit then waits for the disk.
    """
    connection.execute(text("SET LOCAL synchronous_commit TO on"))
    count = strange = 0
    for entry in _of_another_key(connection, origin, signer):
        if not is_ours(entry):
            strange += 1
            continue
        new = parse_entry(seal(entry.text, [signer]))
        one = outbox.c.origin == origin, outbox.c.identity == entry.identity
        # Only who holds a row may take it away: settled meanwhile, it is not put back.
        due = connection.scalar(delete(outbox).where(*one).returning(outbox.c.due))
        if due is not None:
            kept = {"identity": new.identity, "kind": new.kind, "entry": new.raw, "due": min(due, AT_ONCE), "puts": 0}
            connection.execute(insert(outbox).values(origin=origin, **kept))
            mine = accepted.c.origin == origin, accepted.c.identity == new.identity
            connection.execute(update(accepted).where(*mine).values(leaf=new.leaf))
            count += 1
    failpoints.at("outbox.signing-again")
    return count, strange


def _of_another_key(connection: Connection, origin: str, signer: Signer) -> Iterator[Entry]:
    """What waits with a line of this intake's name alone, by another key than this. A page at a time, for all of it may
    be more than memory holds; what is put back meanwhile has its place among those before.
    """
    page = select(outbox.c.identity, outbox.c.entry).where(
        outbox.c.origin == origin, outbox.c.kind.in_(("ballot", "reconcile"))
    )
    page, last = page.order_by(outbox.c.identity).limit(PAGE), b""
    while rows := connection.execute(page.where(outbox.c.identity > last)).all():
        for row in rows:
            entry = parse_entry(bytes(row.entry))
            (line,) = entry.signatures
            if line.name == signer.name and line.key_id != signer.verifier.key_id:
                yield entry
        last = bytes(rows[-1].identity)
