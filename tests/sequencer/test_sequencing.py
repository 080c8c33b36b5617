"""What the sequencer records, refuses, passes over and counts."""

from __future__ import annotations

from dataclasses import replace

from audit.protocol.group import b64
from audit.record.admission import check_signatures
from audit.record.entries import Entry, parse_entry, seal
from audit.record.voting import reconcile_root
from tests.sequencer.house import AGAINST, FOR, House
from tests.simulator.meeting import Meeting


def fates(house: House, *entries: bytes) -> list[tuple[str, str]]:
    """What became of these entries: kind and, for a refusal, its reason."""
    before = len(house.vault.entries())
    return [(entry.kind, entry.fields.get("reason", "")) for entry in house.record(*entries)[before:]]


def figures(house: House, *entries: bytes) -> tuple[int, int]:
    """How many of these entries were passed over as repeated, and how many were nobody's. None may be recorded."""
    before = len(house.vault.entries())
    house.queue.put(*entries)
    with house.opened() as sequencer:
        while sequencer.step():
            pass
        assert house.queue.rows == {}
        assert len(house.vault.entries()) == before
        return sequencer.figures.repeated, sequencer.figures.foreign


def reconcile(house: House, intake: int, *entries: bytes) -> bytes:
    """What an intake says at the end that passed on these ballots."""
    signer = house.meeting.parties.intakes[intake]
    count, root = reconcile_root(sorted(parse_entry(raw).identity for raw in entries))
    body = {"count": count, "manifest": house.meeting.hash, "root": b64(root), "signer": signer.name}
    return house.meeting.signed("reconcile", body, signer)


def officials(house: House, kind: str, **body: object) -> bytes:
    """The act, drawn up over the log as it is now."""
    return house.meeting.resolution(kind, **{"size": len(house.vault.entries()), **body})


def test_a_whole_setup_is_recorded_as_it_was_handed_in(house: House) -> None:
    entries = house.record(*house.meeting.entries)
    assert sorted(entry.raw for entry in entries) == sorted(house.meeting.entries)
    assert house.queue.rows == {}
    assert house.replay().phase == "open"


def test_the_log_begins_with_the_pinned_manifest_only(house: House) -> None:
    rehearsal = Meeting(seed=2, origin=house.meeting.origin).found().entries[0]
    assert figures(house, house.meeting.entries[1], rehearsal) == (0, 2)
    assert fates(house, house.meeting.entries[0]) == [("manifest", "")]


def test_a_whole_election_has_the_same_result_though_the_sequencer_restarts_after_every_entry(house: House) -> None:
    meeting = house.meeting
    meeting.vote(meeting.accounts[0], {"nominee-1": FOR})
    meeting.vote(meeting.accounts[1], {"nominee-1": AGAINST})
    meeting.vote(meeting.accounts[0], {"nominee-1": AGAINST}, revision=1)
    meeting.counted()
    for raw in meeting.entries:
        house.record(raw)
    assert [entry.raw for entry in house.vault.entries()] == meeting.entries
    for custodian in range(3):
        assert house.replay(custodian).result == meeting.election.result
    assert meeting.election.result is not None


def test_a_ballot_of_another_weight_is_answered_with_a_refusal_signed_by_the_log(open_house: House) -> None:
    meeting = open_house.meeting
    heavier = replace(meeting.accounts[0], E=meeting.accounts[2].E)
    raw = meeting.signed("ballot", meeting.ballot(heavier, {"nominee-1": FOR}), meeting.intake)
    assert fates(open_house, raw) == [("refusal", "bad-proof")]
    refusal = open_house.vault.entries()[-1]
    check_signatures(meeting.manifest, refusal)
    assert refusal.fields["identity"] == parse_entry(raw).identity
    assert (refusal.fields["intake"], refusal.fields["kind"]) == ("intake-1", "ballot")


def test_a_ballot_with_anothers_choices_is_refused(open_house: House) -> None:
    meeting = open_house.meeting
    other = meeting.ballot(meeting.accounts[1], {"nominee-1": FOR})
    assert fates(open_house, open_house.ballot(0, contests=other["contests"])) == [("refusal", "bad-signature")]


def test_a_holder_of_no_row_is_refused(open_house: House) -> None:
    stranger = Meeting(seed=9).found().ceremony().rolls().accounts[0]
    body = {**open_house.meeting.ballot(open_house.meeting.accounts[0], {}), "pseudonym": b64(stranger.pseudonym.raw)}
    raw = open_house.meeting.signed("ballot", body, open_house.meeting.intake)
    assert fates(open_house, raw) == [("refusal", "unknown-pseudonym")]


def test_bytes_that_are_no_entry_are_counted_and_leave_no_trace(open_house: House) -> None:
    ballot = open_house.ballot()
    assert figures(open_house, b"", b"\x00" * 70_000, ballot[:-5], ballot.replace(b"ballot", b"bullet", 1)) == (0, 4)


