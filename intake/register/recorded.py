"""What the log holds of an issuer's half already: looked up before anything is drawn, made or signed.

A half that was made for another order of rows than the one the first issuer has published, out of openings that are
none any more, gives keys to the wrong rows, and the holders of those could not vote. No rule of the log can see that:
only who has the openings, or the control numbers, can.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from audit.log.merkle import CompactRange
from audit.log.reader import ReadError, read_entries
from audit.protocol.group import unb64
from audit.protocol.refused import Refused
from audit.record.election import Election
from audit.record.entries import parse_entry
from infra.desk import Desk
from intake.register.issuing import Issuer, Step, check_weights
from intake.register.numbers import Number
from intake.register.openings import Opening

ROLL, OPEN = b"psephos/v1 roll\n", b"psephos/v1 open\n"

Places = dict[tuple[str, int], dict[str, Any]]
"""Keys and weights as they were published, by class and row."""


def expect_unpublished(election: Election, issuer: str, revisions: Mapping[str, int]) -> None:
    """Refused `duplicate` if this issuer has published anything of these revisions, or they are past: what would be
    drawn now stood on no roll.
    """
    for share_class, revision in revisions.items():
        roll, begun = election.rolls.get(share_class), election.assemblies.get(share_class)
        past = roll is not None and roll.revision >= revision
        if begun is not None:
            past = begun.revision > revision or (begun.revision == revision and begun.begun_by(issuer))
        if past:
            text = f"the log holds {issuer}'s half of the roll of {share_class}, made from other files than these"
            text += "; nothing is drawn or written. Name the files it was made from, or begin the next revision"
            raise Refused("duplicate", text)


def wait_for_first(desk: Desk, revisions: Mapping[str, int]) -> None:
    """Until the first issuer's half of each of these rolls is recorded. GaveUp."""
    first = desk.manifest.issuers[0].name

    def missing() -> list[str]:
        return [name for name, revision in revisions.items() if not _published(desk.election, first, name, revision)]

    desk.wait_for(lambda: not missing(), lambda: f"{first} to publish its half of the roll of {', '.join(missing())}")


def _published(election: Election, issuer: str, share_class: str, revision: int) -> bool:
    if share_class in election.rolls:
        return election.rolls[share_class].revision >= revision
    begun = election.assemblies[share_class]
    return begun.revision > revision or (begun.revision == revision and begun.halves[issuer].complete)


def recorded_rows(desk: Desk, issuer: str, revisions: Mapping[str, int]) -> Places:
    """What this issuer has published of the rolls with these revisions, read again from the log up to the opening.
    ReadError if no custodian can be read.
    """
    fault = ReadError("no custodian was asked")
    assert desk.follower.head is not None
    for reader in desk.readers:
        found: Places = {}
        try:
            for raw in read_entries(reader, CompactRange(), desk.follower.head):
                if raw.startswith(OPEN):
                    break
                if not raw.startswith(ROLL):
                    continue
                entry = parse_entry(raw)
                share_class, revision = entry.body["class"], entry.body["revision"]
                if entry.signatures[0].name == issuer and revisions.get(share_class) == revision:
                    for place, row in enumerate(entry.body["rows"], entry.body["first"]):
                        found[share_class, place] = {name: row[name] for name in ("K", "E") if name in row}
            return found
        except ReadError as error:
            fault = error
    raise fault


def expect_first_half(desk: Desk, openings: Sequence[Opening], revisions: Mapping[str, int], step: Step) -> None:
    """Waits for the first issuer's half, and refuses openings that do not open it, row by row.

    GaveUp; ReadError; Refused as `check_weights`.
    """
    wait_for_first(desk, revisions)
    first = desk.manifest.issuers[0].name
    rows = recorded_rows(desk, first, revisions)
    for share_class in revisions:
        places = sorted(place for name, place in rows if name == share_class)
        weights = [b"".join(unb64(part, 32) for part in rows[share_class, place]["E"]) for place in places]
        check_weights(share_class, weights, openings, desk.election.context, first, step)


def expect_own_half(desk: Desk, issuer: Issuer, openings: Sequence[Opening], numbers: Mapping[str, Number]) -> None:
    """Refuses `another-register` a roll on which this issuer's row of an account is for another control number than the
    one kept: that account could not vote. numbers: by account.

    ReadError.
    """
    rows = recorded_rows(desk, issuer.signer.name, issuer.revisions)
    for opening in openings:
        share_class, row = opening.account.share_class, opening.row
        if share_class not in issuer.revisions:
            continue
        key = issuer.key(share_class, numbers[opening.account.id].code)
        if rows.get((share_class, row), {}).get("K") != key:
            text = f"row {row} of the roll of {share_class}, {issuer.signer.name}'s own half, is for another control "
            text += f"number than the one kept for {opening.account.id}, which could not vote: begin the next revision"
            raise Refused("another-register", text)
