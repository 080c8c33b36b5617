"""What the officials' quorum does while an election runs: opening, closing, the close and the certificate, each an
entry.

An act is handed in at once when a quorum's keys are at hand, or written as a draft that goes from official to official.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from audit.log.keys import Signer
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.election import Election
from audit.record.entries import Entry, make_text, read_text
from infra.desk import Desk
from tally.officials.draft import new_draft, with_lines
from tally.officials.verified import verified

PAST = {"open": ("open", "closing", "closed", "certified"), "closing": ("closing", "closed", "certified")}
PAST |= {"close": ("closed", "certified"), "certify": ("certified",)}
"""The phases from which on an act has been done."""


def done(election: Election, kind: str) -> bool:
    """Whether this act stands in the log already: there is one of each, whoever signed it."""
    return election.phase in PAST[kind]


def act_text(desk: Desk, kind: str, **fields: Any) -> bytes:
    """The text of an act of this election, its fields and the manifest's hash."""
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
    """The result as JSON for people and programs: votes present, ballots, votes by contest and choice, outcomes."""
    path.write_text(json.dumps(result, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def perform(desk: Desk, text: bytes, signers: Sequence[Signer]) -> Entry:
    """Signs, hands in, and returns once the act is recorded; or refuses before, where the rules would. GaveUp as
    `Desk.record`.
    """
    entry = read_text(text)
    held = {key.name: key for key in desk.manifest.officials.keys}
    for signer in signers:
        if held.get(signer.name) != signer.verifier:
            raise Refused("wrong-signers", f"{signer.name} does not act as an official of this election with this key")
    desk.record(with_lines(entry, signers))
    return entry


def draft_or_perform(desk: Desk, text: bytes, draft: Path | None, signers: Sequence[Signer]) -> str:
    """What became of it, in a sentence."""
    kind = read_text(text).kind
    if draft is not None:
        new_draft(draft, text)
        return f"{draft}: {desk.manifest.officials.threshold} officials sign it, then it is submitted"
    perform(desk, text, signers)
    return f"{kind} is recorded"
