"""What becomes of the entries that intake passed on: recorded, refused in the log, or left out. Decided without a
clock, a disk or the network; the caller commits the decision.

An entry whose lines are true is answered in the log, as itself or as a `refusal` signed by the log, so that whoever
handed it in learns its fate. One whose lines are not true is nobody's: anybody could have made it, so it is only
counted. One that stands in the log already comes again whenever an answer was lost on the way, and is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from audit.protocol.elgamal import Ciphertext
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.admission import check_signatures, rule_for
from audit.record.election import Election, check_binding
from audit.record.entries import Entry, make_text, parse_entry
from audit.record.manifest import check_pinned, parse_manifest
from audit.record.seen import Seen, intake_of
from tally.sequencer.log_keys import MissingKey

Seal = Callable[[bytes], bytes]  # the text of an entry -> the note with the log's line
CheckTexts = Callable[[Sequence[tuple[bytes, Ciphertext]]], Sequence[Refused | None]]
Verdicts = Mapping[bytes, Refused | None]  # an entry's bytes -> why its proofs do not hold, or None

MAX_DETAIL = 500


class Index(Seen, Protocol):
    """A `Seen` that is filled as entries are applied."""

    def add(self, entry: Entry) -> None:
        """Remembers an admitted entry."""


@dataclass
class Decision:
    """What to stage, in order; the entries that were refused, to be kept; how many stood in the log already, or were
    nobody's; and the faults of this program that entries have brought to light.
    """

    entries: list[Entry] = field(default_factory=list)
    kept: list[Entry] = field(default_factory=list)
    repeated: int = 0
    foreign: int = 0
    faults: list[Exception] = field(default_factory=list)

    @property
    def refused(self) -> int:
        """How many entries were refused."""
        return len(self.kept)


def read(raw: bytes, faults: list[Exception]) -> Entry | None:
    """The entry in these bytes, None if they are none. Anybody may have made them: whatever they make this program
    stumble over goes to `faults`, since a row that ended it would be handed out again, for ever.
    """
    try:
        return parse_entry(raw)
    except Refused:
        return None
    except Exception as fault:
        faults.append(fault)
        return None


def known(seen: Seen, entry: Entry) -> bool:
    """Whether the log holds this entry, or its final refusal, as it came through the same intake.

    A refusal is of bytes: the same ballot with another signature, or another line, has its own answer. And only a
    ballot's is final: what an official hands in may be early, and is judged again when it comes again.
    """
    intake = intake_of(entry)
    if seen.recorded(entry.identity) == intake:
        return True
    refused = seen.refused(entry.identity, intake) if entry.kind == "ballot" else ()
    return bool(refused) and entry.leaf in refused


def check_ballots(election: Election, seen: Seen, entries: Sequence[Entry], check_texts: CheckTexts) -> Verdicts:
    """The verdicts on the ballots among these entries that an intake has signed, all proofs checked in one call.

    One that the rules stumble over gets none.
    """
    verdicts: dict[bytes, Refused | None] = {}
    pairs: dict[bytes, tuple[bytes, Ciphertext]] = {}
    for entry in entries:
        if entry.kind != "ballot" or known(seen, entry):
            continue
        try:
            check_author(election, entry)
        except Exception:
            # Refused; or a fault, which `decide` meets and reports.
            continue
        try:
            rule_for(election.phase, entry.kind)
            pairs[entry.raw] = entry.text, election.weight(entry.fields["roll"], entry.fields["pseudonym"])
        except Refused as refusal:
            verdicts[entry.raw] = refusal
    return verdicts | dict(zip(pairs, check_texts(list(pairs.values())), strict=True))


def check_authors(election: Election, entries: Sequence[Entry]) -> frozenset[bytes]:
    """The bytes of those entries, ballots aside, whose lines are true by the keys that count now."""
    found = set()
    for entry in entries:
        # Refused; or a fault, which `decide` meets and reports.
        with suppress(Exception):
            if entry.kind != "ballot":
                check_author(election, entry)
                found.add(entry.raw)
    return frozenset(found)


def check_author(election: Election, entry: Entry) -> None:
    """Refuses an entry that is not of this election, or whose lines are not by those who may sign such an entry."""
    if entry.kind == "manifest":
        manifest = parse_manifest(entry)
        check_pinned(manifest, election.pinned)
        check_signatures(manifest, entry)
        return
    check_binding(election.manifest.origin, election.manifest.hash, entry)
    check_signatures(election.manifest, entry)


def decide(
    election: Election,
    seen: Index,
    entries: Sequence[Entry],
    verdicts: Verdicts,
    seal: Seal,
    signed: frozenset[bytes] = frozenset(),
) -> Decision:
    """Admits what may follow, one entry after another, and applies it to `election` and `seen`: they are then ahead of
    the ledger, and of no use if the decision is not committed. `signed` is what `check_authors` found.

    Ballots go first: a `close` in the same batch must not shut them out. A ballot without a verdict is nobody's. What
    the rules stumble over is left out: the log goes on, and whoever handed it in sees that no answer comes.
    """
    decision = Decision()
    keys = None if election.phase == "none" else election.manifest
    for entry in sorted(entries, key=lambda entry: entry.kind != "ballot"):
        if known(seen, entry):
            decision.repeated += 1
            continue
        try:
            # What was found before a key was replaced says nothing after it.
            found = entry.raw in signed and (keys is None or election.manifest is keys)
            if not found and not is_signed(election, entry, verdicts):
                decision.foreign += 1
                continue
            answer = answer_to(election, seen, entry, verdicts, seal)
        except (SQLAlchemyError, MissingKey):
            # Of the database behind `seen`, or of the log's keys, and no entry's doing.
            raise
        except Exception as fault:
            decision.faults.append(fault)
            decision.foreign += 1
            continue
        if answer is None:
            decision.repeated += 1
            continue
        if answer is not entry:
            decision.kept.append(entry)
        # Beyond here an exception leaves the election half changed: the caller begins again from the ledger.
        election.apply(answer)
        seen.add(answer)
        decision.entries.append(answer)
    return decision


def is_signed(election: Election, entry: Entry, verdicts: Verdicts) -> bool:
    """Whether somebody who may sign such an entry has; of ballots, `check_ballots` knows."""
    if entry.raw in verdicts:
        return True
    try:
        check_author(election, entry)
    except Refused:
        return False
    return entry.kind != "ballot"


def answer_to(election: Election, seen: Seen, entry: Entry, verdicts: Verdicts, seal: Seal) -> Entry | None:
    """The entry itself if it may be the next in the log, otherwise the log's refusal of it as `refuse` gives it."""
    try:
        if entry.kind != "ballot":
            # Its lines are true, or it would be nobody's.
            election.check_proofs(entry)
        elif (verdict := verdicts[entry.raw]) is not None:
            raise verdict
        election.admit(entry, seen)
    except Refused as refusal:
        return refuse(election, seen, entry, refusal, seal)
    return entry


def refuse(election: Election, seen: Seen, entry: Entry, refusal: Refused, seal: Seal) -> Entry | None:
    """The log's answer to an entry that it will not record; None if it holds that answer, or may not hold one yet."""
    if election.phase == "none":
        return None
    body = {
        "detail": str(refusal)[:MAX_DETAIL],
        "identity": b64(entry.identity),
        "intake": intake_of(entry),
        "kind": entry.kind,
        "leaf": b64(entry.leaf),
        "manifest": b64(election.manifest.hash),
        "reason": refusal.reason,
    }
    answer = parse_entry(seal(make_text("refusal", election.manifest.origin, body)))
    try:
        election.check(answer)
        election.admit(answer, seen)
    except Refused:
        return None
    return answer
