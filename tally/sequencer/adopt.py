"""After a lost ledger, or in place of an old copy of it: the log is read back from the custodians, all of them, before
anything new is signed.

Any custodian may hold the longest tree that the log has signed. Were one left out, the log might sign a second tree of
the same size. So an empty ledger is taken as a new log, and an old one is continued, only when every custodian of the
manifest has answered; the officials' quorum can say which need not (`audit.record.restart`).

What each of them shows must be a beginning of what is adopted: a tree that the log's stolen key has made, after it was
replaced or before, is not taken for the log, however long it is.

Believed is what W custodians have cosigned and one of them publishes. What goes beyond it has the log's signature
alone, and whoever has stolen that may have made it: it is checked and admitted in full, and a tree in which the rules
refuse something was not made by this program. It is not adopted, and stops nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from time import monotonic

from sqlalchemy.exc import SQLAlchemyError

from audit.log.checkpoint import open_note
from audit.log.merkle import CompactRange, leaf_hash
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
GRACE_SECONDS, PAGE_SECONDS = 60.0, 10.0
"""For how long one custodian's entries are waited for, and how much longer for each 256 that it has given."""

_log = log.Log(
    "tally.adopt",
    asking=("custodian",),
    left_out=("custodian",),
    misplaced=("custodian", "answering", "expected"),
    too_short=("size", "least"),
    adopted=("size",),
    replaced_key_signs=("custodian", "size"),
    not_adopted=("custodian", "kind"),
    inadmissible=("custodian", "index", "size", "reason"),
)


class WrongCopy(Exception):
    """A custodian's entries are not those of the head that it shows with the log's signatures."""


class Inadmissible(Exception):
    """The rules refuse entry `index` of a tree that the log's keys have signed."""

    def __init__(self, index: int, reason: str) -> None:
        self.index, self.reason = index, reason
        super().__init__(f"the rules refuse entry {index}: {reason}")


@dataclass(frozen=True)
class Showing:
    """The largest tree that a custodian shows, with the log's signatures, and the one that it publishes, if W have
    cosigned that; `left_out` by the officials' word.
    """

    custodian: Custodian
    note: Note
    head: Checkpoint
    left_out: bool = False
    published: Checkpoint | None = None


