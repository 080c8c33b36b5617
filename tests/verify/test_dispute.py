"""`psephos dispute`: a receipt or a ballot against a log, decided without anybody's word."""

from __future__ import annotations

import dataclasses

import pytest

from audit.dispute import log_time, open_claim, search
from audit.evidence import parse_evidence
from audit.log.merkle import CompactRange, leaf_hash
from audit.log.notes import Note
from audit.log.treehead import Checkpoint
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.entries import parse_entry, seal
from audit.record.heads import open_log
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.record import TIME, MemoryReader, files_of
from tests.simulator.rekeys import rekey
from tests.verify.disputing import (
    AFTER,
    BEFORE,
    MISSING,
    RECORDED,
    REFUSED,
    UNDECIDED,
    Voter,
    asked,
    nothing,
    offline,
    run,
)


def test_a_recorded_ballot(voter: Voter) -> None:
    entry = voter.ballot()
    voter.meeting.add(entry.raw)
    code, shown = asked(voter, voter.receipt(entry))
    assert (code, shown["verdict"], shown["index"]) == (RECORDED, "recorded", len(voter.meeting.entries) - 1)
    assert (shown["through"], shown["pinned"], shown["entry"]) == ("intake-1", True, entry.raw.decode())
    said = run(voter.receipt(entry), "--election", voter.record).stdout
    assert f"recorded: {b64(entry.identity)} is the ballot that intake-1 passed on, entry {shown['index']} of" in said


def test_a_ballot_recorded_through_another_intake(voter: Voter) -> None:
    entry = voter.ballot(intake=0)
    voter.meeting.add(seal(entry.text, [voter.intake(1)]))
    code, shown = asked(voter, voter.receipt(entry))
    assert (code, shown["through"]) == (RECORDED, "intake-2")


def test_a_refused_ballot(voter: Voter) -> None:
    entry = voter.ballot()
    voter.meeting.add(voter.refuse(entry, "intake-1"))
    code, shown = asked(voter, voter.receipt(entry))
    assert (code, shown["verdict"], shown["reason"]) == (REFUSED, "refused", "bad-proof")
    said = run(voter.receipt(entry), "--election", voter.record).stdout
    assert f"refused: entry {shown['index']} of the log refuses {b64(entry.identity)}: a proof does not hold" in said
    assert f"reason: bad-proof; refused is the entry of leaf hash {b64(entry.leaf)}, by intake-1" in said
    assert f"{b64(entry.identity)}.intake-1.{b64(entry.leaf)}.entry, decides it: give it as --refused" in said


def test_another_intakes_refusal_answers_no_receipt_of_this_one(voter: Voter) -> None:
    entry = voter.ballot()
    voter.meeting.add(voter.refuse(entry, "intake-2"))
    assert asked(voter, voter.receipt(entry))[0] == MISSING
    # Whoever asks about the ballot alone hears of it.
    assert asked(voter, voter.file("A1.ballot", entry.text))[0] == REFUSED


def test_refused_from_one_intake_and_recorded_through_another(voter: Voter) -> None:
    entry = voter.ballot()
    voter.meeting.add(voter.refuse(entry, "intake-1"))
    voter.meeting.add(seal(entry.text, [voter.intake(1)]))
    assert asked(voter, voter.receipt(entry))[0] == RECORDED


@pytest.mark.parametrize(("deadline", "code"), [(BEFORE, MISSING), (AFTER, UNDECIDED)])
def test_neither(voter: Voter, deadline: int, code: int) -> None:
    found, shown = asked(voter, voter.receipt(voter.ballot(), deadline))
    assert found == code
    assert ("receipt" in shown, "checkpoint" in shown) == (code == MISSING, code == MISSING)


def test_a_broken_promise_is_printed_with_all_that_shows_it(voter: Voter) -> None:
    receipt = voter.receipt(voter.ballot())
    said = run(receipt, "--election", voter.export()).stdout
    for words in (
        "intake-1 promised to have",
        f"is none of the {len(voter.meeting.entries)} entries of {voter.meeting.origin}",
        "cosigned by custodian-a, custodian-b",
        "either intake-1 did not pass it on, or those after it did not record it",
        receipt.read_text(),
        (voter.record / "checkpoint").read_text(),
        "unchecked: compare it with the letter",
    ):
        assert words in said


