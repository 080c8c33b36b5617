"""After a lost ledger, or in place of an old copy of it: the log is read back from the custodians, all of them, before
anything new is signed.

Any custodian may hold the longest tree that the log has signed. Were one left out, the log might sign a second tree of
the same size. So an empty ledger is taken as a new log, and an old one is continued, only when every custodian of the
manifest has answered; the officials' quorum can say which need not (`audit.record.restart`).

What each of them shows must be a beginning of what is adopted, or contradict what W of them hold: a tree that the log's
stolen keys have made, after they were replaced or before, is not taken for the log, however long it is, and stops
nobody.

Believed is what W custodians have cosigned and one of them publishes. What goes beyond it has the log's signature
alone, and whoever has stolen that may have made it: it is checked and admitted in full, and a tree in which the rules
refuse something was not made by this program. It is not adopted, and stops nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, islice

from sqlalchemy.exc import SQLAlchemyError

from audit.log.merkle import CompactRange, leaf_hash
from audit.log.notes import Note
from audit.log.treehead import Checkpoint
from audit.protocol.refused import Refused
from audit.record.election import Election
from audit.record.entries import parse_entry
from audit.record.manifest import Manifest
from audit.record.restart import Restart
from infra import failpoints, log
from tally.sequencer.courier import Fork
from tally.sequencer.custodian import Custodian, Rejected, Unavailable
from tally.sequencer.joining import own_note
from tally.sequencer.ledger import PAGE, Ledger, Stage, Transaction
from tally.sequencer.log_keys import MissingKey
from tally.sequencer.push import Stopped
from tally.sequencer.reading import checked, in_time
from tally.sequencer.shown import signs
from tally.sequencer.signed_root import START_EMPTY, signed_root
from tally.sequencer.survey import NOBODY, Showing

Sign = Callable[[Stage, Manifest], bytes]
Awaits = Callable[[Collection[Custodian]], None]
Tell = Callable[[str, Note, int], None]
"""Is given who shows a tree by the log's keys that is not the log's, the note, and its size."""

_log = log.Log(
    "tally.adopt",
    too_short=("size", "least"),
    adopted=("size",),
    replaced_key_signs=("custodian", "size"),
    not_adopted=("custodian", "kind"),
    claims_more=("custodian", "size"),
    inadmissible=("custodian", "index", "size", "reason"),
)


class WrongCopy(Exception):
    """A custodian's entries are not those of the head that it shows with the log's signatures."""


class Claimed(Exception):
    """This custodian shows a tree of `size` entries that is longer than what can be adopted."""

    def __init__(self, custodian: Custodian, size: int) -> None:
        self.custodian, self.size = custodian, size
        super().__init__(f"{custodian.label} shows a longer tree, of {size} entries")


class Contradicted(Exception):
    """A tree that the log's keys have signed is not what W custodians hold."""


class Inadmissible(Exception):
    """The rules refuse entry `index` of a tree that the log's keys have signed."""

    def __init__(self, index: int, reason: str) -> None:
        self.index, self.reason = index, reason
        super().__init__(f"the rules refuse entry {index}: {reason}")


@dataclass
class _Adoption:
    """One attempt: `roots` of the trees that somebody shows, empty until they are reached; `believed`: so many entries
    are W custodians' word; `held`: so many the ledger's own; `patient`: what is beyond may take as long to be checked.
    """

    ledger: Ledger
    election: Election
    roots: dict[int, bytes]
    believed: int
    held: int
    patient: bool
    check: Callable[[], None]
    forked: Tell
    stages: list[Stage] = field(default_factory=list)


