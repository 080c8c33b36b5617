"""After a lost ledger, or in place of an old copy of it: the log is read back from the custodians, all of them, before
anything new is signed.

Any custodian may hold the longest tree that the log has signed. Were one left out, the log might sign a second tree of
the same size. So an empty ledger is taken as a new log, and an old one is continued, only when every custodian of the
manifest has answered; the officials' quorum can say which need not (`audit.record.restart`).

What each of them shows must be a beginning of what is adopted: a tree that the log's stolen key has made, after it was
replaced or before, is not taken for the log, however long it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from sqlalchemy.exc import SQLAlchemyError

from audit.log.checkpoint import open_note
from audit.log.merkle import CompactRange
from audit.log.notes import Note
from audit.log.treehead import Checkpoint, parse_checkpoint
from audit.protocol.refused import Refused
from audit.record.election import Election
from audit.record.entries import parse_entry
from audit.record.manifest import Manifest
from audit.record.restart import Restart
from infra import failpoints, log
from tally.sequencer.custodian import Custodian, Rejected, Unavailable
from tally.sequencer.joining import custodian_of, lines_under, own_note
from tally.sequencer.ledger import PAGE, Ledger, Stage, Transaction
from tally.sequencer.log_keys import MissingKey
from tally.sequencer.push import Fork, Stopped
from tally.sequencer.shown import shown_by, successors

Sign = Callable[[Stage, Manifest], bytes]
NOBODY = Restart(frozenset(), 0)

_log = log.Log(
    "tally.adopt",
    asking=("custodian",),
    left_out=("custodian",),
    too_short=("size", "least"),
    adopted=("size",),
    replaced_key_signs=("custodian", "size"),
    not_adopted=("custodian", "kind"),
)


class WrongCopy(Exception):
    """A custodian's entries are not those of the head that it shows with the log's signatures."""


class Misplaced(Exception):
    """At the address of one custodian another answers."""


@dataclass(frozen=True)
class Showing:
    """The largest tree that a custodian shows, with the log's signatures; `left_out` by the officials' word."""

    custodian: Custodian
    note: Note
    head: Checkpoint
    left_out: bool = False


def survey(
    custodians: Sequence[Custodian],
    manifest: Manifest,
    pause: Callable[[], None],
    word: Restart = NOBODY,
    check: Callable[[], None] = lambda: None,
) -> Sequence[Showing]:
    """What the custodians show, each the largest tree that the log signed, the longest first; none if all hold nothing.

    `custodians`, in the manifest's order, are asked until every one has answered, but for those that the officials'
    `word` leaves out, which are asked once; `pause` waits between two attempts and raises to give up, as `check` does
    without waiting. An answer that the log has not signed counts as none, since going on without that custodian's word
    would be guessing. So does a tree shorter than the officials know the log to have been. Misplaced.
    """
    while True:
        found: list[Showing] = []
        for custodian, (name, _) in zip(custodians, manifest.log.custodians, strict=True):
            left_out = name in word.without
            peers = [peer for peer in custodians if peer is not custodian]

            def over(note: Note, custodian: Custodian = custodian, peers: Sequence[Custodian] = peers) -> Manifest:
                return shown_by(custodian, note, manifest, CompactRange(), peers, check)

            note = _ask(custodian, name, over, pause, once=left_out)
            if note is not None:
                found.append(Showing(custodian, note, parse_checkpoint(note.text), left_out))
        found.sort(key=lambda one: one.head.size, reverse=True)
        longest = found[0].head.size if found else 0
        if longest >= word.least:
            return found
        _log.error("too-short", size=longest, least=word.least)
        pause()


def _ask(
    custodian: Custodian, name: str, judged: Callable[[Note], Manifest], pause: Callable[[], None], once: bool
) -> Note | None:
    while True:
        try:
            note = custodian.held()
            if note is None:
                return None
            over = judged(note)
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


def adopt_any(
    ledger: Ledger,
    manifest: Manifest,
    showing: Sequence[Showing],
    sign: Sign,
    check: Callable[[], None] = lambda: None,
) -> Custodian | None:
    """Fills the ledger up from the first of these custodians that has the entries of the tree it shows, which all
    others show a beginning of; None if none has, and then the ledger is as it was.

    The log's signatures say which entries are meant, so nobody need be believed: one that gives others is passed over.
    Fork if two show trees that do not continue each other.
    """
    fork: Fork | None = None
    for one in showing:
        try:
            adopt(ledger, manifest, one, showing, sign, check)
            return one.custodian
        except (SQLAlchemyError, Stopped):
            raise
        except Fork as error:
            # The log may be what a shorter one shows, if the longer is by a key that an entry there has replaced.
            fork = fork or error
        except Exception as error:
            # WrongCopy, Unavailable, Rejected, or whatever its entries made the rules stumble over.
            _log.error("not-adopted", custodian=one.custodian.label, kind=log.word(type(error).__name__))
    if fork is not None:
        raise fork
    return None


def adopt(
    ledger: Ledger,
    manifest: Manifest,
    one: Showing,
    showing: Sequence[Showing],
    sign: Sign,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Fills the ledger up to the tree that this custodian shows, with what it lacks of it read from there, all of it or
    nothing. A ledger that holds as much already is left as it is, if what all show is a beginning of it.

    It is staged in pages of 256, each signed as a beginning of the same tree, so that custodians that hold less can be
    sent the rest. WrongCopy; Fork as `_check_shown`; Refused, Rejected or Unavailable as the custodian gives cause.
    """
    custodian, note, head = one.custodian, one.note, one.head
    election = Election(manifest.hash)
    roots = dict.fromkeys((other.head.size for other in showing), b"")
    for raw in ledger.all_entries():
        election.apply_recorded(parse_entry(raw))
        _note_root(election, roots)
    entries = custodian.entries(head.size, election.size)
    with ledger.begin() as transaction:
        stages = list(_take_pages(transaction, election, entries, roots, check))
        if stages and roots[head.size] != head.root:
            raise WrongCopy(f"{custodian.label} does not hold the entries of the tree of {head.size} that it shows")
        for other in showing:
            _check_shown(election, other, roots[other.head.size])
        if not stages:
            return
        # The keys that count over this tree the entries under it have told.
        own = own_note(note, election.manifest.log)
        # Only now: the log signs no beginning of a tree before it knows that it is one.
        for stage in stages:
            # One that only a key would sign that is no longer held stays unsigned: a custodian that lacks it is made
            # whole from its peers.
            with suppress(MissingKey):
                note_over = own.raw if stage.size == head.size else sign(stage, election.manifest)
                transaction.sign(stage.size, note_over)
    failpoints.at("sequencer.adopted")
    _log.info("adopted", size=head.size)


