"""What the door answers to what it takes: a receipt, after the entry is on disk, and always the same one."""

from __future__ import annotations

import time
from dataclasses import replace

import httpx

from audit.log.merkle import leaf_hash
from audit.log.notes import verify_signature
from audit.protocol.group import b64
from audit.record.entries import parse_entry, seal
from infra.sole import Occupied
from tests.door.conftest import AGAINST, FOR, Client, Place, signed
from tests.loopback import PATIENCE, serving, wait_until


def test_a_ballot_gets_a_receipt_for_the_entry_as_it_will_stand_in_the_log(place: Place) -> None:
    raw = place.text()
    with place.running() as client:
        answer = client.accepted(raw)
    entry = signed(raw, answer["line"])
    receipt = parse_entry(answer["receipt"].encode())
    verify_signature(place.intake.verifier, receipt.text, receipt.signatures[0])
    verify_signature(place.intake.verifier, entry.text, entry.signatures[0])
    assert receipt.kind == "receipt"
    assert receipt.fields["identity"] == entry.identity
    assert receipt.fields["leaf"] == entry.leaf
    assert receipt.fields["manifest"] == place.meeting.manifest.hash
    # Ten batch waits, half a second each.
    assert 0 < receipt.fields["deadline"] - time.time() < 6


def test_the_same_text_again_is_200_with_the_same_receipt(place: Place) -> None:
    raw = place.text()
    with place.running() as client:
        first = client.accepted(raw)
        again = client.post(raw)
    assert (again.status_code, again.json()) == (200, first)


def test_the_same_text_is_known_after_a_restart_in_the_log_and_after_the_vote(place: Place) -> None:
    raw = place.text()
    with place.running() as client:
        first = client.accepted(raw)
    with place.running() as client:
        wait_until(lambda: client.ready)
        assert (client.post(raw).status_code, client.post(raw).json()) == (200, first)
        place.board.record(signed(raw, first["line"]).raw)
        client.read_closing()
        assert (client.post(raw).status_code, client.post(raw).json()) == (200, first)


def test_it_is_in_the_outbox_before_the_answer_and_passed_on(place: Place) -> None:
    place.queue.silent = True
    raw = place.text()
    with place.running() as client:
        entry = signed(raw, client.accepted(raw)["line"])
        assert list(place.outbox.ballots()) == [entry.raw]
        place.queue.silent = False
        wait_until(lambda: place.queue.entries == [entry.raw])


def test_the_same_entry_twice_in_one_batch_and_again(place: Place) -> None:
    entry = parse_entry(place.meeting.signed("ballot", place.body(), place.intake))
    first, second = place.outbox.accept([(entry, 5), (entry, 6)])
    assert first == second
    (again,) = place.outbox.accept([(entry, 9)])
    assert again == replace(first, new=False)
    assert list(place.outbox.ballots()) == [entry.raw]


def test_a_higher_revision_replaces_and_both_are_passed_on(place: Place) -> None:
    with place.running() as client:
        client.accepted(place.text(0, FOR, revision=0))
        client.accepted(place.text(0, AGAINST, revision=1))
        wait_until(lambda: len(place.queue.entries) == 2)


def test_an_official_act_is_handed_in_signed_and_its_line_is_empty(place: Place) -> None:
    meeting = place.meeting
    raw = meeting.resolution("closing")
    with place.running() as client:
        answer = client.accepted(raw)
        assert client.post(raw).json() == answer
        assert answer["line"] == ""
        assert parse_entry(answer["receipt"].encode()).fields["leaf"] == parse_entry(raw).leaf
        wait_until(lambda: place.queue.entries == [raw])


def test_an_act_that_tally_found_too_early_is_passed_on_again_when_it_is_handed_in_again(place: Place) -> None:
    meeting = place.meeting
    raw = meeting.resolution("closing")
    said = {"detail": "too early", "intake": "", "kind": "closing", "manifest": meeting.hash, "reason": "wrong-phase"}
    refusal = {"identity": b64(parse_entry(raw).identity), "leaf": b64(leaf_hash(raw)), **said}
    with place.running() as client:
        client.accepted(raw)
        place.board.record(meeting.signed("refusal", refusal, meeting.parties.log[0]))
        wait_until(lambda: place.waiting == 0)
        place.queue.batches.clear()
        assert client.post(raw).status_code == 200
        wait_until(lambda: place.queue.entries == [raw])
    with place.running() as client:
        # Read again from the beginning, the old refusal does not settle what came after it.
        wait_until(lambda: client.ready)
        assert place.waiting == 1


def refuse(place: Place, raw: bytes) -> None:
    """The log says that an official act came too early."""
    meeting = place.meeting
    said = {"detail": "too early", "intake": "", "kind": "closing", "manifest": meeting.hash, "reason": "wrong-phase"}
    refusal = {"identity": b64(parse_entry(raw).identity), "leaf": b64(leaf_hash(raw)), **said}
    place.board.record(meeting.signed("refusal", refusal, meeting.parties.log[0]))
    wait_until(lambda: place.waiting == 0)


def test_an_act_handed_in_again_by_another_quorum_is_promised_as_it_will_stand_in_the_log(place: Place) -> None:
    raw = place.meeting.resolution("closing")
    text, officials = parse_entry(raw).text, place.meeting.parties.officials
    other = seal(text, officials[1:3])
    assert raw != other
    with place.running() as client:
        client.accepted(raw)
        refuse(place, raw)
        place.queue.batches.clear()
        answer = client.post(other)
        assert answer.status_code == 200
        assert parse_entry(answer.json()["receipt"].encode()).fields["leaf"] == parse_entry(other).leaf
        wait_until(lambda: place.queue.entries == [other])


def test_what_was_refused_is_not_promised_again_while_another_process_is_at_work(place: Place) -> None:
    raw, occupied = place.meeting.resolution("closing"), list[bool]()

    def expect() -> None:
        if occupied:
            raise Occupied("another process may be at work on these tables")

    app = replace(place.door(), expect=expect).app()
    with serving(app) as url, httpx.Client(base_url=url, timeout=PATIENCE) as http:
        client = Client(place, http)
        client.accepted(raw)
        refuse(place, raw)
        occupied.append(True)
        answer = client.post(raw)
        assert (answer.status_code, answer.json()["reason"]) == (503, "not-ready")
        assert place.waiting == 0
        occupied.clear()
        assert client.post(raw).status_code == 200


def test_while_an_act_waits_no_leaf_is_promised_that_will_never_be(place: Place) -> None:
    raw = place.meeting.resolution("closing")
    other = seal(parse_entry(raw).text, place.meeting.parties.officials[1:3])
    with place.running() as client:
        first = client.accepted(raw)
        problem = client.refused(other)
        assert (problem["status"], problem["reason"], problem["field"]) == (409, "duplicate", "signatures")
        assert client.post(raw).json() == first


def test_a_ballot_that_is_in_the_log_through_another_intake(place: Place) -> None:
    """Handed in again here: a refusal must not say that another ballot has taken its place."""
    raw, other = place.text(), place.meeting.parties.intakes[1]
    place.board.record(signed(raw, other.sign(raw).line).raw)
    with place.running() as client:
        problem = client.refused(raw)
        assert (problem["status"], problem["reason"]) == (409, "duplicate")
        assert problem["detail"] == "this ballot is in the log already, as intake-2 passed it on"
        assert client.refused(place.text(0, AGAINST))["reason"] == "revision-repeated"