def adopt_any(
    ledger: Ledger,
    manifest: Manifest,
    showing: Sequence[Showing],
    sign: Sign,
    check: Callable[[], None] = lambda: None,
    word: Restart = NOBODY,
    whole: bool = False,
    awaits: Awaits = lambda custodians: None,
    forked: Tell = lambda label, note, size: None,
) -> bool:
    """Fills the ledger up from the first of these custodians that has the entries of the tree it shows, which the
    others show a beginning of; False if none has, and then the ledger is as it was. A log of fewer entries than the
    officials' `word` says is not gone on with; where that leaves somebody out, who is left may be the only one with
    what was published, and who floods it can be left out by the next. `whole`: nothing but what they show says that the
    ledger is an old copy. `awaits` is told who shows more than it gives, if that is why nothing is adopted; `forked`,
    who shows what the log's keys should not have signed.

    What the rules refuse, or W custodians' word contradicts, is not the log's, whoever signed it; where W others hold
    nothing and it is not published, the ledger is gone on with as it is. The log's signatures say which entries are
    meant, so nobody need be believed: one that gives others is passed over. Fork if two show trees that do not continue
    each other, and W custodians have not decided which is the log's; or if it is the ledger itself that is not what
    they show.
    """
    fork: Fork | None = None
    dead, claiming = set[Custodian](), set[Custodian]()
    for one in showing:
        label, size = one.custodian.label, max(one.head.size, ledger.newest().size)
        if size < word.least:
            _log.error("too-short", size=size, least=word.least)
            continue
        others = [other for other in showing if other.custodian not in dead]
        try:
            patient = bool(word.without) and not one.left_out
            adopt(ledger, manifest, one, others, sign, check, whole, patient, forked)
            return True
        except (SQLAlchemyError, Stopped):
            raise
        except Inadmissible as error:
            _log.error(
                "inadmissible", custodian=label, index=error.index, size=one.head.size, reason=log.word(error.reason)
            )
            dead.add(one.custodian)
        except Contradicted:
            forked(label, one.note, one.head.size)
            dead.add(one.custodian)
        except Claimed as error:
            _log.error("claims-more", custodian=error.custodian.label, size=error.size)
            claiming.add(error.custodian)
        except Fork as error:
            # The log may be what a shorter one shows, if the longer is by a key that an entry there has replaced.
            fork = fork or error
        except Exception as error:
            # WrongCopy, Unavailable, Rejected, or whatever its entries made the rules stumble over.
            _log.error("not-adopted", custodian=label, kind=log.word(type(error).__name__))
    if fork is not None:
        raise fork
    speak = len(word.without) + sum(not one.left_out for one in showing)
    if (
        len(manifest.log.custodians) - speak >= manifest.log.W
        and ledger.newest().size >= word.least
        and all(one.custodian in dead and _publishes_nothing(one.custodian) for one in showing)
    ):
        # W others hold nothing, so nothing can have been published: as if these held nothing, too.
        for one in showing:
            forked(one.custodian.label, one.note, one.head.size)
        return True
    awaits(claiming)
    return False


def adopt(
    ledger: Ledger,
    manifest: Manifest,
    one: Showing,
    showing: Sequence[Showing],
    sign: Sign,
    check: Callable[[], None] = lambda: None,
    whole: bool = False,
    patient: bool = False,
    forked: Tell = lambda label, note, size: None,
) -> None:
    """Fills the ledger up to the tree that this custodian shows, with what it lacks of it read from there, all of it or
    nothing. A ledger that holds as much already is left as it is, if what all show is a beginning of it. `patient`: as
    `in_time`.

    It is staged in pages of 256, each signed as a beginning of the same tree, so that custodians that hold less can be
    sent the rest. WrongCopy; Inadmissible; Claimed, Contradicted and Fork as `_check_shown`; Fork also if what is
    staged and not signed is no beginning of it, since the tables have no place for another; Refused, Rejected or
    Unavailable as the custodian gives cause.
    """
    custodian, note, head = one.custodian, one.note, one.head
    published = [other.published for other in showing if other.published is not None and not other.left_out]
    roots = dict.fromkeys((*(other.head.size for other in showing), *(tree.size for tree in published)), b"")
    believed = max((tree.size for tree in published), default=0)
    signed, newest = ledger.newest_signed(), ledger.newest()
    made = _Adoption(ledger, Election(manifest.hash), roots, believed, newest.size, patient, check, forked)
    election = made.election
    for raw in ledger.all_entries(signed.size):
        election.apply_recorded(parse_entry(raw))
        _note_root(made)
    staged = ledger.entries(signed.size, newest.size)
    entries: Iterator[bytes] = iter(())
    if newest.size <= head.size and staged and list(custodian.entries(newest.size, signed.size)) != staged:
        _expect_wrong_copy(made, one, signed)
        raise Fork(
            f"the ledger ends in a stage of {newest.size} entries that was never signed and is not the log's, if what "
            f"{custodian.label} shows is: {START_EMPTY}"
        )
    if newest.size < head.size:
        beyond = custodian.entries(head.size, newest.size)
        entries = chain(staged, in_time(beyond, max(0, believed - newest.size), patient))
    else:
        for raw in staged:
            election.apply_recorded(parse_entry(raw))
            _note_root(made)
    # Whoever takes over from one that is stopped meanwhile writes the same rows.
    with ledger.begin() as transaction, transaction.lasting(check):
        most = len(staged) or PAGE
        while page := list(islice(entries, most)):
            check()
            _take_page(made, transaction, one, page, entries)
            most = PAGE
        if made.stages and roots[head.size] != head.root:
            raise WrongCopy(f"{custodian.label} does not hold the entries of the tree of {head.size} that it shows")
        for tree in published:
            if not roots[tree.size]:
                raise WrongCopy(f"W custodians have cosigned a longer tree, of {tree.size} entries")
            if roots[tree.size] != tree.root:
                text = f"W custodians have cosigned another tree of {tree.size} entries"
                if tree.size <= made.held:
                    # It is no fault of who is asked.
                    raise Fork(f"{text} than the ledger has: {START_EMPTY}")
                raise Contradicted(text)
        _check_shown(made, one, [other for other in showing if not other.left_out], published, whole)
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