def _take_pages(
    transaction: Transaction,
    election: Election,
    entries: Iterator[bytes],
    roots: dict[int, bytes],
    check: Callable[[], None],
) -> Iterator[Stage]:
    while page := list(islice(entries, PAGE)):
        check()
        old_size = election.size
        with transaction.seen() as seen:
            for raw in page:
                entry = parse_entry(raw)
                election.apply_recorded(entry)
                _note_root(election, roots)
                seen.add(entry)
        stage = Stage(old_size, election.size, election.head.root(), election.head.to_bytes())
        transaction.append(stage, page)
        yield stage


def _note_root(election: Election, roots: dict[int, bytes]) -> None:
    if election.size in roots:
        roots[election.size] = election.head.root()


def _check_shown(election: Election, other: Showing, root: bytes) -> None:
    """What another shows is a beginning of the tree that is adopted, by the keys that count there; `root`: that of so
    many entries, none if there are fewer. Who is left out does not matter, nor what only keys have signed that an entry
    of this tree has replaced: who has stolen them can make any tree. WrongCopy if the other tree is longer, Fork.
    """
    manifest, head = election.manifest, other.head
    if other.left_out or (root == head.root and _signs(manifest.at(head.size), other.note)):
        return
    if any(past.log.log != manifest.log.log and _signs(past, other.note) for past in manifest.history):
        _log.error("replaced-key-signs", custodian=other.custodian.label, size=head.size)
        return
    if not root:
        raise WrongCopy(f"{other.custodian.label} shows a longer tree, of {head.size} entries")
    raise Fork(f"{other.custodian.label} shows another tree of {head.size} entries, signed by this log's keys")


def _signs(manifest: Manifest, note: Note) -> bool:
    with suppress(Refused):
        open_note(note, manifest.log, witnessed=False)
        return True
    return False
