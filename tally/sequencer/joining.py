"""The lines under one tree, of the log and of its custodians, joined into the one note that is published.

A custodian's answer is a stranger's: whatever else stands in it must not get into the note, for a note with a line too
many is refused by everybody, and would be stored and published for ever. So of the log and of each custodian exactly
one line of each key is taken, and the note has only one form: lines in the manifest's order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from audit.log.checkpoint import LogPolicy, cosigned_by, open_note
from audit.log.keys import Signature, Verifier
from audit.log.notes import Note
from audit.protocol.refused import Refused

Lines = tuple[Signature, ...]


def own_note(note: Note, policy: LogPolicy) -> Note:
    """The note with the log's lines alone, one of each key in the policy's order. Refused as `open_note`."""
    open_note(note, policy, witnessed=False)
    return Note(note.text, _one_each(note.signatures, policy.log))


def lines_under(note: Note, policy: LogPolicy) -> Sequence[Signature]:
    """The lines in a custodian's note that are not the log's."""
    log = {_key(key) for key in policy.log}
    return [line for line in note.signatures if (line.name, line.key_id) not in log]


def custodian_of(text: bytes, lines: Sequence[Signature], policy: LogPolicy) -> tuple[str, Lines]:
    """Whose lines over this tree a custodian has answered with, and the lines in the order of its keys.

    Refused `wrong-signers` unless they are one line of each key of one custodian of the manifest and nothing else;
    `bad-signature`; `not-witnessed` if they carry no time.
    """
    for name, keys in policy.custodians:
        if sorted((line.name, line.key_id) for line in lines) == sorted(map(_key, keys)):
            ordered = _one_each(lines, keys)
            if name not in cosigned_by(Note(text, ordered), policy):
                raise Refused("not-witnessed", f"the lines by {name} carry no time")
            return name, ordered
    raise Refused("wrong-signers", "the lines are not one of each key of one custodian of the manifest")


def join(own: Note, cosigned: Mapping[str, Lines], policy: LogPolicy) -> Note:
    """The log's own note with the lines of these custodians. Refused as `open_note`, if it would not be believed."""
    lines = [line for name, _ in policy.custodians for line in cosigned.get(name, ())]
    joined = Note(own.text, (*own.signatures, *lines))
    open_note(joined, policy, exact=True)
    return joined


def _one_each(lines: Sequence[Signature], keys: Sequence[Verifier]) -> Lines:
    # The first of each; true they all are, or the note would not have been opened.
    by_key = {(line.name, line.key_id): line for line in reversed(lines)}
    return tuple(by_key[_key(key)] for key in keys)


def _key(key: Verifier) -> tuple[str, bytes]:
    return key.name, key.key_id
