"""What every custodian shows before a lost ledger, or an old copy, is filled up: the largest tree that the log has
signed, and the one that W of them have cosigned. Whoever does not answer, or says what cannot be judged, is waited for;
where only one custodian's claim is why they are asked, not for long.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from time import monotonic

from audit.log.merkle import CompactRange
from audit.log.notes import Note
from audit.log.treehead import Checkpoint, parse_checkpoint
from audit.protocol.refused import Refused
from audit.record.manifest import Manifest
from audit.record.restart import Restart
from infra import log
from tally.sequencer.claim import Claim
from tally.sequencer.custodian import Custodian, Rejected, Unavailable
from tally.sequencer.joining import custodian_of, lines_under
from tally.sequencer.shown import published_by, shown_by, successors

NOBODY = Restart(frozenset(), 0, 0)
SILENT_SECONDS = 30.0
"""For how long who does not answer is waited for, where W others answer and one claim is why they are asked."""

_log = log.Log(
    "tally.survey",
    asking=("custodian", "reason"),
    left_out=("custodian",),
    not_waited_for=("custodian",),
    misplaced=("custodian", "answering", "expected"),
    too_short=("size", "least"),
)


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


def survey(
    custodians: Sequence[Custodian],
    manifest: Manifest,
    pause: Callable[[], None],
    word: Restart = NOBODY,
    check: Callable[[], None] = lambda: None,
    claim: Claim | None = None,
    clock: Callable[[], float] = monotonic,
    awaits: Callable[[Collection[Custodian]], None] = lambda custodians: None,
) -> Sequence[Showing]:
    """What the custodians show, each the largest tree that the log signed, the longest first; none if all hold nothing.

    `custodians`, in the manifest's order, are asked until every one has answered, but for those that the officials'
    `word` leaves out, which are asked once; `pause` waits between two attempts and raises to give up, as `check` does
    without waiting. An answer that the log has not signed counts as none, since going on without that custodian's word
    would be guessing. So does what another custodian's keys have signed, and a tree shorter than the officials know the
    log to have been.

    `claim`: nothing else says that the ledger is an old copy. Then each is waited for no longer than SILENT_SECONDS if
    W answer; if who has claimed does not, what it has shown counts as its answer.

    `awaits` is told who keeps it waiting, and nobody once it goes on after that: whoever has not answered; all, if none
    shows as many entries as the officials know of.
    """
    waited = False

    def waits(those: Collection[Custodian]) -> None:
        nonlocal waited
        waited = True
        awaits(those)

    while True:
        found: list[Showing] = []
        silent, answered = list[Custodian](), 0
        for custodian, (name, _) in zip(custodians, manifest.log.custodians, strict=True):
            left_out = name in word.without
            peers = [peer for peer in custodians if peer is not custodian]

            def over(note: Note, custodian: Custodian = custodian, peers: Sequence[Custodian] = peers) -> Manifest:
                return shown_by(custodian, note, manifest, CompactRange(), peers, check)

            def late(end: float = clock() + (inf if claim is None else SILENT_SECONDS)) -> bool:
                return clock() > end

            try:
                answer = _ask(custodian, name, over, pause, late, once=left_out, awaits=waits)
            except Silent:
                silent.append(custodian)
                continue
            answered += not left_out
            if answer is not None:
                note, by = answer
                published = published_by(custodian, by)
                # What it gave with its claim it need not give again, and cannot keep back.
                source = claim if claim is not None and claim.leads_to(custodian, note) else custodian
                found.append(Showing(source, note, parse_checkpoint(note.text), left_out, published))
        if silent and answered < manifest.log.W:
            pause()
            continue
        for custodian in silent:
            _log.error("not-waited-for", custodian=custodian.label)
            if claim is not None and custodian.label == claim.label:
                found.append(Showing(claim, claim.note, parse_checkpoint(claim.note.text)))
        found.sort(key=lambda one: one.head.size, reverse=True)
        longest = found[0].head.size if found else 0
        if longest >= word.least:
            if waited:
                awaits(())
            return found
        _log.error("too-short", size=longest, least=word.least)
        waits(custodians)
        pause()


class Silent(Exception):
    """It has not answered in time."""


def _ask(
    custodian: Custodian,
    name: str,
    judged: Callable[[Note], Manifest],
    pause: Callable[[], None],
    late: Callable[[], bool],
    once: bool,
    awaits: Callable[[Collection[Custodian]], None],
) -> tuple[Note, Manifest] | None:
    """What it shows, and the manifest with the keys that count over it. Silent if it is `late`."""
    while True:
        try:
            note = custodian.held()
            if note is None:
                return None
            over = judged(note)
            if _is_at_its_place(custodian, name, note, over):
                return note, over
            reason = "misplaced"
        except (Rejected, Refused) as error:
            reason = error.reason
        except Unavailable as error:
            reason = str(error)
        if once:
            _log.warning("left-out", custodian=custodian.label)
            return None
        if late():
            raise Silent
        _log.warning("asking", custodian=custodian.label, reason=log.word(reason))
        awaits([custodian])
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
