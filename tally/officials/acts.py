"""What the officials' quorum does while an election runs: opening, closing, the close and the certificate, each an
entry.

An act is handed in at once when a quorum's keys are at hand, or written as a draft that goes from official to official.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from audit.log.keys import Signer
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.election import Election
from audit.record.entries import Entry, make_text, read_text
from audit.record.opening import opening
from infra.desk import EARLY, Desk
from tally.officials.draft import new_draft, with_lines, write_new
from tally.officials.verified import verified

PAST = {"open": ("open", "closing", "closed", "certified"), "closing": ("closing", "closed", "certified")}
PAST |= {"close": ("closed", "certified"), "certify": ("certified",)}
"""The phases from which on an act has been done."""


def done(election: Election, kind: str) -> bool:
    """Whether this act stands in the log already: there is one of each, whoever signed it."""
    return election.phase in PAST[kind]


def act_text(desk: Desk, kind: str, **fields: Any) -> bytes:
    """The text of an act of this election: its fields, the manifest's hash, and, of one that changes how ballots are
    taken, the size of the log as it was last read; the opening says on which key and rolls. Refused `not-complete` if
    there is nothing to open on yet.
    """
    if kind == "open":
        fields = {**opening(desk.election), **fields}
    if kind != "certify":
        fields.setdefault("size", desk.election.size)
    return make_text(kind, desk.card.origin, {**fields, "manifest": b64(desk.card.manifest)})


def certificate(desk: Desk) -> dict[str, Any]:
    """The result of the log, all of it verified, once enough trustees have answered. GaveUp saying how many have."""
    needed = desk.manifest.trustees.threshold

    def answered() -> int:
        return len(desk.election.shares)

    desk.wait_for(lambda: answered() >= needed, lambda: f"{needed} trustees to decrypt; {answered()} have")
    report = verified(desk, lambda report: report.result is not None)
    assert report.result is not None
    return dict(report.result)


def write_result(path: Path, result: dict[str, Any]) -> None:
    """The result as JSON for people and programs: votes present, ballots, votes by contest and choice, outcomes.
    FileExistsError if there is another file already.
    """
    content = (json.dumps(result, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
    # Certified before and run again, the command finds what it wrote.
    if not path.exists() or path.read_bytes() != content:
        write_new(path, content)


def perform(desk: Desk, draw_up: Callable[[], bytes], signers: Sequence[Signer]) -> Entry:
    """Draws up, signs, hands in, and returns once the act is recorded; or refuses before, where the rules would. Draws
    it up anew if others acted meanwhile. GaveUp as `Desk.record`.
    """
    held = {key.name: key for key in desk.manifest.officials.keys}
    for place, signer in enumerate(signers):
        if signer.verifier in [other.verifier for other in signers[:place]]:
            raise Refused("duplicate", f"{signer.name} signs once; this key is given twice")
        if held.get(signer.name) != signer.verifier:
            raise Refused("wrong-signers", f"{signer.name} does not act as an official of this election with this key")
    if len(signers) < desk.manifest.officials.threshold:
        # Before what the act lacks is waited for.
        wanted = f"{desk.manifest.officials.threshold} of the {len(held)} officials"
        raise Refused("wrong-signers", f"{wanted} sign an act; keys of {len(signers)} are given")
    end = desk.monotonic() + desk.patience
    while True:
        entry = drawn_up(desk, draw_up)
        try:
            desk.record(with_lines(entry, signers))
            return entry
        except Refused as refusal:
            if refusal.reason != "out-of-date" or desk.monotonic() >= end:
                raise
        wait_for_more(desk, entry.fields["size"])


def wait_for_more(desk: Desk, size: int) -> None:
    """Reads the log until it has more entries than these. GaveUp."""
    desk.wait_for(lambda: desk.election.size > size, lambda: f"entry {size}")


def drawn_up(desk: Desk, draw_up: Callable[[], bytes]) -> Entry:
    """The act, as soon as there is all that it must say. GaveUp saying what it lacks."""
    made: list[Entry] = []
    lacking = ""

    def tried() -> bool:
        nonlocal lacking
        try:
            made.append(read_text(draw_up()))
        except Refused as refusal:
            if refusal.reason not in EARLY:
                raise
            lacking = str(refusal)
        return bool(made)

    desk.wait_for(tried, lambda: f"the time to draw this up: {lacking}")
    return made[0]


def wait_until_due(desk: Desk, draw_up: Callable[[], bytes]) -> None:
    """Waits until the act may be the next entry: drawn up before, it would be out of date before it is signed. Refused
    if it never may be; GaveUp saying what it lacks.
    """

    def lacking() -> str:
        try:
            desk.election.admit(read_text(draw_up()), desk.follower.seen)
        except Refused as refusal:
            if refusal.reason not in EARLY:
                raise
            return str(refusal)
        return ""

    desk.wait_for(lambda: not lacking(), lambda: f"the time to draw this up: {lacking()}")


def draft_or_perform(desk: Desk, draw_up: Callable[[], bytes], draft: Path | None, signers: Sequence[Signer]) -> str:
    """What became of it, in a sentence."""
    if draft is not None:
        wait_until_due(desk, draw_up)
        new_draft(draft, draw_up())
        return f"{draft}: {desk.manifest.officials.threshold} officials sign it, then it is submitted"
    return f"{perform(desk, draw_up, signers).kind} is recorded"
