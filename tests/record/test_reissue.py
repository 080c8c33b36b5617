"""A lost control number: the roll is published once more with its revision raised, and stays provably complete."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from audit.protocol.elgamal import encrypt
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.chunks import split
from audit.record.election import Election
from audit.record.entries import parse_entry
from tests.simulator.meeting import Account, Meeting
from tests.simulator.parties import contest

LOST = 1


@pytest.fixture
def meeting() -> Meeting:
    return Meeting().found().ceremony().rolls()


def reissued(meeting: Meeting, revision: int = 1) -> list[Account]:
    """The accounts as they stand after one of them was given new numbers."""
    accounts = []
    for old in meeting.accounts:
        codes = () if old.row == LOST else old.codes
        accounts.append(meeting.register("common", old.row, old.weight, codes, revision))
    return accounts


def publish(meeting: Meeting, accounts: list[Account], k: int, revision: int = 1) -> None:
    for body in meeting.roll_chunks("common", accounts, k, revision):
        meeting.add(meeting.signed("roll", body, meeting.parties.issuers[k]))


def countersign(meeting: Meeting) -> None:
    for witness in meeting.parties.issuers[1:] + meeting.parties.inspectors:
        meeting.countersign("common", witness)


def expect(reason: str, act: Callable[[], object]) -> Refused:
    with pytest.raises(Refused) as caught:
        act()
    assert caught.value.reason == reason
    return caught.value


def test_a_lost_number_opens_nothing_and_all_others_stay_good(meeting: Meeting) -> None:
    former = meeting.election.roll("common")
    accounts = reissued(meeting)
    for k in range(2):
        publish(meeting, accounts, k)
    countersign(meeting)
    meeting.open()
    roll = meeting.election.roll("common")
    assert (roll.revision, len(roll.rows)) == (1, len(former.rows))
    assert roll.rows.keys().isdisjoint(former.rows) and roll.issued != former.issued
    meeting.vote(accounts[LOST], {"nominee-1": (1, 0, 0)})
    meeting.vote(accounts[0], {"nominee-1": (1, 0, 0)})
    expect("unknown-pseudonym", lambda: meeting.election.weight("common", meeting.accounts[LOST].pseudonym.raw))
    assert meeting.counted().election.phase == "certified"


def test_another_number_is_lost_later(meeting: Meeting) -> None:
    for revision in (1, 2):
        accounts = reissued(meeting, revision)
        for k in range(2):
            publish(meeting, accounts, k, revision)
        countersign(meeting)
    assert meeting.open().election.roll("common").revision == 2


def test_nothing_opens_while_a_reissue_is_under_way(meeting: Meeting) -> None:
    publish(meeting, reissued(meeting), 0)
    assert "common" in expect("not-complete", meeting.open).detail


def test_what_was_signed_before_does_not_hold_for_the_reissue(meeting: Meeting) -> None:
    former = b64(meeting.election.roll("common").issued)
    accounts = reissued(meeting)
    for k in range(2):
        publish(meeting, accounts, k)
    assert "issuer-2" in expect("not-complete", meeting.open).detail
    fields = {"class": "common", "hash": former, "manifest": meeting.hash, "signer": "issuer-2"}
    entry = parse_entry(meeting.signed("roll-signed", fields, meeting.parties.issuers[1]))
    expect("duplicate", lambda: meeting.election.admit(entry, meeting.seen))
    expect("another-roll", lambda: meeting.election.apply_recorded(entry))


@pytest.mark.parametrize("revision", [0, 2, 3])
def test_revisions_follow_one_another(meeting: Meeting, revision: int) -> None:
    refusal = expect("duplicate", lambda: publish(meeting, reissued(meeting, revision), 0, revision))
    assert "complete with revision 0" in refusal.detail


def test_both_issuers_publish_the_same_revision(meeting: Meeting) -> None:
    publish(meeting, reissued(meeting), 0)
    refusal = expect("out-of-range", lambda: publish(meeting, reissued(meeting, 2), 1, 2))
    assert refusal.field == "revision" and "revision 1" in refusal.detail


@pytest.mark.parametrize("k", [0, 1])
def test_a_half_of_the_former_roll_proves_nothing_in_the_next(meeting: Meeting, k: int) -> None:
    """An issuer that has lost its numbers, and no longer knows s_ik, republishes what it had published, signed anew."""
    issuer, accounts = meeting.parties.issuers[k], reissued(meeting)
    entries = map(parse_entry, meeting.entries)
    former = next(e.body["rows"] for e in entries if e.kind == "roll" and e.signatures[0].name == issuer.name)
    if k == 1:
        publish(meeting, accounts, 0)
    (body,) = meeting.roll_chunks("common", accounts, k, 1)
    rows = [{**row, "K": old["K"], "proof": old["proof"]} for row, old in zip(body["rows"], former, strict=True)]
    (replayed,) = split({name: body[name] for name in ("class", "manifest", "revision", "total") if name in body}, rows)
    refusal = expect("bad-proof", lambda: meeting.add(meeting.signed("roll", replayed, issuer)))
    assert refusal.field == "rows[0].proof" and issuer.name in refusal.detail


def test_a_reissue_adds_no_account(meeting: Meeting) -> None:
    """One account of 700 votes becomes two of 350: the total is right, and there is one voter more."""
    accounts = reissued(meeting)
    whole = accounts.pop()
    halves = [meeting.register("common", whole.row + i, whole.weight // 2, (), 1) for i in range(2)]
    refusal = expect("wrong-length", lambda: publish(meeting, accounts + halves, 0))
    assert "3 rows become 4" in refusal.detail


def test_a_reissue_adds_no_vote(meeting: Meeting) -> None:
    accounts = reissued(meeting)
    accounts[LOST] = replace(accounts[LOST], E=encrypt(accounts[LOST].weight + 1, meeting.election.Y, 5))
    expect("wrong-total", lambda: publish(meeting, accounts, 0))


def test_a_reissue_of_one_class_leaves_the_other() -> None:
    holdings = {"common": (5, 30, 700), "preferred": (7, 8)}
    meeting = Meeting(holdings, [contest("nominee-1", classes=["common", "preferred"])]).found().ceremony().rolls()
    other = meeting.election.roll("preferred")
    meeting.accounts = meeting.accounts[:3]
    accounts = reissued(meeting)
    for k in range(2):
        publish(meeting, accounts, k)
    assert meeting.election.roll("preferred") is other
    countersign(meeting)
    assert meeting.open().election.phase == "open"


def test_nothing_is_reissued_once_voting_is_open(meeting: Meeting) -> None:
    meeting.open()
    assert "noticed" in expect("wrong-phase", lambda: publish(meeting, reissued(meeting), 0)).detail


def test_a_reader_that_believes_the_log_follows(meeting: Meeting) -> None:
    accounts = reissued(meeting)
    for k in range(2):
        publish(meeting, accounts, k)
    countersign(meeting)
    meeting.open()
    reader = Election()
    for raw in meeting.entries:
        reader.apply_recorded(parse_entry(raw))
    assert reader.rolls == meeting.election.rolls and reader.checker() == meeting.election.checker()