def test_one_custodian_with_a_fast_clock_makes_no_deadline_pass(meeting: Meeting) -> None:
    tree = CompactRange()
    tree.extend(leaf_hash(raw) for raw in meeting.entries)
    text = Checkpoint(meeting.origin, tree.size, tree.root()).text
    clocks = dict(zip(meeting.parties.custodians, (TIME, TIME + 10**6, TIME + 5), strict=True))
    lines = [key.sign(text, clock) for keys, clock in clocks.items() for key in keys]
    log = [key.sign(text, TIME) for key in meeting.parties.log]
    assert log_time(Note(text, (*log, *lines)), meeting.manifest.log) == TIME + 5


@pytest.mark.parametrize("fast", [0, 1])
def test_of_a_custodians_two_lines_the_earlier_counts(meeting: Meeting, fast: int) -> None:
    text = Checkpoint(meeting.origin, 1, bytes(32)).text
    times = {0: [TIME + 3, TIME + 3], 1: [TIME + 5, TIME + 5]}
    times[0][fast] += 10**6
    clocks = zip(meeting.parties.custodians, times.values(), strict=False)
    lines = [key.sign(text, time) for keys, said in clocks for key, time in zip(keys, said, strict=True)]
    log = [key.sign(text, TIME) for key in meeting.parties.log]
    assert log_time(Note(text, (*log, *lines)), meeting.manifest.log) == TIME + 3


def test_a_ballot_without_a_receipt_shows_nothing_against_anybody(voter: Voter) -> None:
    entry = voter.ballot()
    file = voter.file("A1.ballot", entry.text)
    assert asked(voter, file)[0] == UNDECIDED
    assert "no receipt shows that anybody promised it" in run(file, "--election", voter.record).stdout
    voter.meeting.add(entry.raw)
    voter.record = voter.export(name="later")
    assert asked(voter, file)[0] == RECORDED


def test_what_an_intake_left_out_of_its_own_account(voter: Voter) -> None:
    receipt = voter.receipt(voter.ballot(), deadline=AFTER + 1_000_000)
    voter.meeting.closing().reconcile().close()
    code, shown = asked(voter, receipt)
    # No ballot is recorded after the close: nobody has to wait for the deadline.
    assert (code, shown["closed"], shown["left_out"], shown["overruled"]) == (MISSING, True, True, False)
    said = run(receipt, "--election", voter.record).stdout
    assert "intake-1 itself left it out of its account of what it passed on, entry " in said


@pytest.mark.parametrize(("deadline", "code"), [(BEFORE, MISSING), (AFTER, UNDECIDED)])
def test_an_act_of_an_office_after_the_close_is_decided_by_its_deadline(voter: Voter, deadline: int, code: int) -> None:
    """A decryption or a certificate is handed in then, and is in no account of ballots."""
    voter.meeting.closing().reconcile().close()
    body = {"manifest": voter.meeting.hash, "subject": "incident", "text": "a line was down"}
    notice = parse_entry(voter.meeting.signed("notice", body, *voter.meeting.parties.officials[:2]))
    receipt = voter.receipt(notice, deadline)
    found, shown = asked(voter, receipt)
    assert (found, shown["promised"]) == (code, "notice")
    if code == MISSING:
        assert (shown["closed"], shown["left_out"], shown["overruled"]) == (False, False, False)
    said = run(receipt, "--election", voter.record).stdout
    assert "the vote was closed" not in said and "left it out" not in said


def test_an_intake_that_was_overruled_has_not_accounted_for_it(voter: Voter) -> None:
    receipt = voter.receipt(voter.ballot())
    voter.meeting.closing().reconcile().close("intake-1")
    code, shown = asked(voter, receipt)
    assert (code, shown["left_out"], shown["overruled"]) == (MISSING, False, True)
    said = run(receipt, "--election", voter.record).stdout
    assert "the officials have closed the vote without the account of intake-1" in said


