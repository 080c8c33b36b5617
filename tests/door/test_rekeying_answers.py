"""What is answered to who hands in a ballot again that was promised by a key which has been replaced since."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, text

from audit.log.keys import Signer
from audit.protocol.refused import Refused
from audit.record.entries import Entry, parse_entry, seal
from infra.hand_in import open_receipt
from intake.door import resigning, watch
from intake.door.outbox import Accepted, Outbox
from tests.door.conftest import Client, Place
from tests.door.test_rekeying import NEW, key_of, replace_key, waiting_keys
from tests.loopback import PATIENCE, wait_until


@pytest.mark.parametrize("revision", [0, 1])
def test_what_the_log_holds_by_the_key_of_before_is_answered_with_its_receipt(place: Place, revision: int) -> None:
    """Also if the same holder has cast another since."""
    place.keys = (place.intake, *NEW)
    with place.running() as client:
        ballot = place.text(0)
        old = client.accepted(ballot)
        # One after the other: in one batch they would be shuffled.
        wait_until(lambda: bool(place.tally()) or place.waiting == 0)
        if revision:
            client.accepted(place.text(0, revision=revision))
            wait_until(lambda: bool(place.tally()) or place.waiting == 0)
        manifest = place.meeting.manifest
        replace_key(place)
        wait_until(lambda: client.post(ballot).json().get("receipt") not in (None, old["receipt"]))
        again = client.post(ballot)
        assert again.status_code == 200
    assert again.json()["line"] == old["line"]
    # The same promise, signed by the key that counts now, and good for whoever has read of the rekey.
    receipts = [parse_entry(answer["receipt"].encode()) for answer in (old, again.json())]
    assert receipts[0].text == receipts[1].text
    assert open_receipt(place.meeting.manifest, ballot, again.content).leaf == receipts[0].fields["leaf"]
    with pytest.raises(Refused, match="receipt does not hold"):
        open_receipt(manifest, ballot, again.content)


@contextmanager
def promised_and_taken_out(place: Place) -> Iterator[tuple[Client, bytes, dict[str, str]]]:
    """A ballot with the receipt for it, by the key of before, and nothing that waits; the queue is silent."""
    place.keys = (place.intake, *NEW)
    place.queue.silent = True
    with place.running() as client:
        ballot = place.text(0)
        promised = client.accepted(ballot)
        with place.owner.begin() as connection:
            connection.execute(text("DELETE FROM outbox"))
        yield client, ballot, promised


def know_of_it(place: Place, client: Client) -> None:
    """The key is replaced, and what comes is signed by the new one."""
    replace_key(place)
    wait_until(lambda: client.post(place.text(1)).status_code in (200, 201))
    wait_until(lambda: NEW[0].verifier.key_id in waiting_keys(place))


def test_what_the_key_of_before_promised_and_somebody_took_out_waits_anew_by_the_key_that_counts(place: Place) -> None:
    with promised_and_taken_out(place) as (client, ballot, old):
        know_of_it(place, client)
        again = client.post(ballot)
        assert (again.status_code, place.waiting) == (200, 2)
        assert key_of(old["line"]) != key_of(again.json()["line"]) == NEW[0].verifier.key_id
        promised = open_receipt(place.meeting.manifest, ballot, again.content)
        assert promised.leaf in {parse_entry(raw).leaf for raw in place.outbox.ballots()}


def test_what_waits_anew_with_the_line_of_a_key_replaced_meanwhile_is_signed_anew(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the process had been stopped between the line and its row."""
    renew = Outbox.renew

    def late(self: Outbox, entry: Entry, deadline: int) -> Accepted:
        know_of_it(place, client)
        return renew(self, entry, deadline)

    with promised_and_taken_out(place) as (client, ballot, _):
        monkeypatch.setattr(Outbox, "renew", late)
        client.post(ballot)
        wait_until(lambda: (place.waiting, waiting_keys(place)) == (2, {NEW[0].verifier.key_id}))


def test_whose_line_is_by_a_key_replaced_meanwhile_has_no_receipt_for_what_somebody_else_had_wait_anew(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    renew = Outbox.renew

    def late(self: Outbox, entry: Entry, deadline: int) -> Accepted:
        know_of_it(place, client)
        renew(self, parse_entry(seal(entry.text, NEW)), deadline)
        return renew(self, entry, deadline)

    with promised_and_taken_out(place) as (client, ballot, _):
        with monkeypatch.context() as patched:
            patched.setattr(Outbox, "renew", late)
            answer = client.post(ballot)
        assert (answer.status_code, answer.json()["reason"]) == (503, "not-ready")
        again = client.post(ballot)
        assert (again.status_code, key_of(again.json()["line"])) == (200, NEW[0].verifier.key_id)


def by_the_new(answer: httpx.Response) -> bool:
    return answer.is_success and key_of(answer.json()["line"]) == NEW[0].verifier.key_id


def test_what_still_waits_with_the_line_of_before_is_not_promised_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That line will be in no log; a receipt for the next is given once it stands there."""
    go_on, sign_page = threading.Event(), watch.sign_page

    def held(connection: Connection, origin: str, signer: Signer, *rest: Any) -> resigning.Page:
        if signer == NEW[0]:
            go_on.wait(PATIENCE)
        return sign_page(connection, origin, signer, *rest)

    monkeypatch.setattr(watch, "sign_page", held)
    place.keys = (place.intake, *NEW)
    place.queue.silent = True
    with place.running() as client:
        client.accepted(ballot := place.text(0))
        replace_key(place)
        revisions = itertools.count()
        try:
            # Not one ballot again and again: the first may have come before the news.
            wait_until(lambda: by_the_new(client.post(place.text(1, revision=next(revisions)))))
            answer = client.post(ballot)
            assert (answer.status_code, answer.json()["reason"]) == (503, "not-ready")
        finally:
            go_on.set()
        wait_until(lambda: client.post(ballot).is_success)
        promised = open_receipt(place.meeting.manifest, ballot, client.post(ballot).content)
        assert promised.leaf in {parse_entry(raw).leaf for raw in place.outbox.ballots()}


def test_after_a_restart_with_the_new_key_alone_it_is_said_that_the_log_holds_it(place: Place) -> None:
    with place.running() as client:
        ballot = place.text(0)
        client.accepted(ballot)
        wait_until(lambda: bool(place.tally()) or place.waiting == 0)
    replace_key(place)
    place.keys = NEW
    with place.running() as client:
        problem = client.refused(ballot)
        assert (problem["status"], problem["reason"]) == (409, "duplicate")
        assert problem["detail"] == "this ballot is in the log already, as intake-1 passed it on"
        assert client.refused(place.text(0, (0, 1, 0)))["reason"] == "revision-repeated"
