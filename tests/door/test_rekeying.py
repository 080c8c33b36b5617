"""The intake's key is replaced while it takes ballots: nothing that it promised is lost, and nothing it could not keep
is promised."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from sqlalchemy import Connection, text

from audit.log.keys import Signer
from audit.log.notes import parse_signature_lines
from audit.record.entries import Entry, parse_entry, seal
from infra.follow import Follower
from intake.door import resigning
from intake.door.key import DoorKey
from intake.door.outbox import Waiting
from intake.door.serve import storing
from intake.door.standing import Standing
from intake.door.watch import Watch
from tests.door.board import Board
from tests.door.conftest import Place
from tests.loopback import wait_until
from tests.simulator.dice import Dice
from tests.simulator.rekeys import rekeying, take_over

NEW = Dice(80).signers("intake-1")


def replace_key(place: Place, new: Sequence[Signer] = NEW) -> bytes:
    """The officials do, elsewhere; the log shows it."""
    raw = rekeying(place.meeting, "intake", "intake-1", new)
    place.board.record(raw)
    take_over(place.meeting, "intake", "intake-1", new)
    return raw


def key_of(line: str) -> bytes:
    """The id of the key that made a signature line."""
    return parse_signature_lines(line.encode())[0].key_id


def test_what_waits_is_signed_anew_and_recorded(place: Place) -> None:
    place.keys = (place.intake, *NEW)
    place.queue.silent = True
    with place.running() as client:
        ballot = place.text(0)
        old = client.accepted(ballot)
        replace_key(place)
        wait_until(lambda: waiting_keys(place) == {NEW[0].verifier.key_id})
        place.queue.silent = False
        wait_until(lambda: place.queue.entries)
        wait_until(lambda: bool(place.tally()) or place.waiting == 0)
        again = client.post(ballot)
    assert place.meeting.election.ballots == 1
    assert again.status_code == 200 and again.json()["receipt"] != old["receipt"]
    assert key_of(old["line"]) != key_of(again.json()["line"]) == NEW[0].verifier.key_id


def test_more_than_one_page_of_what_waits_and_the_door_waits_for_the_first_alone(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resigning, "PAGE", 2)
    ballots = [place.body(account, revision=revision) for account in range(3) for revision in range(2)]
    entries = [parse_entry(place.meeting.signed("ballot", body, place.intake)) for body in ballots]
    place.outbox.accept([(entry, 1_700_000_000) for entry in entries])
    replace_key(place)
    hours, steps = Hours(place), 0
    while not hours.standing.ready:
        hours.watch.step()
    assert len(waiting_keys(place)) == 2
    while hours.watch.step():
        steps += 1
    assert (steps, waiting_keys(place)) == (2, {NEW[0].verifier.key_id})
    assert {parse_entry(raw).text for raw in place.outbox.ballots()} == {entry.text for entry in entries}
    again = [parse_entry(raw) for raw in place.outbox.ballots()]
    assert {(one.identity, one.leaf) for one in again} == {
        (one.identity, one.leaf) for entry in entries if (one := place.outbox.find(entry.identity))
    }


@pytest.mark.parametrize("act", ["settle", "sign"])
def test_who_changes_what_waits_and_who_passes_it_on_do_not_wait_for_each_other(
    place: Place, act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has many rows, the one in the order of identities, the other as they lie there."""
    monkeypatch.setattr(resigning, "PAGE", 1)
    entries = [parse_entry(place.meeting.signed("ballot", place.body(account), place.intake)) for account in range(2)]
    entries.sort(key=lambda entry: entry.identity)
    for entry in reversed(entries):
        place.outbox.accept([(entry, 1_700_000_000)])

    def change(connection: Connection, at: int) -> None:
        if act == "settle":
            place.outbox.settle(connection, [(entries[at].identity, "ballot")])
        else:
            after = entries[0].identity if at else b""
            resigning.sign_page(connection, place.meeting.origin, NEW[0], by_anybody, after)

    with ThreadPoolExecutor(1) as mover:
        with place.engine.begin() as connection:
            change(connection, 0)
            waiting = [Waiting(entry.identity, entry.raw) for entry in entries]
            noted = mover.submit(place.outbox.offered, waiting, 10**10)
            wait_until(lambda: somebody_waits(place))
            change(connection, 1)
        noted.result()


def somebody_waits(place: Place) -> bool:
    with place.owner.connect() as connection:
        return bool(connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))


def test_what_the_queue_was_never_offered_leaves_in_a_batch_as_before(place: Place) -> None:
    """Alone and at once, whoever sees both sides could tell whose it is."""
    entries = [parse_entry(place.meeting.signed("ballot", place.body(account), place.intake)) for account in range(2)]
    place.outbox.accept([(entry, 1_700_000_000) for entry in entries])
    place.outbox.offered([Waiting(entries[0].identity, entries[0].raw)], 10**10)
    with place.engine.begin() as connection:
        signed = resigning.sign_page(connection, place.meeting.origin, NEW[0], by_anybody, b"")
    assert signed == resigning.Page(signed=2, strange=0, last=None)
    assert [one.identity for one in place.outbox.due_again(1, 9)] == [entries[0].identity]
    assert [one.identity for one in place.outbox.fresh(bytes(32), 9)] == [entries[1].identity]