def test_a_refusal_after_the_close_answers_nothing(voter: Voter) -> None:
    """Else an intake that kept a ballot back would pass it on when it is too late, and seem to have done its part."""
    entry = voter.ballot()
    voter.meeting.closing().reconcile().close()
    voter.meeting.add(voter.refuse(entry, "intake-1", reason="closed"))
    receipt = voter.receipt(entry)
    code, shown = asked(voter, receipt)
    assert (code, shown["left_out"]) == (MISSING, True)
    assert "(refusal) came after that, and changes nothing" in run(receipt, "--election", voter.record).stdout


@pytest.mark.parametrize("closed", [False, True])
def test_a_ballot_that_is_refused_as_something_else_is_not_refused(voter: Voter, closed: bool) -> None:
    """Whoever has the log's key would so answer for a ballot under no intake's name, and after the close."""
    entry, meeting = voter.ballot(), voter.meeting
    if closed:
        meeting.closing().reconcile().close()
    meeting.add(voter.refuse(entry, "", kind="notice"))
    assert asked(voter, voter.receipt(entry))[0] == MISSING


def test_what_bears_another_line_than_its_rule_demands_is_no_answer(voter: Voter) -> None:
    """Log and custodians have let it in: `verify` names it, and here it hides nothing."""
    entry = voter.ballot()
    trustee = voter.meeting.parties.trustees[0]
    forged = [voter.refuse(entry, "intake-1", trustee), seal(entry.text, [trustee]), b"no entry at all"]
    voter.export([*voter.meeting.entries, *forged])
    assert asked(voter, voter.receipt(entry))[0] == MISSING


def test_the_log_is_read_to_its_end(voter: Voter) -> None:
    meeting = voter.meeting
    body = {"manifest": meeting.hash, "subject": "incident", "text": "a line was down"}
    notices = [
        meeting.signed("notice", {**body, "text": f"line {number} was down"}, *meeting.parties.officials[:2])
        for number in range(300)
    ]
    entry = voter.ballot()
    voter.export([*meeting.entries, *notices, entry.raw])
    code, shown = asked(voter, voter.receipt(entry))
    assert (code, shown["index"]) == (RECORDED, len(meeting.entries) + 300)


def test_a_refused_act_of_an_official(voter: Voter) -> None:
    early = parse_entry(voter.meeting.resolution("close", overruled=[]))
    voter.meeting.add(voter.refuse(early, "", reason="not-complete"))
    receipt = voter.receipt(early)
    assert asked(voter, receipt)[0] == REFUSED


@pytest.mark.parametrize("office", ["intake", "log", "custodian"])
def test_keys_that_were_replaced(voter: Voter, office: str) -> None:
    """The receipt by the key of before, and another by the new one; the evidence shows each rekey."""
    meeting = voter.meeting
    name = {"intake": "intake-1", "log": "log", "custodian": "custodian-b"}[office]
    old = voter.receipt(voter.ballot(0))
    dice = Dice(77)
    new = {"intake": dice.signers, "log": lambda n: dice.log_keys(n), "custodian": lambda n: dice.custodian_keys(n)}
    rekey(meeting, office, name, new[office](name))
    entry = voter.act()
    meeting.add(entry.raw)
    by_new = voter.receipt(entry, name="A2.receipt")
    code, shown = asked(voter, old, "--out", voter.folder / "missing")
    assert (code, "replaced" in shown) == (MISSING, office == "intake")
    assert asked(voter, by_new, "--out", voter.folder / "recorded")[0] == RECORDED
    assert offline(voter, voter.folder / "recorded")[0] == RECORDED
    assert offline(voter, voter.folder / "missing", "--election", voter.record)[0] == MISSING
    kept = parse_evidence((voter.folder / "recorded").read_bytes())
    without = voter.file("without", dataclasses.replace(kept, rekeys=()).raw)
    assert offline(voter, without)[0] == 1


def test_a_source_that_keeps_a_rekey_back_decides_nothing(voter: Voter) -> None:
    """It is one that no custodian or log needs to show its head, so that only who reads all entries comes upon it."""
    meeting = voter.meeting
    receipt = voter.receipt(voter.ballot())
    rekey(meeting, "intake", "intake-1", Dice(77).signers("intake-1"))
    reader = MemoryReader(files_of(meeting.entries, meeting.parties, meeting.origin) | {"rekeys": b""})
    one = open_log(reader, None)
    assert not one.manifest.rekeys
    with pytest.raises(Refused, match="is a rekey, which this source keeps back") as refused:
        search(reader, one.head, open_claim(receipt.read_bytes(), one.manifest), one.manifest)
    assert refused.value.reason == "not-complete"


