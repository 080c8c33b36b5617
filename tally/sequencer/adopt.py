"""After a lost ledger: the log is read back from the custodians, all of them, before anything new is signed.

Any custodian may hold the longest tree that the log has signed. Were one left out, the log might sign a second tree of
the same size. So an empty ledger is taken as a new log only if every custodian of the manifest answers and holds
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from audit.log.checkpoint import open_note
from audit.log.notes import Note
from audit.protocol.refused import Refused
from audit.record.election import Election
from audit.record.entries import parse_entry
from audit.record.manifest import Manifest
from infra import log
from infra.seen import SqlSeen
from tally.sequencer.custodian import Custodian, Rejected, Unavailable
from tally.sequencer.joining import own_note
from tally.sequencer.ledger import PAGE, Ledger, Stage

Sign = Callable[[Stage], bytes]

_log = log.Log("tally.adopt", asking=("custodian",), adopted=("size",), not_adopted=("custodian", "kind"))


class WrongCopy(Exception):
    """A custodian's entries are not those of the head that it shows with the log's signatures."""


def survey(
    custodians: Sequence[Custodian], manifest: Manifest, pause: Callable[[], None]
) -> Sequence[tuple[Custodian, Note]]:
    """The custodians that show the longest tree that the log signed, and the notes over it; none if all hold nothing.

    Asks until every one has answered; `pause` waits between two attempts and raises to give up. An answer that the log
    has not signed counts as none, since going on without that custodian's word would be guessing.
    """
    found: list[tuple[int, Custodian, Note]] = []
    for custodian in custodians:
        while True:
            try:
                note = custodian.held()
                if note:
                    found.append((open_note(note, manifest.log, witnessed=False).size, custodian, note))
                break
            except (Unavailable, Rejected, Refused):
                _log.warning("asking", custodian=custodian.label)
                pause()
    longest = max((size for size, _, _ in found), default=0)
    return [(custodian, note) for size, custodian, note in found if size == longest]


def adopt_any(
    ledger: Ledger, manifest: Manifest, showing: Sequence[tuple[Custodian, Note]], sign: Sign
) -> Custodian | None:
    """Fills an empty ledger from the first of these custodians that has the entries of the tree it shows; None if none
    has, and then the ledger is still empty.

    The log's signatures say which entries are meant, so nobody need be believed: one that gives others is passed over.
    """
    for custodian, note in showing:
        try:
            adopt(ledger, manifest, custodian, note, sign)
            return custodian
        except SQLAlchemyError:
            raise
        except Exception as error:
            # WrongCopy, Unavailable, Rejected, or whatever its entries made the rules stumble over.
            _log.error("not-adopted", custodian=custodian.label, kind=log.word(type(error).__name__))
    return None


def adopt(ledger: Ledger, manifest: Manifest, custodian: Custodian, note: Note, sign: Sign) -> None:
    """Fills an empty ledger with the tree that `note` is over, read from the custodian, all of it or nothing.

    It is staged in pages of 256, each signed as a beginning of the same tree, so that custodians that hold less can be
    sent the rest. WrongCopy; Refused, Rejected or Unavailable as the custodian gives cause.
    """
    own = own_note(note, manifest.log)
    head = open_note(own, manifest.log, witnessed=False)
    election = Election(manifest.hash)
    entries = iter(custodian.entries(head.size))
    with ledger.engine.begin() as connection:
        stages: list[Stage] = []
        while page := list(islice(entries, PAGE)):
            stages.append(_take_page(ledger, connection, election, page))
        if (election.size, election.head.root()) != (head.size, head.root):
            raise WrongCopy(f"{custodian.label} does not hold the entries of the tree of {head.size} that it shows")
        # Only now: the log signs no beginning of a tree before it knows that it is one.
        for stage in stages:
            ledger.sign_within(connection, stage.size, own.raw if stage.size == head.size else sign(stage))
    _log.info("adopted", size=head.size)


def _take_page(ledger: Ledger, connection: Connection, election: Election, page: Sequence[bytes]) -> Stage:
    old_size = election.size
    with SqlSeen(connection, ledger.origin) as seen:
        for raw in page:
            entry = parse_entry(raw)
            election.apply_recorded(entry)
            seen.add(entry)
    stage = Stage(old_size, election.size, election.head.root(), election.head.to_bytes())
    ledger.append(connection, stage, page)
    return stage
