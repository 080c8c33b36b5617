"""Following a witnessed log without proofs: the same state, and still no other election, key, roll or phase."""

from __future__ import annotations

from dataclasses import replace

import pytest

from audit.log.keys import Signer
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.election import Election
from audit.record.entries import parse_entry
from audit.record.seen import MemorySeen
from tests.simulator.meeting import Meeting

FOR = {"nominee-1": (1, 0, 0)}


@pytest.fixture(scope="module")
def held() -> Meeting:
    meeting = Meeting().prepared()
    for account in meeting.accounts:
        meeting.vote(account, FOR)
    meeting.vote(meeting.accounts[0], FOR, revision=1)
    return meeting.counted()


def followed(meeting: Meeting, entries: list[bytes]) -> Election:
    election = Election(meeting.manifest.hash)
    for raw in entries:
        election.apply_recorded(parse_entry(raw))
    return election


def test_the_same_state(held: Meeting) -> None:
    full, election = held.election, followed(held, held.entries)
    assert (election.phase, election.size, election.head.root()) == ("certified", full.size, full.head.root())
    assert (election.Y, election.rolls, election.ballots) == (full.Y, full.rolls, full.ballots)
    assert (election.closing_root, election.shares, election.result) == (full.closing_root, full.shares, full.result)
    assert election.checker() == full.checker()


def test_a_follower_can_go_on_in_full(held: Meeting) -> None:
    """Whoever has an index of the ballots counts them, after following the log up to the close."""
    close = next(i for i, raw in enumerate(held.entries) if parse_entry(raw).kind == "close")
    election, seen = followed(held, held.entries[: close + 1]), MemorySeen()
    for raw in held.entries[: close + 1]:
        seen.add(parse_entry(raw))
    for raw in held.entries[close + 1 :]:
        election.take(parse_entry(raw), seen)
        seen.add(parse_entry(raw))
    assert election.result == held.election.result


@pytest.mark.parametrize("kind", ["trustee-commit", "trustee-confirm", "roll", "roll-signed", "open", "close"])
def test_a_false_signature_is_seen(held: Meeting, kind: str) -> None:
    at = next(i for i, raw in enumerate(held.entries) if parse_entry(raw).kind == kind)
    election, entry = followed(held, held.entries[:at]), parse_entry(held.entries[at])
    line = entry.signatures[0]
    false = replace(entry, signatures=(replace(line, sig=bytes(64)), *entry.signatures[1:]))
    with pytest.raises(Refused) as caught:
        election.apply_recorded(false)
    assert caught.value.reason == "bad-signature"
    assert election.size == at


def test_a_stranger_does_not_open_the_vote(held: Meeting) -> None:
    at = next(i for i, raw in enumerate(held.entries) if parse_entry(raw).kind == "open")
    election = followed(held, held.entries[:at])
    strangers = [Signer(name, 1, bytes([7]) * 32) for name in ("chair", "secretary")]
    raw = held.signed("open", parse_entry(held.entries[at]).body, *strangers)
    with pytest.raises(Refused) as caught:
        election.apply_recorded(parse_entry(raw))
    assert caught.value.reason == "unknown-key"


def test_a_ballot_of_another_election(held: Meeting) -> None:
    at = next(i for i, raw in enumerate(held.entries) if parse_entry(raw).kind == "ballot")
    election, entry = followed(held, held.entries[:at]), parse_entry(held.entries[at])
    body = {**entry.body, "manifest": b64(bytes(32))}
    with pytest.raises(Refused) as caught:
        election.apply_recorded(parse_entry(held.signed("ballot", body, held.intake)))
    assert caught.value.reason == "another-election"


def test_a_ballot_before_the_opening(held: Meeting) -> None:
    entries = [raw for raw in held.entries if parse_entry(raw).kind != "open"]
    with pytest.raises(Refused) as caught:
        followed(held, entries)
    assert caught.value.reason == "not-open"


@pytest.mark.parametrize(
    ("kind", "intake", "reason"),
    [("notice", "intake-1", "unknown-key"), ("ballot", "", "unknown-key"), ("ballot", "intake-9", "unknown-key")]
    + [("letter", "", "unknown-kind")],
)
def test_a_refusal_of_what_no_such_intake_passes_on(held: Meeting, kind: str, intake: str, reason: str) -> None:
    at = next(i for i, raw in enumerate(held.entries) if parse_entry(raw).kind == "ballot")
    election, ballot = followed(held, held.entries[:at]), parse_entry(held.entries[at])
    body = {"detail": "", "identity": b64(ballot.identity), "intake": intake, "kind": kind, "leaf": b64(ballot.leaf)}
    body |= {"manifest": held.hash, "reason": "bad-signature"}
    with pytest.raises(Refused) as caught:
        election.apply_recorded(parse_entry(held.signed("refusal", body, held.parties.log[0])))
    assert (caught.value.reason, election.size) == (reason, at)


def test_a_proof_is_not_checked_again(held: Meeting) -> None:
    """What this mode believes, said by a test: a witnessed ballot whose proof is wrong is taken as it stands."""
    at = next(i for i, raw in enumerate(held.entries) if parse_entry(raw).kind == "ballot")
    election, entry = followed(held, held.entries[:at]), parse_entry(held.entries[at])
    wrong = {**entry.body, "signature": {"c": b64(bytes(32)), "z": b64(bytes(32))}}
    raw = parse_entry(held.signed("ballot", wrong, held.intake))
    election.apply_recorded(raw)
    with pytest.raises(Refused):
        election.check(raw)
