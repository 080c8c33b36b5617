"""What `psephos dispute` writes for third parties, and what that shows without the log."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from audit.dispute import Place, open_claim, search
from audit.dispute_command import evidence_of
from audit.evidence import parse_evidence
from audit.log.reader import open_reader
from audit.record.entries import Entry, parse_entry
from audit.record.heads import open_log
from tests.verify.disputing import AGAINST, MISSING, RECORDED, REFUSED, Voter, asked, offline, run

Answered = Callable[[Voter], tuple[Entry, bytes]]
"""An entry, and what the log holds of it."""


def an_act(voter: Voter) -> tuple[Entry, bytes]:
    act = voter.act()
    return act, act.raw


def a_refused_act(voter: Voter) -> tuple[Entry, bytes]:
    early = parse_entry(voter.meeting.resolution("close", overruled=[]))
    return early, voter.refuse(early, "", reason="not-complete")


@pytest.mark.parametrize(("answered", "code"), [(an_act, RECORDED), (a_refused_act, REFUSED)])
def test_an_answer_of_the_log_is_proved_without_the_log(voter: Voter, answered: Answered, code: int) -> None:
    entry, answer = answered(voter)
    voter.meeting.add(answer)
    evidence = voter.folder / "evidence"
    assert asked(voter, voter.receipt(entry), "--out", evidence)[0] == code
    assert offline(voter, evidence)[0] == code
    assert offline(voter, evidence, "--election", voter.record)[0] == code


def test_a_recorded_ballot_is_not_said_to_count(voter: Voter) -> None:
    entry = voter.ballot()
    voter.meeting.add(entry.raw)
    evidence = voter.folder / "evidence"
    assert asked(voter, voter.receipt(entry), "--out", evidence)[0] == RECORDED
    assert "its place in the log, not that it counts" in run(evidence, "--election", voter.record).stdout


def recorded(voter: Voter, entry: Entry) -> bytes:
    return entry.raw


def refused(voter: Voter, entry: Entry) -> bytes:
    return voter.refuse(entry, "intake-1")


@pytest.mark.parametrize(("answer", "code"), [(recorded, RECORDED), (refused, REFUSED)])
def test_that_a_ballot_was_answered_in_time_is_seen_in_the_log_alone(
    voter: Voter, answer: Callable[[Voter, Entry], bytes], code: int
) -> None:
    entry, evidence = voter.ballot(), voter.folder / "evidence"
    voter.meeting.entries.append(answer(voter, entry))
    assert asked(voter, voter.receipt(entry), "--out", evidence)[0] == code
    exit_code, shown = offline(voter, evidence)
    assert (exit_code, shown["reason"]) == (1, "missing-entry") and "give --election" in shown["detail"]
    assert offline(voter, evidence, "--election", voter.record)[0] == code


@pytest.mark.parametrize(("answer", "where"), [(recorded, "recorded"), (refused, "refusal")])
def test_evidence_made_of_an_answer_after_the_close(
    voter: Voter, answer: Callable[[Voter, Entry], bytes], where: str
) -> None:
    """An intake kept the ballot back till then, or tally dropped it, and shows the log's answer as if it had come in
    time.
    """
    entry = voter.ballot()
    voter.meeting.closing().reconcile().close()
    voter.meeting.entries.append(answer(voter, entry))
    one = open_log(open_reader(str(voter.export())), None)
    claim = open_claim(voter.receipt(entry).read_bytes(), one.manifest)
    found = search(one.reader, one.head, claim, one.manifest)
    assert found.late is not None
    made = evidence_of(one.reader, dataclasses.replace(found, **{where: found.late}), one.first)
    evidence = voter.file("evidence", made.raw)
    assert offline(voter, evidence)[0] == 1
    assert offline(voter, evidence, "--election", voter.record)[0] == MISSING


def test_evidence_made_of_a_ballots_refusal_as_something_else(voter: Voter) -> None:
    """Whoever has the log's key recorded it, as of no ballot, so that its place alone would seem to tell."""
    entry = voter.ballot()
    made_up = voter.meeting.add(voter.refuse(entry, "", kind="notice"))
    one = open_log(open_reader(str(voter.export())), None)
    claim = open_claim(voter.receipt(entry).read_bytes(), one.manifest)
    found = search(one.reader, one.head, claim, one.manifest)
    found = dataclasses.replace(found, refusal=Place(len(voter.meeting.entries) - 1, made_up))
    evidence = voter.file("evidence", evidence_of(one.reader, found, one.first).raw)
    assert offline(voter, evidence)[0] == 1
    assert offline(voter, evidence, "--election", voter.record)[0] == MISSING