def test_whoever_writes_into_the_database_has_nothing_signed(place: Place) -> None:
    """A ballot with a line of this intake's name, by a key that it never had."""
    (stranger,) = Dice(91).signers("intake-1")
    place.outbox.accept([(parse_entry(seal(place.text(0), [stranger])), 1_700_000_000)])
    hours = Hours(place).catch_up()
    replace_key(place)
    for _ in range(3):
        hours.pass_by()
    assert waiting_keys(place) == {stranger.verifier.key_id}


def test_after_a_restart_with_the_new_key_alone(place: Place) -> None:
    place.queue.silent = True
    with place.running() as client:
        client.accepted(place.text(0))
    replace_key(place)
    place.keys = NEW
    with place.running() as client:
        wait_until(lambda: client.ready)
        place.queue.silent = False
        wait_until(lambda: place.queue.entries)
        wait_until(lambda: bool(place.tally()) or place.waiting == 0)
    assert place.meeting.election.ballots == 1


class Hours:
    """A watch over the place, on clocks of its own, and what its requests store with; `boards`: what custodians show,
    if not all the same.
    """

    def __init__(self, place: Place, boards: Sequence[Board] = ()) -> None:
        self.now, manifest = 1_700_000_000.0, place.meeting.manifest.history[0]
        self.key, readers = DoorKey((place.intake, *NEW), manifest), boards or [place.board]
        follow = partial(Follower, readers, manifest.hash)
        clocks = {"clock": lambda: self.now, "monotonic": lambda: self.now}
        self.standing = Standing()
        self.watch = Watch(follow, self.standing, place.outbox, place.engine, manifest, self.key, **clocks)
        self.store = storing(place.outbox, self.key)

    def catch_up(self) -> Hours:
        while self.watch.step():
            pass
        return self

    def pass_by(self) -> None:
        self.now += 86_400
        self.watch.step()


def test_a_rekey_after_which_custodians_are_away_for_long(place: Place) -> None:
    place.outbox.accept([(parse_entry(place.meeting.signed("ballot", place.body(0), place.intake)), 1_700_000_000)])
    hours = Hours(place).catch_up()
    replace_key(place)
    assert hours.watch.step()
    place.board.down = True
    hours.pass_by()
    place.board.down = False
    hours.pass_by()
    assert waiting_keys(place) == {NEW[0].verifier.key_id}


@pytest.fixture
def long_after(place: Place) -> tuple[Hours, Entry]:
    """The key was replaced days ago, and nothing waited; and an entry that the one of before has signed."""
    late = parse_entry(place.meeting.signed("ballot", place.body(0), place.intake))
    hours = Hours(place).catch_up()
    replace_key(place)
    for _ in range(3):
        hours.pass_by()
    return hours, late


def test_what_the_key_of_before_signed_is_stored_long_after_it_was_replaced(
    place: Place, long_after: tuple[Hours, Entry]
) -> None:
    """As if the process had been stopped in between, or the database had not answered."""
    hours, late = long_after
    hours.store([(late, 1_700_000_000)])
    hours.pass_by()
    assert waiting_keys(place) == {NEW[0].verifier.key_id}


def test_what_was_stored_unknown_to_anybody_is_signed_anew_before_the_account_of_ballots(
    place: Place, long_after: tuple[Hours, Entry]
) -> None:
    hours, late = long_after
    place.outbox.accept([(late, 1_700_000_000)])
    place.meeting.closing()
    place.board.publish()
    for _ in range(2):
        hours.pass_by()
    assert waiting_keys(place) == {NEW[0].verifier.key_id}


def test_with_a_key_that_does_not_count_only_a_rekey_is_taken(place: Place) -> None:
    place.keys = NEW
    raw = rekeying(place.meeting, "intake", "intake-1", NEW)
    with place.running() as client:
        wait_until(lambda: client.post(place.text(0)).json().get("reason") == "wrong-key")
        answer = client.post(raw)
        assert answer.status_code == 201
        receipt = parse_entry(answer.json()["receipt"].encode())
        assert receipt.signatures[0].key_id == NEW[0].verifier.key_id
        wait_until(lambda: raw in place.queue.entries)
        place.board.record(raw)
        take_over(place.meeting, "intake", "intake-1", NEW)
        assert client.accepted(place.text(0))


def test_without_the_new_key_nothing_more_is_taken(place: Place) -> None:
    with place.running() as client:
        client.accepted(place.text(0))
        replace_key(place)
        wait_until(lambda: client.post(place.text(1)).json().get("reason") == "wrong-key")


def by_anybody(_: Entry) -> bool:
    return True


def waiting_keys(place: Place) -> set[bytes]:
    """The keys by whose lines ballots wait in the outbox."""
    return {parse_entry(raw).signatures[0].key_id for raw in place.outbox.ballots()}
