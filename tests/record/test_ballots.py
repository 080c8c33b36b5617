"""Ballots on their way into the log: what binds them, which of several counts, and every way to be refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from audit.protocol.ballot import MAX_REVISION, make_ballot
from audit.protocol.group import ORDER, G, b64, scalar_bytes, scalar_from
from audit.protocol.refused import Refused
from audit.record.entries import make_text, parse_entry, seal
from audit.record.manifest import largest_ballot
from tests.simulator.meeting import Meeting, Selections
from tests.simulator.parties import ALL_FORMS, contest

FOR, AGAINST = {"nominee-1": (1, 0, 0)}, {"nominee-1": (0, 1, 0)}


@pytest.fixture
def meeting() -> Meeting:
    return Meeting().prepared()


def refused(meeting: Meeting, raw: bytes, reason: str) -> Refused:
    """The same refusal in the full check, and no trace of the entry."""
    size, ballots = meeting.election.size, meeting.election.ballots
    with pytest.raises(Refused) as caught:
        meeting.add(raw)
    assert caught.value.reason == reason
    assert (meeting.election.size, meeting.election.ballots) == (size, ballots)
    return caught.value


def body_of(meeting: Meeting, account: int = 0, revision: int = 0, selections: Selections = FOR) -> dict[str, Any]:
    return meeting.ballot(meeting.accounts[account], selections, revision)


def sent(meeting: Meeting, body: dict[str, Any]) -> bytes:
    return meeting.signed("ballot", body, meeting.intake)


def refusal_of(identity: bytes, leaf: bytes = bytes(32)) -> dict[str, Any]:
    """The body of a refusal by which intake-1 would have passed this ballot on; manifest and reason are still to
    come.
    """
    return {"detail": "", "identity": b64(identity), "intake": "intake-1", "kind": "ballot", "leaf": b64(leaf)}


def test_a_ballot_is_recorded_under_its_tracker(meeting: Meeting) -> None:
    body = body_of(meeting)
    entry = meeting.add(sent(meeting, body))
    unsigned = {name: value for name, value in body.items() if name != "signature"}
    assert entry.identity == parse_entry(sent(meeting, {**unsigned, "signature": {}})).identity
    assert meeting.seen.recorded(entry.identity) == "intake-1"


def test_the_same_ballot_twice(meeting: Meeting) -> None:
    raw = sent(meeting, body_of(meeting))
    meeting.add(raw)
    refused(meeting, raw, "duplicate")


def test_the_same_ballot_by_another_intake(meeting: Meeting) -> None:
    body = body_of(meeting)
    meeting.add(sent(meeting, body))
    refused(meeting, meeting.signed("ballot", body, meeting.parties.intakes[1]), "duplicate")


def test_a_ballot_signed_anew_is_the_same_ballot(meeting: Meeting) -> None:
    body = body_of(meeting)
    meeting.add(sent(meeting, body))
    signature = {name: b64(scalar_bytes(scalar_from(value) + 1)) for name, value in body["signature"].items()}
    with pytest.raises(Refused):
        meeting.add(sent(meeting, {**body, "signature": signature}))
    assert parse_entry(sent(meeting, {**body, "signature": signature})).identity in meeting.seen.identities


@pytest.mark.parametrize("first, second", [(0, 1), (0, 7), (3, 99)])
def test_a_higher_revision_counts(meeting: Meeting, first: int, second: int) -> None:
    meeting.vote(meeting.accounts[0], FOR, first)
    meeting.vote(meeting.accounts[0], AGAINST, second)
    meeting.vote(meeting.accounts[1], FOR)
    meeting.counted()
    assert meeting.election.result is not None
    assert meeting.election.result["contests"]["nominee-1"] == {"for": 30, "against": 5, "abstain": 0}


def test_a_lower_revision_is_refused(meeting: Meeting) -> None:
    meeting.vote(meeting.accounts[0], FOR, 5)
    assert refused(meeting, sent(meeting, body_of(meeting, revision=4)), "revision-lower").field == "revision"


def test_an_equal_revision_is_refused(meeting: Meeting) -> None:
    meeting.vote(meeting.accounts[0], FOR, 5)
    assert refused(meeting, sent(meeting, body_of(meeting, revision=5)), "revision-repeated").field == "revision"


@pytest.mark.parametrize("revision", [100, 2**53 - 1])
def test_a_holder_votes_a_hundred_times_and_no_more(meeting: Meeting, revision: int) -> None:
    raw = sent(meeting, {**body_of(meeting), "revision": revision})
    with pytest.raises(Refused) as caught:
        parse_entry(raw)
    assert (caught.value.reason, caught.value.field) == ("out-of-range", "revision")


def test_a_refused_ballot_stays_refused_from_the_same_intake(meeting: Meeting) -> None:
    body = body_of(meeting)
    entry = parse_entry(sent(meeting, body))
    fields = {**refusal_of(entry.identity, entry.leaf), "reason": "not-open"}
    meeting.act("refusal", fields, meeting.parties.log[0])
    refused(meeting, entry.raw, "refused-before")
    # Another intake may still hand it in: the refusal is of what the first one passed on.
    meeting.add(meeting.signed("ballot", body, meeting.parties.intakes[1]))


def test_the_refusal_of_other_bytes_does_not_keep_a_ballot_out(meeting: Meeting) -> None:
    """Somebody with the intake's key has spoiled a copy on its way, which then came first."""
    entry = parse_entry(sent(meeting, body_of(meeting)))
    fields = {**refusal_of(entry.identity, bytes(32)), "reason": "bad-signature"}
    meeting.act("refusal", fields, meeting.parties.log[0])
    meeting.add(entry.raw)
    # It is in one account, once.
    assert list(meeting.seen.passed("intake-1")) == [entry.identity]
    assert meeting.closing().reconcile().close().election.phase == "closed"