def _publishes_nothing(custodian: Custodian) -> bool:
    """Whether it says so, which no answer does not."""
    try:
        custodian.published()
    except Rejected as error:
        return error.status == 404
    except Unavailable:
        pass
    return False


def _expect_wrong_copy(made: _Adoption, one: Showing, signed: Stage) -> None:
    """WrongCopy unless the entries that this custodian gives lead from the ledger's signed stage to what it shows."""
    beyond = one.custodian.entries(one.head.size, signed.size)
    given = in_time(beyond, max(0, made.believed - signed.size), made.patient)
    tree = CompactRange.from_bytes(signed.frontier)
    tree.extend(map(leaf_hash, checked(given, made.check)))
    if tree.root() != one.head.root:
        raise WrongCopy(f"{one.custodian.label} does not hold the entries of the tree that it shows")


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
                    tree.extend(map(leaf_hash, chain(page[index:], checked(rest, made.check))))
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


def _note_root(made: _Adoption) -> None:
    if made.election.size in made.roots:
        made.roots[made.election.size] = made.election.head.root()


def _check_shown(
    made: _Adoption, one: Showing, showing: Sequence[Showing], published: Sequence[Checkpoint], whole: bool
) -> None:
    """What these show is a beginning of the tree that is adopted, by the keys that count there, or W of them decide
    against it: they hold the adopted tree up to there, or, of a longer one that nobody has given, do not hold it and
    the ledger was `whole`. What only keys have signed that an entry of this tree has replaced does not matter: who has
    stolen them can make any tree.

    Contradicted if W show another tree, Fork if another than the ledger's own; Claimed if one shows a longer tree, Fork
    if another, and W do not decide. The ledger as it is goes on beside those if it was `whole`, as it does while it
    grows.
    """
    election, policy = made.election, made.election.manifest.log
    begins = [other for other in showing if _begins(election.manifest, other, made.roots[other.head.size])]
    apart = [other for other in showing if other not in begins and not _is_replaced(election.manifest, other)]
    if sum(other.head.size <= made.held for other in apart) >= policy.W:
        raise Fork(f"W custodians show other trees than the ledger has: {START_EMPTY}")
    if sum(other.head.size <= election.size for other in apart) >= policy.W:
        raise Contradicted("W custodians show another tree")
    spared = whole and len(apart) <= len(policy.custodians) - policy.W
    for other in apart:
        label, size = other.custodian.label, other.head.size
        if size > election.size and not spared:
            raise Claimed(other.custodian, size)
        backed = sum(begun.head.size >= size for begun in begins) >= policy.W or any(p.size >= size for p in published)
        if size <= election.size and not backed and (made.stages or not spared):
            # Unless it is the ledger that is not as the log has signed it.
            if size > made.held or signed_root(made.ledger, election.manifest, size) == made.roots[size]:
                made.forked(label, other.note, size)
            if size > made.held:
                # Nobody knows which of the two is the log's.
                made.forked(one.custodian.label, one.note, one.head.size)
            raise Fork(f"{label} shows another tree of {size} entries, signed by this log's keys")
        made.forked(label, other.note, size)


def _begins(manifest: Manifest, other: Showing, root: bytes) -> bool:
    """Whether `root`, that of so many entries, none if there are fewer, is of what it shows."""
    return root == other.head.root and signs(manifest.at(other.head.size), other.note)


def _is_replaced(manifest: Manifest, other: Showing) -> bool:
    if any(past.log.log != manifest.log.log and signs(past, other.note) for past in manifest.history):
        _log.error("replaced-key-signs", custodian=other.custodian.label, size=other.head.size)
        return True
    return False
