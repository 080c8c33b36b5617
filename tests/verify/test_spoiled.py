"""Whose doing a ballot's refusal is: refused are bytes, and the entry that tally has kept shows what was spoiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from audit.dispute_command import EXITS
from audit.log.keys import Signer
from audit.protocol.ballot import make_ballot
from audit.protocol.group import b64
from audit.record.entries import Entry, parse_entry, seal
from tests.simulator.dice import Dice
from tests.simulator.rekeys import rekey
from tests.verify.disputing import (
    AFTER,
    FOR,
    MISSING,
    OTHERWISE,
    RECORDED,
    REFUSED,
    SPOILED,
    Voter,
    asked,
    nothing,
    offline,
    run,
)


def spoiled(voter: Voter, entry: Entry, by: Signer | None = None, **changes: Any) -> Entry:
    """The ballot with a signature that its voter has not made, under an intake's line."""
    signature = {**entry.body["signature"], "z": b64(bytes([1]) + bytes(31)), **changes}
    raw = voter.meeting.signed("ballot", {**entry.body, "signature": signature}, by or voter.intake(0))
    return parse_entry(raw)


def refuse(voter: Voter, entry: Entry, reason: str = "bad-signature", intake: str = "intake-1") -> None:
    voter.meeting.add(voter.refuse(entry, intake, reason=reason))


def signed_twice(voter: Voter) -> list[Entry]:
    """One ballot with two signatures of its voter."""
    meeting, account, drawn = voter.meeting, voter.meeting.accounts[0], list[int]()
    context = meeting.election.ballot_context(account.share_class)

    def made(draw: Callable[[], int]) -> Entry:
        body = make_ballot(context, account.s, account.E, FOR, 0, draw)
        return parse_entry(meeting.signed("ballot", body, voter.intake(0)))

    first = made(lambda: drawn.append(meeting.dice.scalar()) or drawn[-1])
    # The last that is drawn is the signature's.
    again = iter([*drawn[:-1], meeting.dice.scalar()])
    return [first, made(lambda: next(again))]


def test_each_verdict_has_an_exit_code_of_its_own() -> None:
    assert len(set(EXITS.values()) | {1, 2}) == len(EXITS) + 2


def test_other_bytes_than_were_promised_are_refused(voter: Voter) -> None:
    entry = voter.ballot()
    refuse(voter, other := spoiled(voter, entry))
    receipt = voter.receipt(entry, AFTER)
    code, shown = asked(voter, receipt)
    assert (code, shown["verdict"], shown["refused_leaf"]) == (OTHERWISE, "refused-otherwise", b64(other.leaf))
    said = run(receipt, "--election", voter.record).stdout
    assert "either intake-1, or who has its key, passed on other bytes, or the log's key made the refusal up" in said
    assert f"{b64(entry.identity)}.intake-1.{b64(other.leaf)}.entry, decides it" in said
    # It keeps the promised bytes out of nothing.
    voter.meeting.add(entry.raw)
    voter.record = voter.export(name="later")
    assert asked(voter, receipt)[0] == RECORDED


def test_the_refused_entry_shows_that_the_intake_has_spoiled_it(voter: Voter) -> None:
    entry = voter.ballot()
    other = spoiled(voter, entry)
    refuse(voter, other)
    kept, out = voter.file("kept", other.raw), voter.folder / "evidence"
    code, shown = asked(voter, voter.receipt(entry), "--refused", kept, "--out", out)
    assert (code, shown["verdict"], shown["spoiled"]) == (SPOILED, "spoiled", True)
    said = run(voter.receipt(entry), "--election", voter.record, "--refused", kept).stdout
    assert "in the refused entry the line of intake-1 is true, and the voter's signature is not" in said
    # The evidence holds both, and any copy of the log shows the rest.
    code, shown = offline(voter, out, "--election", voter.record)
    assert (code, shown["refused"]) == (SPOILED, other.raw.decode())
    assert (offline(voter, out)[0], offline(voter, out)[1]["reason"]) == (1, "missing-entry")


def test_a_receipt_for_spoiled_bytes_helps_no_intake(voter: Voter) -> None:
    """Nobody but the intake knows the leaf hash of its line beforehand: it may promise what it has spoiled."""
    other = spoiled(voter, voter.ballot())
    refuse(voter, other)
    receipt = voter.receipt(other)
    assert asked(voter, receipt)[0] == REFUSED
    assert asked(voter, receipt, "--refused", voter.file("kept", other.raw))[0] == SPOILED


@pytest.mark.parametrize("change", [{"z": b64(bytes(31) + bytes([255]))}, {"more": "x"}, {"c": 1}])
def test_a_signature_that_is_none_is_spoiled_too(voter: Voter, change: dict[str, Any]) -> None:
    entry = voter.ballot()
    other = spoiled(voter, entry, **change)
    refuse(voter, other)
    assert asked(voter, voter.receipt(entry), "--refused", voter.file("kept", other.raw))[0] == SPOILED