def test_a_recorded_ballot_is_not_refused_afterwards(meeting: Meeting) -> None:
    identity = meeting.vote(meeting.accounts[0], FOR).identity
    fields = {**refusal_of(identity), "reason": "closed"}
    bound = {"manifest": meeting.hash, **fields}
    refused(meeting, meeting.signed("refusal", bound, meeting.parties.log[0]), "duplicate")
    # The copy by the other intake was never recorded, and may be refused; once.
    other = meeting.signed("refusal", {**bound, "intake": "intake-2"}, meeting.parties.log[0])
    meeting.add(other)
    refused(meeting, other, "duplicate")


def test_two_refusals_of_one_entry_by_one_intake(meeting: Meeting) -> None:
    fields = refusal_of(bytes(32))
    meeting.act("refusal", {**fields, "reason": "closed"}, meeting.parties.log[0])
    bound = {"manifest": meeting.hash, **fields, "reason": "bad-proof"}
    refused(meeting, meeting.signed("refusal", bound, meeting.parties.log[0]), "duplicate")


def test_two_copies_of_one_ballot_are_each_refused(meeting: Meeting) -> None:
    """A refusal is of bytes: that of a spoiled copy keeps the answer to another copy out no more than the ballot."""
    entry = parse_entry(sent(meeting, body_of(meeting)))
    for leaf in (bytes(32), entry.leaf):
        fields = {**refusal_of(entry.identity, leaf), "reason": "bad-signature"}
        meeting.act("refusal", fields, meeting.parties.log[0])
    refused(meeting, entry.raw, "refused-before")
    # It is in one account, once.
    assert list(meeting.seen.passed("intake-1")) == [entry.identity]


def test_a_stranger_is_on_no_roll(meeting: Meeting) -> None:
    body = {**body_of(meeting), "pseudonym": b64((7 * G).raw)}
    assert refused(meeting, sent(meeting, body), "unknown-pseudonym").field == "pseudonym"


def test_a_pseudonym_that_is_no_element(meeting: Meeting) -> None:
    refused(meeting, sent(meeting, {**body_of(meeting), "pseudonym": b64(b"\xff" * 32)}), "unknown-pseudonym")


def test_a_roll_that_is_not_there(meeting: Meeting) -> None:
    refused(meeting, sent(meeting, {**body_of(meeting), "roll": "preferred"}), "unknown-roll")


def test_another_vote_than_the_one_signed(meeting: Meeting) -> None:
    one, other = body_of(meeting), body_of(meeting)
    refused(meeting, sent(meeting, {**one, "contests": other["contests"]}), "bad-signature")


def test_a_signature_of_another_pseudonym(meeting: Meeting) -> None:
    signature = body_of(meeting, account=1)["signature"]
    refused(meeting, sent(meeting, {**body_of(meeting), "signature": signature}), "bad-signature")


def test_a_ballot_that_leaves_out_a_contest() -> None:
    meeting = Meeting(contests=ALL_FORMS).prepared()
    body = body_of(meeting)
    contests = {name: value for name, value in body["contests"].items() if name != "board"}
    assert refused(meeting, sent(meeting, {**body, "contests": contests}), "missing-contest").field == "contests.board"


def test_a_ballot_with_a_contest_too_many(meeting: Meeting) -> None:
    body = body_of(meeting)
    contests = {**body["contests"], "nominee-2": body["contests"]["nominee-1"]}
    assert refused(meeting, sent(meeting, {**body, "contests": contests}), "unknown-contest").field