def test_a_ballot_whose_line_is_not_by_an_intake_is_nobodys(open_house: House) -> None:
    entry = parse_entry(open_house.ballot())
    official = seal(entry.text, open_house.meeting.parties.officials[:1])
    twice = seal(entry.text, open_house.meeting.parties.intakes)
    forged = open_house.ballot(1).rpartition(b"\n\n")[2]
    assert figures(open_house, official, twice, entry.text + b"\n" + forged) == (0, 3)


def test_an_entry_of_another_election_is_nobodys(open_house: House) -> None:
    other = Meeting(seed=3).prepared()
    rehearsal = Meeting(seed=3, origin=open_house.meeting.origin, parties=open_house.meeting.parties).prepared()
    ballots = [m.signed("ballot", m.ballot(m.accounts[0], {}), m.intake) for m in (other, rehearsal)]
    assert figures(open_house, *ballots) == (0, 2)


def test_a_receipt_cannot_be_recorded(open_house: House) -> None:
    body = {"deadline": 1, "identity": b64(bytes(32)), "kind": "ballot", "leaf": b64(bytes(32))}
    body |= {"manifest": open_house.meeting.hash}
    assert figures(open_house, open_house.meeting.signed("receipt", body, open_house.meeting.intake)) == (0, 1)


def test_a_refusal_is_the_logs_to_make(open_house: House) -> None:
    forged = {
        "detail": "",
        "identity": b64(bytes(32)),
        "intake": "intake-1",
        "kind": "ballot",
        "leaf": b64(bytes(32)),
        "manifest": open_house.meeting.hash,
        "reason": "closed",
    }
    assert figures(open_house, open_house.meeting.signed("refusal", forged, open_house.meeting.intake)) == (0, 1)


def test_the_same_ballot_again_is_passed_over_and_its_proofs_are_not_checked_again(open_house: House) -> None:
    ballot = open_house.ballot()
    assert fates(open_house, ballot, ballot) == [("ballot", "")]
    checked = sum(pool.checked for pool in open_house.pools)
    assert figures(open_house, ballot) == (1, 0)
    assert sum(pool.checked for pool in open_house.pools) == checked


def test_a_refused_ballot_again_is_passed_over(open_house: House) -> None:
    first, second = open_house.ballot(revision=1), open_house.ballot(revision=0)
    assert fates(open_house, first, second) == [("ballot", ""), ("refusal", "revision-lower")]
    assert figures(open_house, second) == (1, 0)


def test_two_ballots_of_one_revision_the_first_stands(open_house: House) -> None:
    assert fates(open_house, open_house.ballot()) == [("ballot", "")]
    assert fates(open_house, open_house.ballot()) == [("refusal", "revision-repeated")]


def test_a_ballot_through_two_intakes_is_accounted_for_by_both(open_house: House) -> None:
    entry = parse_entry(open_house.ballot())
    first, second = (seal(entry.text, [intake]) for intake in open_house.meeting.parties.intakes)
    assert fates(open_house, first) == [("ballot", "")]
    assert fates(open_house, second) == [("refusal", "duplicate")]
    assert fates(open_house, officials(open_house, "closing")) == [("closing", "")]
    accounts = [reconcile(open_house, 0, first), reconcile(open_house, 1, second)]
    assert fates(open_house, *accounts) == [("reconcile", "")] * 2
    assert fates(open_house, officials(open_house, "close", overruled=[])) == [("close", "")]


def test_an_act_that_was_early_is_never_recorded_but_drawn_up_anew(open_house: House) -> None:
    close = officials(open_house, "close", overruled=[])
    assert fates(open_house, close) == [("refusal", "wrong-phase")]
    assert figures(open_house, close) == (1, 0)
    open_house.record(officials(open_house, "closing"))
    open_house.record(reconcile(open_house, 0), reconcile(open_house, 1))
    assert figures(open_house, close) == (1, 0)
    assert fates(open_house, officials(open_house, "close", overruled=[])) == [("close", "")]


def test_a_close_does_not_shut_out_ballots_taken_with_it(open_house: House) -> None:
    open_house.record(officials(open_house, "closing"))
    close = officials(open_house, "close", overruled=["intake-1", "intake-2"])
    assert fates(open_house, close, open_house.ballot()) == [("ballot", ""), ("close", "")]


def test_a_ballot_after_the_close_is_refused_in_the_log(open_house: House) -> None:
    open_house.record(officials(open_house, "closing"))
    open_house.record(officials(open_house, "close", overruled=["intake-1", "intake-2"]))
    assert fates(open_house, open_house.ballot()) == [("refusal", "closed")]


def test_more_than_one_append_holds_is_taken_in_turns(open_house: House) -> None:
    ballots = [open_house.ballot(account, revision) for revision in range(90) for account in range(3)]
    recorded: list[Entry] = open_house.record(*ballots)
    assert [entry.kind for entry in recorded].count("ballot") == 270
    assert {open_house.vault.size(i) for i in range(3)} >= {len(recorded)}
    assert open_house.replay(1).ballots == 270