@dataclass
class _Adoption:
    """One attempt: `roots` of the trees that somebody shows, empty until they are reached; `believed`: so many entries
    are W custodians' word.
    """

    ledger: Ledger
    election: Election
    roots: dict[int, bytes]
    believed: int
    check: Callable[[], None]
    stages: list[Stage] = field(default_factory=list)


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
    would be guessing. So does what another custodian's keys have signed, and a tree shorter than the officials know the
    log to have been.
    """
    while True:
        found: list[Showing] = []
        for custodian, (name, _) in zip(custodians, manifest.log.custodians, strict=True):
            left_out = name in word.without
            peers = [peer for peer in custodians if peer is not custodian]

            def over(note: Note, custodian: Custodian = custodian, peers: Sequence[Custodian] = peers) -> Manifest:
                return shown_by(custodian, note, manifest, CompactRange(), peers, check)

            answer = _ask(custodian, name, over, pause, once=left_out)
            if answer is not None:
                note, by = answer
                found.append(Showing(custodian, note, parse_checkpoint(note.text), left_out, _published(custodian, by)))
        found.sort(key=lambda one: one.head.size, reverse=True)
        longest = found[0].head.size if found else 0
        if longest >= word.least:
            return found
        _log.error("too-short", size=longest, least=word.least)
        pause()


def _ask(
    custodian: Custodian, name: str, judged: Callable[[Note], Manifest], pause: Callable[[], None], once: bool
) -> tuple[Note, Manifest] | None:
    """What it shows, and the manifest with the keys that count over it."""
    while True:
        try:
            note = custodian.held()
            if note is None:
                return None
            over = judged(note)
            if _is_at_its_place(custodian, name, note, over):
                return note, over
        except (Unavailable, Rejected, Refused):
            pass
        if once:
            _log.warning("left-out", custodian=custodian.label)
            return None
        _log.warning("asking", custodian=custodian.label)
        pause()


def _is_at_its_place(custodian: Custodian, name: str, note: Note, over: Manifest) -> bool:
    # One whose own lines are false has shown what the log signed all the same.
    with suppress(Refused):
        answering, _ = custodian_of(note.text, lines_under(note, over.log), over.log)
        if answering not in successors(over, name):
            # The settings name the wrong address, or it repeats what another has said.
            said = {"answering": log.word(answering), "expected": log.word(name)}
            _log.error("misplaced", custodian=custodian.label, **said)
            return False
    return True


def _published(custodian: Custodian, over: Manifest) -> Checkpoint | None:
    """The tree that it publishes, if W custodians have cosigned that; `over`: with the keys over all that it holds."""
    with suppress(Unavailable, Rejected, Refused):
        note = custodian.published()
        return open_note(note, over.at(parse_checkpoint(note.text).size).log)
    return None


def adopt_any(
    ledger: Ledger,
    manifest: Manifest,
    showing: Sequence[Showing],
    sign: Sign,
    check: Callable[[], None] = lambda: None,
    least: int = 0,
) -> frozenset[Custodian] | None:
    """Fills the ledger up from the first of these custodians that has the entries of the tree it shows, which all
    others show a beginning of; None if none has, and then the ledger is as it was. A log of fewer than `least` entries
    is not gone on with.

    Returned are those whose trees the rules refuse: what they hold is not the log's, whoever signed it. The log's
    signatures say which entries are meant, so nobody need be believed: one that gives others is passed over. Fork if
    two show trees that do not continue each other.
    """
    fork: Fork | None = None
    inadmissible = set[Custodian]()
    for one in showing:
        size = max(one.head.size, ledger.newest().size)
        if size < least:
            _log.error("too-short", size=size, least=least)
            continue
        others = [other for other in showing if other.custodian not in inadmissible]
        try:
            adopt(ledger, manifest, one, others, sign, check)
            return frozenset(inadmissible)
        except (SQLAlchemyError, Stopped):
            raise
        except Inadmissible as error:
            reason, label = log.word(error.reason), one.custodian.label
            _log.error("inadmissible", custodian=label, index=error.index, size=one.head.size, reason=reason)
            inadmissible.add(one.custodian)
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
    sent the rest. WrongCopy; Inadmissible; Fork as `_check_shown`; Refused, Rejected or Unavailable as the custodian
    gives cause.
    """
    custodian, note, head = one.custodian, one.note, one.head
    published = [other.published for other in showing if other.published is not None and not other.left_out]
    roots = dict.fromkeys((*(other.head.size for other in showing), *(tree.size for tree in published)), b"")
    believed = max((tree.size for tree in published), default=0)
    made = _Adoption(ledger, Election(manifest.hash), roots, believed, check)
    election, signed, newest = made.election, ledger.newest_signed(), ledger.newest()
    for raw in ledger.all_entries(signed.size):
        election.apply_recorded(parse_entry(raw))
        _note_root(made)
    staged = ledger.entries(signed.size, newest.size)
    entries: Iterator[bytes] = iter(())
    if newest.size < head.size:
        # What is staged and not signed yet is a beginning of what is shown, or nothing is adopted.
        entries = chain(staged, _in_time(custodian.entries(head.size, newest.size)))
    else:
        for raw in staged:
            election.apply_recorded(parse_entry(raw))
            _note_root(made)
    with ledger.begin() as transaction:
        most = len(staged) or PAGE
        while page := list(islice(entries, most)):
            check()
            _take_page(made, transaction, one, page, entries)
            most = PAGE
        if made.stages and roots[head.size] != head.root:
            raise WrongCopy(f"{custodian.label} does not hold the entries of the tree of {head.size} that it shows")
        for other in showing:
            _check_shown(election, other, roots[other.head.size])
        for tree in published:
            if roots[tree.size] != tree.root:
                raise WrongCopy(f"W custodians have cosigned another tree of {tree.size} entries, or a longer one")
        if not made.stages:
            return
        # The keys that count over this tree the entries under it have told.
        own = own_note(note, election.manifest.log)
        # Only now: the log signs no beginning of a tree before it knows that it is one.
        for stage in made.stages:
            # One that only a key would sign that is no longer held stays unsigned: a custodian that lacks it is made
            # whole from its peers.
            with suppress(MissingKey):
                note_over = own.raw if stage.size == head.size else sign(stage, election.manifest)
                transaction.sign(stage.size, note_over)
    failpoints.at("sequencer.adopted")
    _log.info("adopted", size=head.size)


def _take_page(
    made: _Adoption, transaction: Transaction, one: Showing, page: Sequence[bytes], rest: Iterator[bytes]
) -> None:
    """Has these entries follow, as one stage. `rest`: those after them. Inadmissible if the rules refuse one of them
    and the tree with it is indeed the one that is shown, WrongCopy if it is not.
    """
    election = made.election
    stands, old_size = made.ledger.newest(), election.size
    with transaction.seen() as seen:
        for index, raw in enumerate(page):
            if election.size < made.believed:
                entry = parse_entry(raw)
                election.apply_recorded(entry)
            else:
                tree = CompactRange.from_bytes(election.head.to_bytes())
                try:
                    entry = parse_entry(raw)
                    election.take(entry, seen)
                except SQLAlchemyError:
                    raise
                except Exception as error:
                    tree.extend(map(leaf_hash, chain(page[index:], rest)))
                    if (tree.size, tree.root()) != (one.head.size, one.head.root):
                        text = f"{one.custodian.label} does not hold the entries of the tree that it shows"
                        raise WrongCopy(text) from None
                    reason = error.reason if isinstance(error, Refused) else type(error).__name__
                    raise Inadmissible(old_size + index, reason) from None
            _note_root(made)
            seen.add(entry)
    stage = Stage(old_size, election.size, election.head.root(), election.head.to_bytes())
    if stage.size > stands.size:
        transaction.append(stage, page)
    made.stages.append(stage)


def _in_time(entries: Iterator[bytes], clock: Callable[[], float] = monotonic) -> Iterator[bytes]:
    """These entries; Unavailable once whoever gives them has been waited for too long, for as many as they are."""
    waited, count = 0.0, 0
    while True:
        start = clock()
        raw = next(entries, None)
        waited += clock() - start
        if raw is None:
            return
        count += 1
        if waited > GRACE_SECONDS + PAGE_SECONDS * count / PAGE:
            raise Unavailable("too slow")
        yield raw


def _note_root(made: _Adoption) -> None:
    if made.election.size in made.roots:
        made.roots[made.election.size] = made.election.head.root()


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
