"""The key ceremony in the log: who cheats is named and put out, who is accused without cause is cleared."""

from __future__ import annotations

import pytest

from audit.protocol.group import b64, scalar_bytes
from audit.protocol.refused import Refused, TrusteeFault
from audit.protocol.threshold import check_deals, make_answer, make_complaint
from tests.simulator.ceremonies import say, until_dealt, with_complaint
from tests.simulator.meeting import Meeting


@pytest.fixture
def meeting() -> Meeting:
    return Meeting().found()


def test_a_cheating_dealer_is_put_out_and_the_others_start_again(meeting: Meeting) -> None:
    until_dealt(meeting, ("trustee-2", "trustee-1"))
    say(meeting, "trustee-complaint", "trustee-1", dealer="trustee-2")
    say(meeting, "trustee-answer", "trustee-2", receiver="trustee-1", share=b64(scalar_bytes(7)))
    ceremony = meeting.election.ceremony
    assert (ceremony.faulty, ceremony.attempt) == (("trustee-2",), 2)
    assert "trustee-2 is out" in str(ceremony.verdicts[0])
    meeting.ceremony().rolls().open()
    assert meeting.election.ceremony.participants == ("trustee-1", "trustee-3")
    for account in meeting.accounts:
        meeting.vote(account, {"nominee-1": (1, 0, 0)})
    meeting.counted()
    assert meeting.election.result is not None
    assert meeting.election.result["present"] == 735


def test_a_dealer_that_is_out_decrypts_nothing(meeting: Meeting) -> None:
    until_dealt(meeting, ("trustee-2", "trustee-1"))
    say(meeting, "trustee-complaint", "trustee-1", dealer="trustee-2")
    say(meeting, "trustee-answer", "trustee-2", receiver="trustee-1", share=b64(scalar_bytes(7)))
    meeting.ceremony().rolls().open().closing().reconcile().close()
    body = {**meeting.shares("trustee-1"), "signer": "trustee-2"}
    with pytest.raises(Refused) as caught:
        meeting.add(meeting.signed("decrypt", body, meeting.signer("trustee-2")))
    assert caught.value.reason == "wrong-signers"


def test_a_framed_dealer_is_cleared(meeting: Meeting) -> None:
    """trustee-1 complains about a right share: the answer shows that, and the attempt goes on with all three."""
    until_dealt(meeting)
    say(meeting, "trustee-complaint", "trustee-1", dealer="trustee-3")
    answer = make_answer(meeting.election.ceremony, meeting.secrets["trustee-3"], "trustee-1")
    meeting.add(meeting.signed("trustee-answer", answer, meeting.signer("trustee-3")))
    ceremony = meeting.election.ceremony
    assert (ceremony.faulty, ceremony.attempt) == ((), 1)
    assert "trustee-3 is cleared" in str(ceremony.verdicts[0])
    assert meeting.ceremony().election.ceremony.complete


def test_a_dealer_who_sealed_noise_but_answers_right_is_cleared(meeting: Meeting) -> None:
    assert with_complaint(meeting).election.ceremony.participants == ("trustee-1", "trustee-2", "trustee-3")


def test_the_one_with_a_wrong_share_says_so_itself(meeting: Meeting) -> None:
    until_dealt(meeting, ("trustee-2", "trustee-1"))
    ceremony, secret = meeting.election.ceremony, meeting.secrets["trustee-1"]
    assert check_deals(ceremony, secret) == ["trustee-2"]
    assert make_complaint(ceremony, secret, "trustee-2")["dealer"] == "trustee-2"


def test_two_trustees_complain_in_different_words(meeting: Meeting) -> None:
    until_dealt(meeting)
    first = say(meeting, "trustee-complaint", "trustee-1", dealer="trustee-3")
    second = say(meeting, "trustee-complaint", "trustee-2", dealer="trustee-3")
    assert first.identity != second.identity


def test_a_dealer_whose_deal_does_not_open_its_commit_is_named(meeting: Meeting) -> None:
    for signer in meeting.parties.trustees:
        for kind, body in meeting.messages_of(signer):
            meeting.add(meeting.signed(kind, body, signer))
    ((kind, body),) = meeting.messages_of(meeting.parties.trustees[1])
    ((_, other),) = meeting.messages_of(meeting.parties.trustees[0])
    body["commitments"] = other["commitments"]
    with pytest.raises(TrusteeFault) as caught:
        meeting.add(meeting.signed(kind, body, meeting.parties.trustees[1]))
    assert (caught.value.reason, caught.value.trustee) == ("bad-commitment", "trustee-2")


def test_another_key_is_not_confirmed(meeting: Meeting) -> None:
    until_dealt(meeting)
    wrong = b64(meeting.election.ceremony.deals["trustee-1"].commitments[0].raw)
    with pytest.raises(TrusteeFault) as caught:
        say(meeting, "trustee-confirm", "trustee-1", key=wrong)
    assert (caught.value.reason, caught.value.trustee) == ("wrong-key", "trustee-1")
