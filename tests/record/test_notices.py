"""Notices: who may say what, when, and that it changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from audit.protocol.refused import Refused
from audit.record.entries import Entry, parse_entry
from audit.record.notices import Notice
from tests.simulator.meeting import Meeting

DESTROYED = {"subject": "register-destroyed", "text": "Register and numbers are destroyed."}


@pytest.fixture(scope="module")
def certified() -> Meeting:
    return Meeting().prepared().counted()


def expect(reason: str, act: Callable[[], object]) -> Refused:
    with pytest.raises(Refused) as caught:
        act()
    assert caught.value.reason == reason
    return caught.value


def destroyed(meeting: Meeting, issuer: int, **changes: Any) -> Entry:
    signer = meeting.parties.issuers[issuer]
    return meeting.act("notice", {**DESTROYED, "signer": signer.name, **changes}, signer)


def test_each_issuer_says_once_that_its_register_is_destroyed(certified: Meeting) -> None:
    result = certified.election.result
    for issuer in range(2):
        destroyed(certified, issuer)
        refusal = expect("duplicate", lambda issuer=issuer: destroyed(certified, issuer, text="Again."))  # type: ignore[misc]
        assert f"issuer-{issuer + 1}" in refusal.detail
    said = [(notice.signers, notice.subject) for notice in certified.election.notices]
    assert said == [(("issuer-1",), "register-destroyed"), (("issuer-2",), "register-destroyed")]
    assert (certified.election.phase, certified.election.result) == ("certified", result)


@pytest.mark.parametrize("until", ["prepared", "closed"])
def test_a_register_is_kept_until_the_result_is_certified(until: str) -> None:
    meeting = Meeting().prepared()
    if until == "closed":
        meeting.closing().reconcile().close()
    assert expect("wrong-phase", lambda: destroyed(meeting, 0)).field == "subject"


def test_nobody_says_that_for_an_issuer(certified: Meeting) -> None:
    officials = certified.parties.officials[:2]
    expect("wrong-signers", lambda: certified.act("notice", {**DESTROYED, "signer": "issuer-1"}, *officials))
    signer = certified.parties.issuers[0]
    refusal = expect("wrong-signers", lambda: certified.act("notice", {**DESTROYED, "signer": "issuer-2"}, signer))
    assert refusal.field == "signer"


@pytest.mark.parametrize("subject", ["access-report", "adjournment", "incident", "served-pages", "software-release"])
def test_all_else_is_said_by_a_quorum_of_the_officials(subject: str) -> None:
    meeting = Meeting().found()
    fields = {"subject": subject, "text": "The meeting is adjourned until Tuesday."}
    for signers in (meeting.parties.officials[:1], meeting.parties.issuers[:1]):
        expect("wrong-signers", lambda signers=signers: meeting.act("notice", fields, *signers))  # type: ignore[misc]
    meeting.resolve("notice", **fields)
    assert meeting.election.notices == [Notice(("chair", "secretary"), subject, fields["text"])]
    expect("duplicate", lambda: meeting.resolve("notice", **fields))


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"subject": "weather"}, "syntax", "subject"),
        ({"subject": 1}, "wrong-type", "subject"),
        ({"text": ""}, "wrong-length", "text"),
        ({"text": "x" * 2_001}, "wrong-length", "text"),
        ({"text": "a\x1b[2Jb"}, "syntax", "text"),
        ({"more": ""}, "unknown-field", "more"),
    ],
)
def test_fields_are_small_and_strict(changes: dict[str, Any], reason: str, field: str) -> None:
    meeting = Meeting().found()
    signer = meeting.parties.issuers[0]
    body = {**DESTROYED, "manifest": meeting.hash, "signer": signer.name, **changes}
    assert expect(reason, lambda: parse_entry(meeting.signed("notice", body, signer))).field == field
