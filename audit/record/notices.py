"""Notices: what somebody in office says for the record. A notice proves nothing and changes nothing; it stands in the
log under its signers' names, so that nobody can deny or alter it later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from audit.protocol.refused import Refused
from audit.record.entries import Entry
from audit.record.seen import Seen

if TYPE_CHECKING:
    from audit.record.election import Election

DESTROYED = "register-destroyed"


@dataclass(frozen=True)
class Notice:
    """What `signers` have said about `subject`, one of `bodies.NOTICES`."""

    signers: tuple[str, ...]
    subject: str
    text: str


def admit_notice(election: Election, entry: Entry, seen: Seen) -> None:
    """An issuer says once that its register is destroyed, and not while an account of it may still be asked for."""
    if entry.fields["subject"] != DESTROYED:
        return
    if election.phase != "certified":
        text = f"a register is kept until the result is certified; the election is {election.phase} now"
        raise Refused("wrong-phase", text, "subject")
    if any((notice.subject, notice.signers) == (DESTROYED, signers_of(entry)) for notice in election.notices):
        raise Refused("duplicate", f"{signers_of(entry)[0]} has said so already", "subject")


def apply_notice(election: Election, entry: Entry) -> None:
    election.notices.append(Notice(signers_of(entry), entry.fields["subject"], entry.fields["text"]))


def signers_of(entry: Entry) -> tuple[str, ...]:
    return tuple(line.name for line in entry.signatures)
