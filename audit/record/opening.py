"""What the opening says of key and rolls, so that who votes need read neither the rolls nor the ballots.

It repeats what follows from the log before it, which admission computes again; docs/adr/0012 says who answers for it to
a client that does not. Of each roll: its revision, without which no holder can compute its key, the generator and the
hash of the anonymous roll, how many rows it has, and, if it is mixed, the hash of the last mix and the least and the
greatest log index of its chunks. Chunks of other things, ballots never among them, may stand between these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.rolls import Roll

if TYPE_CHECKING:
    from audit.record.election import Election


class Span(NamedTuple):
    """Where the log holds the chunks of a mix that were recorded so far."""

    mix: str  # the hash of the whole, as it stands in JSON
    first: int
    last: int


def opening(election: Election) -> dict[str, Any]:
    """The fields "key" and "rolls" of the opening of this election. Refused `not-complete` while there is no key or
    some roll is not anonymous."""
    key = b64(election.Y.raw)
    rolls = {
        c.id: opened_roll(election.anonymous_roll(c.id), election.spans.get(c.id)) for c in election.manifest.classes
    }
    return {"key": key, "rolls": rolls}


def opened_roll(roll: Roll, span: Span | None) -> dict[str, Any]:
    held = {"generator": b64(roll.generator.raw), "hash": b64(roll.hash)}
    said = {**held, "revision": roll.revision, "rows": len(roll.rows)}
    return said if span is None else {**said, **span._asdict()}


def check_opening(election: Election, body: dict[str, Any]) -> None:
    """Refused `wrong-opening`, naming the first field that says otherwise than the log."""
    said, held = fields_of(body), fields_of(opening(election))
    for field in sorted({*said, *held}):
        if said.get(field) != held.get(field):
            raise Refused("wrong-opening", f"from the log it is {held.get(field, 'not there')}", field)


def fields_of(body: dict[str, Any]) -> dict[str, Any]:
    """Every value that the opening says of key and rolls, by its path."""
    rolls = {f"rolls.{c}.{name}": value for c, roll in body["rolls"].items() for name, value in roll.items()}
    return {"key": body["key"], **rolls}
