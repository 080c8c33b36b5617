"""What the log refuses under an intake's name is an answer to the bytes it names, and to no others."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from audit.log.merkle import leaf_hash
from audit.protocol.group import b64
from audit.record.entries import Entry, parse_entry
from audit.record.voting import reconcile_root
from infra.metrics import Metrics
from intake.door import watch
from tests.door.conftest import Place, signed
from tests.door.copied import lose
from tests.door.test_closing import reconciliations, tally
from tests.door.test_figures import Watched, told
from tests.loopback import serving, wait_until


def refuse(place: Place, entry: Entry, leaf: bytes, **changes: str) -> None:
    """The log refuses bytes with this leaf hash, as if intake-1 had passed them on as this ballot, or as `changes`
    say.
    """
    place.board.record(refusal(place, entry, leaf, **changes))


def refusal(place: Place, entry: Entry, leaf: bytes, **changes: str) -> bytes:
    fields = {"detail": "", "identity": b64(entry.identity), "intake": "intake-1", "kind": "ballot"}
    body = {**fields, "leaf": b64(leaf), "manifest": place.meeting.hash, "reason": "bad-signature", **changes}
    return place.meeting.signed("refusal", body, place.meeting.parties.log[0])


def spoil(place: Place, raw: bytes) -> bytes:
    """What a thief of the intake's key makes of a ballot on its way."""
    body = parse_entry(raw).body
    signature = {**body["signature"], "z": b64(bytes([1]) + bytes(31))}
    return place.meeting.signed("ballot", {**body, "signature": signature}, place.intake)


def test_a_spoiled_copy_settles_nothing_and_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, object]] = []
    monkeypatch.setattr(watch.log, "error", lambda event, **fields: said.append((event, fields)))
    with place.running() as client:
        entry = signed(raw := place.text(), client.accepted(raw)["line"])
        wait_until(lambda: place.queue.entries != [])
        refuse(place, entry, leaf_hash(spoil(place, entry.raw)))
        wait_until(lambda: said != [])
        assert said == [("refused-otherwise", {"refusals": 1})]
        assert place.waiting == 1 and client.ready
        # Also the account waits for the answer to what was promised, and then is of all, once.
        client.read_closing()
        assert reconciliations(place) == []
        tally(place, entry.raw)
        wait_until(lambda: reconciliations(place) != [])
        (account,) = reconciliations(place)
        assert (account.fields["count"], account.fields["root"]) == reconcile_root([entry.identity])
        place.board.record(account.raw)
        place.meeting.close("intake-2")
    assert place.meeting.election.phase == "closed" and place.meeting.election.ballots == 1


def test_a_refusal_of_something_else_takes_no_ballot_out(place: Place) -> None:
    """Whoever has the log's key could so have every intake drop it, under no intake's name."""
    with place.running() as client:
        entry = signed(raw := place.text(), client.accepted(raw)["line"])
        refuse(place, entry, entry.leaf, kind="notice", intake="")
        client.read_closing()
        assert list(place.outbox.ballots()) == [entry.raw]


def test_nor_does_one_of_something_else_under_the_intake_s_own_name(place: Place) -> None:
    """No such thing bears an intake's line, so the log is wrong: it is neither believed nor counted as an answer when
    voting closes.
    """
    with place.running() as client:
        entry = signed(raw := place.text(), client.accepted(raw)["line"])
        place.meeting.entries.append(refusal(place, entry, entry.leaf, kind="notice"))
        place.board.publish()
        wait_until(lambda: client.post(raw).json().get("reason") == "wrong-log")
        assert list(place.outbox.ballots()) == [entry.raw]


def test_what_was_taken_out_of_an_outbox_waits_anew_when_it_is_handed_in_again(place: Place) -> None:
    place.queue.silent = True
    with place.running() as client:
        entry = signed(raw := place.text(), (first := client.accepted(raw))["line"])
        with place.owner.begin() as connection:
            connection.execute(text("DELETE FROM outbox"))
        again = client.post(raw)
        assert (again.status_code, again.json(), place.waiting) == (200, first, 1)
        place.board.record(entry.raw)
        wait_until(lambda: place.waiting == 0)
        assert (client.post(raw).json(), place.waiting) == (first, 0)


def test_what_was_refused_in_these_bytes_waits_no_more(place: Place) -> None:
    with place.running() as client:
        entry = signed(raw := place.text(), (first := client.accepted(raw))["line"])
        refuse(place, entry, entry.leaf)
        wait_until(lambda: place.waiting == 0)
        assert (client.post(raw).json(), place.waiting) == (first, 0)


def test_it_is_told_again_after_a_restart_and_the_ballot_still_waits(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.running() as client:
        entry = signed(raw := place.text(), client.accepted(raw)["line"])
    refuse(place, entry, bytes(32))
    said: list[str] = []
    monkeypatch.setattr(watch.log, "error", lambda event, **fields: said.append(event))
    with place.running() as client:
        wait_until(lambda: client.ready)
        assert (said, place.waiting) == (["refused-otherwise"], 1)


def test_an_outbox_that_was_lost_is_not_settled_by_it_either(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "WAITS", 0)
    with place.running() as client:
        entry = signed(raw := place.text(), client.accepted(raw)["line"])
    refuse(place, entry, bytes(32))
    lose(place)
    with place.running() as client:
        client.accepted(raw)
        place.queue.batches.clear()
        client.read_closing()
        wait_until(lambda: place.queue.entries == [entry.raw])
        assert place.waiting == 1
        tally(place, entry.raw)
        wait_until(lambda: reconciliations(place) != [])
    assert place.meeting.election.ballots == 1


def test_who_looks_at_the_figures_sees_the_alarm_and_it_stays_ready(place: Place) -> None:
    with place.running() as client:
        entry = signed(raw := place.text(), client.accepted(raw)["line"])
    refuse(place, entry, bytes(32))
    watched = Watched(place, Metrics())
    with serving(watched.app):
        wait_until(lambda: told(watched.metrics).get('alarm{alarm="refused-otherwise"}') == 1)
        wait_until(lambda: watched.ready() == "")