def test_that_the_log_holds_nothing_is_shown_again_by_any_copy(voter: Voter) -> None:
    evidence = voter.folder / "evidence"
    entry = voter.ballot()
    assert asked(voter, voter.receipt(entry), "--out", evidence)[0] == MISSING
    code, shown = offline(voter, evidence)
    assert (code, shown["reason"]) == (1, "missing-entry")
    assert "give --election" in shown["detail"]
    size = len(voter.meeting.entries)
    voter.meeting.vote(voter.meeting.accounts[1], AGAINST)
    assert offline(voter, evidence, "--election", voter.export(name="later"))[0] == MISSING
    code, shown = offline(voter, evidence, "--election", voter.export(voter.meeting.entries[: size - 1], "shorter"))
    assert (code, shown["reason"]) == (1, "stale") and "fewer than" in shown["detail"]
    voter.meeting.add(entry.raw)
    assert offline(voter, evidence, "--election", voter.export(name="in the end"))[0] == RECORDED


def test_two_logs_are_told(voter: Voter) -> None:
    """The checkpoint in the evidence and a copy that does not continue it: a fork, whoever made it."""
    evidence, size = voter.folder / "evidence", len(voter.meeting.entries)
    voter.meeting.vote(voter.meeting.accounts[1], AGAINST)
    assert asked(voter, voter.receipt(voter.ballot()), "--out", evidence)[0] == MISSING
    other = [*voter.meeting.entries[:size], voter.ballot(2).raw]
    code, shown = offline(voter, evidence, "--election", voter.export(other, "other"))
    assert (code, shown["reason"]) == (1, "fork")


def test_every_changed_byte_of_evidence_is_noticed(voter: Voter) -> None:
    entry, path = voter.act(), voter.folder / "evidence"
    voter.meeting.add(entry.raw)
    asked(voter, voter.receipt(entry), "--out", path)
    raw = path.read_bytes()
    assert offline(voter, path)[0] == RECORDED
    evidence = parse_evidence(raw)
    assert evidence.raw == raw
    step = len(raw) // 97
    for place in range(0, len(raw), step):
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
        code, shown = offline(voter, path)
        assert (code, shown["verdict"]) == (1, "nothing"), place


def test_a_proof_of_another_entry_answers_no_claim(voter: Voter) -> None:
    first, second = voter.ballot(0), voter.ballot(1)
    for entry in (first, second):
        voter.meeting.add(entry.raw)
    asked(voter, voter.receipt(first), "--out", voter.folder / "first")
    asked(voter, voter.receipt(second, name="A2.receipt"), "--out", voter.folder / "second")
    mine, other = (parse_evidence((voter.folder / name).read_bytes()) for name in ("first", "second"))
    mixed = dataclasses.replace(mine, shown=other.shown)
    code, shown = offline(voter, voter.file("mixed", mixed.raw))
    assert (code, shown["reason"]) == (1, "another-entry")


def test_evidence_is_not_written_over_anything(voter: Voter) -> None:
    taken = voter.file("taken", b"mine")
    result = run(voter.receipt(voter.ballot()), "--election", voter.export(), "--out", taken)
    assert isinstance(result.exception, FileExistsError)
    assert taken.read_bytes() == b"mine"