def test_a_receipt_by_no_intake_and_a_receipt_of_a_rehearsal(voter: Voter) -> None:
    entry, record = voter.ballot(), voter.export()
    forged = seal(parse_entry(voter.receipt(entry).read_bytes()).text, voter.meeting.parties.trustees[:1])
    assert nothing(voter.file("forged", forged), "--election", record) == "wrong-signers"
    rehearsal = Voter(voter.folder, Meeting(seed=2, parties=voter.meeting.parties).prepared())
    assert nothing(rehearsal.receipt(rehearsal.ballot(), name="other"), "--election", record) == "another-election"
    assert nothing(voter.file("other.ballot", rehearsal.ballot().text), "--election", record) == "another-election"


def test_another_manifest_than_the_pinned_one(voter: Voter) -> None:
    record = voter.export()
    result = run(voter.receipt(voter.ballot()), "--election", record, "--manifest", b64(bytes(32)))
    assert result.exit_code == 1 and "psephos: " in result.stderr


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"c2sp.org/tlog-proof@v1\nindex 1\n\n", "unknown-kind"),
        (b"anything", "syntax"),
        (b"psephos/v1 evidence\nx\n", "syntax"),
        (b"psephos/v1 evidence\nx\n{}\n", "missing-field"),
        (b'psephos/v1 evidence\nx\n{"claim":"","manifest":"","rekeys":[],"shown":""}\n', "syntax"),
    ],
)
def test_a_file_that_is_neither(voter: Voter, content: bytes, reason: str) -> None:
    assert nothing(voter.file("file", content), "--election", voter.export()) == reason


def test_a_damaged_file_is_named_with_what_it_should_be(voter: Voter) -> None:
    record = voter.export()
    receipt = voter.receipt(voter.ballot())
    raw = receipt.read_bytes()
    cut = voter.file("cut.receipt", raw[:50])
    said = run(cut, "--election", record).stderr
    assert f"psephos: {cut}: is no receipt, ballot or evidence: an entry's text is three lines" in said
    changed = voter.file("changed.receipt", raw.replace(b'"deadline":', b'"deadline":9', 1))
    assert changed.read_bytes() != raw
    assert f"psephos: {changed}: the signature by intake-1 " in run(changed, "--election", record).stderr


def test_a_log_that_is_damaged_decides_nothing(voter: Voter) -> None:
    record = voter.export()
    bundle = next(path for path in (record / "tile" / "entries").rglob("*") if path.is_file())
    raw = bytearray(bundle.read_bytes())
    raw[-100] ^= 1
    bundle.write_bytes(raw)
    assert nothing(voter.receipt(voter.ballot()), "--election", record) == "wrong-root"


def test_without_a_log_and_with_no_card(voter: Voter) -> None:
    receipt = voter.receipt(voter.ballot())
    assert nothing(receipt) == "missing-field"
    assert nothing(receipt, "--election", voter.file("card.toml", b"origin = 'x'")) == "missing-field"
    assert nothing(receipt, "--election", voter.file("card.toml", b"no card")) == "syntax"
    assert nothing(receipt, "--election", voter.folder / "nowhere") == "unreadable"
    assert nothing(voter.folder / "no-file", "--election", voter.export()) == "unreadable"


def test_a_card_of_another_election_than_the_pinned_one(voter: Voter) -> None:
    fields = f'origin = "x"\nmanifest = "{b64(bytes(32))}"\nintakes = ["http://a"]\ncustodians = ["http://b"]\n'
    card = voter.file("card.toml", fields.encode())
    pinned = b64(voter.meeting.manifest.hash)
    assert nothing(voter.receipt(voter.ballot()), "--election", card, "--manifest", pinned) == "another-election"


def test_refusals_are_raised_with_their_reason() -> None:
    with pytest.raises(Refused) as refusal:
        parse_evidence(b"psephos/v1 evidence\nx\n[]\n")
    assert refusal.value.reason == "wrong-type"
