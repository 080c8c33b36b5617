"""Key ceremonies in which somebody cheats or accuses."""

from __future__ import annotations

from typing import Any

from audit.protocol.group import b64
from audit.protocol.threshold import finish, make_answer
from audit.record.entries import Entry
from tests.simulator.meeting import Meeting


def until_dealt(meeting: Meeting, spoiled: tuple[str, str] | None = None) -> Meeting:
    """Commits and deals. `spoiled`: (dealer, receiver) of a sealed share that the dealer replaces by noise."""
    for _ in range(2):
        for signer in meeting.parties.trustees:
            for kind, body in meeting.messages_of(signer):
                if spoiled is not None and kind == "trustee-deal" and signer.name == spoiled[0]:
                    body["shares"][spoiled[1]] = b64(meeting.dice.octets(80))
                meeting.add(meeting.signed(kind, body, signer))
    assert meeting.election.ceremony.phase == "checking"
    return meeting


def say(meeting: Meeting, kind: str, name: str, **fields: Any) -> Entry:
    """A message of the ceremony by this trustee."""
    attempt = meeting.election.ceremony.attempt
    body = {"attempt": attempt, "manifest": meeting.hash, "signer": name, **fields}
    return meeting.add(meeting.signed(kind, body, meeting.signer(name)))


def with_complaint(meeting: Meeting) -> Meeting:
    """trustee-2 seals noise for trustee-1, is accused, and clears itself with the right share; then all confirm."""
    until_dealt(meeting, ("trustee-2", "trustee-1"))
    say(meeting, "trustee-complaint", "trustee-1", dealer="trustee-2")
    answer = make_answer(meeting.election.ceremony, meeting.secrets["trustee-2"], "trustee-1")
    meeting.add(meeting.signed("trustee-answer", answer, meeting.signer("trustee-2")))
    while meeting.step_ceremony():
        pass
    for name in meeting.election.ceremony.participants:
        meeting.keys[name] = finish(meeting.election.ceremony, meeting.secrets[name])
    return meeting
