"""After a lost ledger, or in place of an old copy of it: the log is read back from the custodians, all of them, before
anything new is signed.

Any custodian may hold the longest tree that the log has signed. Were one left out, the log might sign a second tree of
the same size. So an empty ledger is taken as a new log, and an old one is continued, only when every custodian of the
manifest has answered; the officials' quorum can say which need not (`audit.record.restart`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice

from sqlalchemy.exc import SQLAlchemyError

from audit.log.merkle import CompactRange
from audit.log.notes import Note
from audit.log.treehead import parse_checkpoint
from audit.protocol.refused import Refused
from audit.record.election import Election
from audit.record.entries import parse_entry
from audit.record.manifest import Manifest
from audit.record.restart import Restart
from infra import log
from tally.sequencer.custodian import Custodian, Rejected, Unavailable
from tally.sequencer.joining import custodian_of, lines_under, own_note
from tally.sequencer.ledger import PAGE, Ledger, Stage, Transaction
from tally.sequencer.log_keys import MissingKey
from tally.sequencer.shown import shown_by

Sign = Callable[[Stage, Manifest], bytes]
NOBODY = Restart(frozenset(), 0)

_log = log.Log(
    "tally.adopt",
    asking=("custodian",),
    left_out=("custodian",),
    too_short=("size", "least"),
    adopted=("size",),
    not_adopted=("custodian", "kind"),
)


class WrongCopy(Exception):
    """A custodian's entries are not those of the head that it shows with the log's signatures."""


class Misplaced(Exception):
    """At the address of one custodian another answers."""


def survey(
    custodians: Sequence[Custodian], manifest: Manifest, pause: Callable[[], None], word: Restart = NOBODY
) -> Sequence[tuple[Custodian, Note]]:
    """The custodians that show the longest tree that the log signed, and the notes over it; none if all hold nothing.

    `custodians`, in the manifest's order, are asked until every one has answered, but for those that the officials'
    `word` leaves out, which are asked once; `pause` waits between two attempts and raises to give up. An answer that
    the log has not signed counts as none, since going on without that custodian's word would be guessing. So does a
    tree shorter than the officials know the log to have been. Misplaced.
    """
    while True:
        found: list[tuple[int, Custodian, Note]] = []
        for custodian, (name, _) in zip(custodians, manifest.log.custodians, strict=True):
            note = _ask(custodian, name, manifest, pause, once=name in word.without)
            if note is not None:
                found.append((parse_checkpoint(note.text).size, custodian, note))
        longest = max((size for size, _, _ in found), default=0)
        if longest >= word.least:
            return [(custodian, note) for size, custodian, note in found if size == longest]
        _log.error("too-short", size=longest, least=word.least)
        pause()


def _ask(custodian: Custodian, name: str, manifest: Manifest, pause: Callable[[], None], once: bool) -> Note | None:
    while True:
        try:
            note = custodian.held()
            if note is None:
                return None
            over = shown_by(custodian, note, manifest, CompactRange())
        except (Unavailable, Rejected, Refused):
            if once:
                _log.warning("left-out", custodian=custodian.label)
                return None
            _log.warning("asking", custodian=custodian.label)
            pause()
            continue
        # One whose own lines are false has shown what the log signed all the same.
        with suppress(Refused):
            answering, _ = custodian_of(note.text, lines_under(note, over.log), over.log)
            if answering not in successors(over, name):
                raise Misplaced(f"{custodian.label}: {answering} answers where {name} is expected")
        return note


def successors(manifest: Manifest, name: str) -> set[str]:
    """The custodian of this name in the manifest, and those that have taken its place since."""
    place = [other for other, _ in manifest.history[0].log.custodians].index(name)
    return {past.log.custodians[place][0] for past in manifest.history}


def adopt_any(
    ledger: Ledger, manifest: Manifest, showing: Sequence[tuple[Custodian, Note]], sign: Sign
) -> Custodian | None:
    """Fills the ledger up from the first of these custodians that has the entries of the tree it shows; None if none
    has, and then the ledger is as it was.

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
    """Fills the ledger up to the tree that `note` is over, with what it lacks of it read from the custodian, all of it
    or nothing. A ledger that holds as much already is left alone.

    It is staged in pages of 256, each signed as a beginning of the same tree, so that custodians that hold less can be
    sent the rest. WrongCopy; Refused, Rejected or Unavailable as the custodian gives cause.
    """
    head = parse_checkpoint(note.text)
    newest = ledger.newest()
    if newest.size >= head.size:
        return
    election = Election(manifest.hash)
    for raw in ledger.all_entries():
        election.apply_recorded(parse_entry(raw))
    entries = custodian.entries(head.size, election.size)
    with ledger.begin() as transaction:
        stages = list(_take_pages(transaction, election, entries))
        if (election.size, election.head.root()) != (head.size, head.root):
            raise WrongCopy(f"{custodian.label} does not hold the entries of the tree of {head.size} that it shows")
        # The keys that count over this tree the entries under it have told.
        own = own_note(note, election.manifest.log)
        # Only now: the log signs no beginning of a tree before it knows that it is one.
        for stage in stages:
            # One that only a key would sign that is no longer held stays unsigned: a custodian that lacks it is made
            # whole from its peers.
            with suppress(MissingKey):
                note_over = own.raw if stage.size == head.size else sign(stage, election.manifest)
                transaction.sign(stage.size, note_over)
    _log.info("adopted", size=head.size)


def _take_pages(transaction: Transaction, election: Election, entries: Iterator[bytes]) -> Iterator[Stage]:
    while page := list(islice(entries, PAGE)):
        old_size = election.size
        with transaction.seen() as seen:
            for raw in page:
                entry = parse_entry(raw)
                election.apply_recorded(entry)
                seen.add(entry)
        stage = Stage(old_size, election.size, election.head.root(), election.head.to_bytes())
        transaction.append(stage, page)
        yield stage
