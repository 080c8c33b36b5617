"""The end of the vote at one door: no ballot is taken any more, what was taken is passed on, and then accounted for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.entries import Entry, parse_entry
from audit.record.voting import reconcile_root
from infra import failpoints
from intake.door.outbox import Accepted, Drained
from tests.door.conftest import Place, signed
from tests.door.test_circles import blocked
from tests.loopback import PATIENCE, wait_until


def reconciliations(place: Place) -> list[Entry]:
    entries = (parse_entry(raw) for raw in place.queue.entries)
    return [entry for entry in entries if entry.kind == "reconcile"]


def test_a_ballot_after_closing(place: Place) -> None:
    with place.running() as client:
        client.accepted(place.text())
        client.read_closing()
        problem = client.refused(place.text(1))
    assert (problem["status"], problem["reason"], problem["field"]) == (409, "closed", "type")


def test_a_ballot_before_opening(place: Place) -> None:
    opened = place.meeting.entries.pop()
    place.board.publish()
    with place.running() as client:
        problem = client.refused(place.text())
        assert (problem["status"], problem["reason"], problem["field"]) == (409, "not-open", "type")
        place.meeting.entries.append(opened)
        place.board.publish()
        wait_until(lambda: client.post(place.text()).status_code == 201)


def test_ballots_are_drained_before_they_are_accounted_for_and_the_vote_can_be_closed(place: Place) -> None:
    place.queue.silent = True
    with place.running() as client:
        texts = [place.text(0), place.text(1), place.text(1, revision=1)]
        identities = sorted(signed(raw, client.accepted(raw)["line"]).identity for raw in texts)
        client.read_closing()
        place.queue.silent = False
        wait_until(lambda: len(place.queue.entries) == 3)
        assert reconciliations(place) == []
        # The higher revision first: tally refuses the lower one, by name, and that settles it as well.
        for raw in sorted(place.queue.entries, key=lambda raw: -parse_entry(raw).fields["revision"]):
            tally(place, raw)
        wait_until(lambda: reconciliations(place) != [])
        (account,) = reconciliations(place)
        assert (account.fields["count"], account.fields["root"]) == reconcile_root(identities)
        place.board.record(account.raw)
        place.meeting.close("intake-2")
        place.board.publish()
    assert place.meeting.election.phase == "closed"


def tally(place: Place, raw: bytes) -> None:
    """Records an entry, or the refusal of it."""
    meeting, entry = place.meeting, parse_entry(raw)
    try:
        place.board.record(raw)
    except Refused as refusal:
        said = {"detail": refusal.detail, "intake": entry.signatures[0].name, "reason": refusal.reason}
        said |= {"identity": b64(entry.identity), "kind": entry.kind, "leaf": b64(entry.leaf)}
        body = {"manifest": meeting.hash, **said}
        place.board.record(meeting.signed("refusal", body, meeting.parties.log[0]))


def test_one_account_is_made_and_it_outlives_restarts(place: Place) -> None:
    with place.running() as client:
        client.accepted(place.text())
        wait_until(lambda: place.tally() != [])
        client.read_closing()
        wait_until(lambda: reconciliations(place) != [])
    first = reconciliations(place)[0]
    with place.running() as client:
        wait_until(lambda: client.ready)
        place.board.record(first.raw)
        wait_until(lambda: place.waiting == 0)
    assert {entry.raw for entry in reconciliations(place)} == {first.raw}


def test_no_ballot_slips_in_behind_the_account(place: Place) -> None:
    """Whatever a stale custodian shows: once accounted for, the database itself takes no ballot."""
    place.meeting.closing()
    place.board.publish()
    with place.running() as client:
        wait_until(lambda: client.ready and reconciliations(place) != [])
    opened = next(i for i, raw in enumerate(place.meeting.entries) if raw.startswith(b"psephos/v1 open\n"))
    place.board.publish(opened + 1)
    with place.running() as client:
        problem = client.refused(place.text())
    assert (problem["status"], problem["reason"]) == (409, "closed")
    entry = parse_entry(place.meeting.signed("ballot", place.body(1), place.intake))
    assert isinstance(place.outbox.accept([(entry, 1)])[0], Drained)
    assert list(place.outbox.ballots()) == []


@pytest.fixture
def committing() -> Iterator[tuple[threading.Event, threading.Event]]:
    """Who accepts stops before its commit, once the first is set, until the second is."""
    here, go_on = threading.Event(), threading.Event()

    def stop(name: str) -> None:
        if name == "outbox.committing":
            here.set()
            go_on.wait(PATIENCE)

    failpoints.set(stop)
    yield here, go_on
    failpoints.set(None)


def test_the_account_waits_for_a_ballot_that_is_being_stored(
    place: Place, committing: tuple[threading.Event, threading.Event]
) -> None:
    """Its intake is about to promise it: an account of none would be false."""
    here, go_on = committing
    ballot = parse_entry(place.meeting.signed("ballot", place.body(), place.intake))
    count, root = reconcile_root([])
    body = {"count": count, "manifest": place.meeting.hash, "root": b64(root), "signer": place.intake.name}
    account = parse_entry(place.meeting.signed("reconcile", body, place.intake))
    with ThreadPoolExecutor(2) as threads:
        storing = threads.submit(place.outbox.accept, [(ballot, 1)])
        try:
            assert here.wait(PATIENCE)
            draining = threads.submit(place.outbox.drain, place.intake.name, lambda _: (account, 1))
            wait_until(lambda: draining.done() or blocked(place, 1))
        finally:
            go_on.set()
        (stored,) = storing.result(PATIENCE)
        assert (type(stored), draining.result(PATIENCE)) == (Accepted, False)
    assert list(place.outbox.ballots()) == [ballot.raw]