def test_a_field_too_many(meeting: Meeting) -> None:
    assert refused(meeting, sent(meeting, {**body_of(meeting), "memo": "x"}), "unknown-field").field == "memo"


def test_a_field_too_few(meeting: Meeting) -> None:
    body = body_of(meeting)
    del body["revision"]
    assert refused(meeting, sent(meeting, body), "missing-field").field == "revision"


def test_a_ballot_without_a_line(meeting: Meeting) -> None:
    refused(meeting, make_text("ballot", meeting.origin, body_of(meeting)), "syntax")


def test_a_ballot_of_more_than_an_entry_holds(meeting: Meeting) -> None:
    body = body_of(meeting)
    raw = sent(meeting, {**body, "contests": {**body["contests"], "x": "y" * 65_535}})
    refused(meeting, raw, "too-long")


def test_a_ballot_written_in_another_way(meeting: Meeting) -> None:
    text = make_text("ballot", meeting.origin, body_of(meeting)).replace(b'","revision"', b'", "revision"')
    refused(meeting, seal(text, [meeting.intake]), "not-canonical")


def test_a_ballot_from_a_rehearsal_with_the_same_origin_and_keys() -> None:
    """Same officials, trustees, issuers, intakes and origin; even the control numbers are the same."""
    real = Meeting(seed=1).prepared()
    rehearsal = Meeting(seed=2, parties=real.parties).prepared()
    raw = sent(rehearsal, body_of(rehearsal))
    rehearsal.add(raw)
    assert refused(real, raw, "another-election").field == "manifest"
    body = {**parse_entry(raw).body, "manifest": real.hash}
    refused(real, sent(real, body), "unknown-pseudonym")


def test_a_proof_for_another_weight() -> None:
    """Two holders swap ballots' contents: each proof is bound to the row it was made for."""
    meeting = Meeting().prepared()
    small, large = meeting.accounts[0], meeting.accounts[2]
    context = meeting.election.ballot_context("common")
    body = make_ballot(context, small.s, large.E, {"nominee-1": (1, 0, 0)}, 0, meeting.dice.scalar)
    assert refused(meeting, sent(meeting, body), "bad-proof").field.startswith("contests.nominee-1")


UNREDUCED = b64(ORDER.to_bytes(32, "little"))
Change = Callable[[dict[str, Any]], None]
CHANGES: dict[str, tuple[Change, str]] = {
    "a ciphertext": (lambda c: c["C"][0].reverse(), "bad-signature"),
    "a ciphertext too few": (lambda c: c["C"].pop(), "wrong-length"),
    "a ciphertext too many": (lambda c: c["C"].append(c["C"][0]), "wrong-length"),
    "a challenge too few": (lambda c: c["proofs"][0]["c"].pop(), "wrong-length"),
    "a response too many": (lambda c: c["proofs"][0]["z"].append(c["proofs"][0]["z"][0]), "wrong-length"),
    "a proof too many": (lambda c: c["proofs"].append(c["proofs"][0]), "wrong-length"),
    "an unreduced scalar": (lambda c: c["proofs"][0]["z"].__setitem__(0, UNREDUCED), "bad-scalar"),
    "no element": (lambda c: c["C"][0].__setitem__(0, b64(b"\xff" * 32)), "bad-element"),
    "a short element": (lambda c: c["C"][0].__setitem__(0, b64(bytes(31))), "wrong-length"),
    "a padded element": (lambda c: c["C"][0].__setitem__(0, c["C"][0][0] + "="), "bad-encoding"),
    "a number": (lambda c: c["C"][0].__setitem__(0, 7), "wrong-type"),
    "a field too many": (lambda c: c.__setitem__("w", 1), "unknown-field"),
    "no proofs": (lambda c: c.pop("proofs") and None, "missing-field"),
}


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_changed_contest_is_refused_with_the_path(meeting: Meeting, change: str) -> None:
    act, reason = CHANGES[change]
    body = body_of(meeting)
    act(body["contests"]["nominee-1"])
    refusal = refused(meeting, sent(meeting, body), reason)
    assert refusal.field.startswith("contests.nominee-1") or reason == "bad-signature"


TWO_SIZES = [contest("a"), contest("b", choices=["yes", "no"], rule=ALL_FORMS[1]["rule"])]


@pytest.mark.parametrize("forms", [ALL_FORMS, TWO_SIZES])
def test_the_largest_ballot_is_as_long_as_foretold(forms: list[dict[str, Any]]) -> None:
    meeting = Meeting(contests=forms).prepared()
    body = body_of(meeting, 0, MAX_REVISION, {forms[0]["id"]: (1, 0, 0)})
    assert len(sent(meeting, body)) == largest_ballot(meeting.manifest)
