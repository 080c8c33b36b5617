"""A restored outbox accounts for its ballots once, for all of them, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from audit.protocol.group import b64
from audit.record.entries import Entry, parse_entry
from audit.record.voting import reconcile_root
from intake.door import watch
from tests.door.conftest import Client, Place, signed
from tests.door.copied import copy, handed_in, lose, put_back
from tests.door.test_closing import reconciliations, tally
from tests.loopback import wait_until


def test_a_restored_outbox_gives_no_second_account(place: Place, tmp_path: Path) -> None:
    """The first is in the log. Nor does it take a ballot after it, whatever a custodian shows."""
    with place.running() as client:
        path = copy(place, tmp_path / "outbox")
        handed_in(place, client, 0)
        wait_until(lambda: place.tally() != [])
        client.read_closing()
        wait_until(lambda: reconciliations(place) != [])
    first = reconciliations(place)[0]
    place.board.record(first.raw)
    lose(place)
    put_back(place, path)
    place.queue.batches.clear()
    with place.running() as client:
        wait_until(lambda: client.ready)
    assert reconciliations(place) == []
    # Before its loss, it could as well have been shown this.
    opened = next(i for i, raw in enumerate(place.meeting.entries) if raw.startswith(b"psephos/v1 open\n"))
    place.board.publish(opened + 1)
    with place.running() as client:
        assert client.refused(place.text(1))["reason"] == "closed"


def accounted(place: Place, client: Client) -> list[Entry]:
    wait_until(lambda: client.ready)
    wait_until(lambda: reconciliations(place) != [])
    return reconciliations(place)


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "WAITS", 0)


@pytest.mark.usefixtures("no_wait")
def test_an_account_that_is_still_on_its_way_is_given_again_in_the_same_bytes(place: Place, tmp_path: Path) -> None:
    with place.running() as client:
        path = copy(place, tmp_path / "outbox")
        handed_in(place, client, 0)
        wait_until(lambda: place.tally() != [])
        client.read_closing()
        (first,) = accounted(place, client)
    lose(place)
    put_back(place, path)
    with place.running() as client:
        assert {entry.raw for entry in accounted(place, client)} == {first.raw}


@pytest.mark.usefixtures("no_wait")
def test_a_restored_outbox_that_knows_less_than_the_log_gives_no_account(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal bears no line of this intake: nothing shows that the refused ballot came from here."""
    said = list[str]()
    monkeypatch.setattr(watch.log, "error", said.append)
    with place.running() as client:
        path = copy(place, tmp_path / "outbox")
        handed_in(place, client, 0)
        wait_until(lambda: place.tally() != [])
        body = {"detail": "", "intake": "intake-1", "kind": "ballot", "manifest": place.meeting.hash}
        other = parse_entry(place.meeting.signed("ballot", place.body(1), place.intake))
        refusal = {**body, "identity": b64(other.identity), "leaf": b64(other.leaf), "reason": "bad-proof"}
        place.board.record(place.meeting.signed("refusal", refusal, place.meeting.parties.log[0]))
        client.read_closing()
    lose(place)
    put_back(place, path)
    place.queue.batches.clear()
    with place.running() as client:
        wait_until(lambda: client.ready)
        wait_until(lambda: said == ["cannot-account"])
        assert reconciliations(place) == []
    # One that was never restored accounts for what it knows, and so shows that tally has made this up.
    with place.owner.begin() as connection:
        connection.execute(text("DELETE FROM restored"))
    with place.running() as client:
        (account,) = accounted(place, client)
        (ballot,) = (parse_entry(raw) for raw in place.meeting.entries if raw.startswith(b"psephos/v1 ballot"))
        assert (account.fields["count"], account.fields["root"]) == reconcile_root([ballot.identity])


def test_a_restored_outbox_waits_for_what_may_still_be_on_its_way(place: Place, tmp_path: Path) -> None:
    """A ballot is in the queue, forgotten by its intake: an account without it would be false."""
    place.queue.silent = True
    with place.running() as client:
        path = copy(place, tmp_path / "outbox")
        ((raw, answer),) = handed_in(place, client, 0)
        client.read_closing()
    entry = signed(raw, answer["line"])
    lose(place)
    put_back(place, path)
    place.queue.silent = False
    with place.running() as client:
        wait_until(lambda: client.ready)
        tally(place, entry.raw)
        (account,) = accounted(place, client)
    assert (account.fields["count"], account.fields["root"]) == reconcile_root([entry.identity])


def test_a_ballot_that_the_log_refused_before_it_was_forgotten_does_not_keep_the_vote_open(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "WAITS", 0)
    with place.running() as client:
        ((raw, answer),) = handed_in(place, client, 0)
        entry = signed(raw, answer["line"])
        fields = {"detail": "", "identity": b64(entry.identity), "intake": "intake-1", "kind": "ballot"}
        body = {**fields, "leaf": b64(entry.leaf), "manifest": place.meeting.hash, "reason": "bad-proof"}
        place.board.record(place.meeting.signed("refusal", body, place.meeting.parties.log[0]))
        wait_until(lambda: place.waiting == 0)
    lose(place)
    with place.running() as client:
        client.accepted(raw)
        client.read_closing()
        (account,) = accounted(place, client)
    assert account.fields["count"] == 1