def test_what_the_voter_has_signed_is_not_spoiled(voter: Voter) -> None:
    """Signed a second time by the voter, who would blame the intake for it."""
    first, second = signed_twice(voter)
    assert (second.identity, second.leaf != first.leaf) == (first.identity, True)
    refuse(voter, second, "revision-lower")
    receipt = voter.receipt(first)
    assert asked(voter, receipt)[0] == OTHERWISE
    code, shown = asked(voter, receipt, "--refused", voter.file("kept", second.raw))
    assert (code, shown["spoiled"]) == (REFUSED, False)


def test_signed_anew_by_an_intake_whose_key_was_replaced(voter: Voter) -> None:
    entry = voter.ballot()
    receipt = voter.receipt(entry)
    new = Dice(77).signers("intake-1")
    rekey(voter.meeting, "intake", "intake-1", new)
    again = parse_entry(seal(entry.text, new))
    refuse(voter, again, "revision-lower")
    code, _ = asked(voter, receipt)
    assert code == OTHERWISE
    assert "or intake-1 has signed the ballot anew since entry" in run(receipt, "--election", voter.record).stdout
    assert asked(voter, receipt, "--refused", voter.file("kept", again.raw))[0] == REFUSED


def test_a_false_reason_is_said_to_be_the_logs(voter: Voter) -> None:
    entry = voter.ballot()
    refuse(voter, entry)
    kept = voter.file("kept", entry.raw)
    said = run(voter.receipt(entry), "--election", voter.export(), "--refused", kept)
    assert said.exit_code == REFUSED and "the reason is false, and the log's key answers for that" in said.stdout


def test_a_ballot_without_a_receipt(voter: Voter) -> None:
    entry = voter.ballot()
    refuse(voter, other := spoiled(voter, entry))
    file = voter.file("A1.ballot", entry.text)
    assert asked(voter, file)[0] == REFUSED
    kept = voter.file("kept", other.raw)
    assert asked(voter, file, "--refused", kept)[0] == SPOILED
    assert "signed otherwise than this file" in run(file, "--election", voter.record, "--refused", kept).stdout


def test_a_spoiled_copy_beside_the_answer_to_the_promise(voter: Voter) -> None:
    """A thief of its key has spoiled one, and the intake has kept its word all the same."""
    entry = voter.ballot()
    refuse(voter, other := spoiled(voter, entry))
    refuse(voter, entry, "revision-lower")
    receipt = voter.receipt(entry)
    code, shown = asked(voter, receipt)
    assert (code, shown["reason"]) == (REFUSED, "revision-lower")
    assert nothing(receipt, "--election", voter.record, "--refused", voter.file("kept", other.raw)) == "another-entry"


def test_a_spoiled_copy_is_in_the_account_and_the_promise_is_broken(voter: Voter) -> None:
    """The intake accounts for what it has spoiled: that it left it out cannot be said."""
    entry = voter.ballot()
    refuse(voter, spoiled(voter, entry))
    voter.meeting.closing().reconcile().close()
    code, shown = asked(voter, voter.receipt(entry))
    assert (code, shown["closed"], shown["left_out"]) == (OTHERWISE, True, False)
    assert code != MISSING


def test_what_is_not_the_refused_entry(voter: Voter) -> None:
    meeting = voter.meeting
    entry, stranger = voter.ballot(), voter.ballot(1)
    other = spoiled(voter, entry)
    refuse(voter, other)
    receipt, record = voter.receipt(entry), voter.export()

    def reason(raw: bytes) -> str:
        return nothing(receipt, "--election", record, "--refused", voter.file("kept", raw))

    assert reason(stranger.raw) == "another-entry"
    assert reason(spoiled(voter, entry, c=b64(bytes([2]) + bytes(31))).raw) == "another-entry"
    assert reason(meeting.resolution("close", overruled=[])) == "unknown-kind"
    assert reason(b"anything") == "syntax"


def test_a_refusal_of_what_no_intake_signed_is_the_logs_own(voter: Voter) -> None:
    entry = voter.ballot()
    forged = spoiled(voter, entry, voter.meeting.parties.trustees[0])
    refuse(voter, forged)
    kept = voter.file("kept", forged.raw)
    assert nothing(voter.receipt(entry), "--election", voter.export(), "--refused", kept) == "wrong-signers"


def test_a_refusal_before_the_opening_judges_nobody(voter: Voter) -> None:
    """The log's key made it up: there was no roll by which anybody could have checked the voter's signature."""
    entry, entries = voter.ballot(), voter.meeting.entries
    other = spoiled(voter, entry)
    opening = next(index for index, raw in enumerate(entries) if parse_entry(raw).kind == "open")
    refusal = voter.refuse(other, "intake-1", reason="bad-signature")
    record = voter.export([*entries[:opening], refusal, *entries[opening:]])
    kept = voter.file("kept", other.raw)
    assert nothing(voter.receipt(entry), "--election", record, "--refused", kept) == "not-open"


def test_a_refusal_that_names_another_intake_than_has_signed_is_the_logs_own(voter: Voter) -> None:
    entry = voter.ballot()
    refuse(voter, other := spoiled(voter, entry), intake="intake-2")
    file, kept = voter.file("A1.ballot", entry.text), voter.file("kept", other.raw)
    said = run(file, "--election", voter.export(), "--refused", kept)
    assert said.exit_code == 1
    assert "refuses it as intake-2 passed it on, but it is intake-1 that has signed it" in said.stderr
