"""Handing in: a receipt counts only if it holds, a silent intake is passed over, and what is not recorded is handed in
again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from math import inf
from typing import Any

import pytest

from audit.log.keys import Signer
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.entries import Entry, make_text, parse_entry, seal
from audit.record.manifest import Manifest
from infra.card import load_card
from infra.desk import Desk, GaveUp, open_desk, stored
from infra.hand_in import WAITS, NoDoor, Receipt, hand_in, open_receipt, reliance
from tests.officials.clients import Clients
from tests.officials.hall import Hall
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.parties import ORIGIN

HOLDINGS = {"A1": ("common", 5), "A2": ("common", 30)}


@pytest.fixture(scope="module")
def meeting() -> Meeting:
    return Meeting().prepared()


@pytest.fixture(scope="module")
def ballot(meeting: Meeting) -> bytes:
    return make_text("ballot", ORIGIN, meeting.ballot(meeting.accounts[0], {"nominee-1": (1, 0, 0)}))


class TestReceipts:
    """A ballot's receipt, field by field."""

    def answer(self, meeting: Meeting, ballot: bytes, line: Signer, note: Signer, **changes: Any) -> bytes:
        entry = parse_entry(seal(ballot, [line]))
        body = {"deadline": 9, "identity": b64(entry.identity), "leaf": b64(entry.leaf), "manifest": meeting.hash}
        body |= {"kind": changes.pop("promised", "ballot")}
        kind, origin = changes.pop("kind", "receipt"), changes.pop("origin", ORIGIN)
        receipt = seal(make_text(kind, origin, {**body, **changes}), [note])
        return json.dumps({"line": entry.signatures[0].line, "receipt": receipt.decode()}).encode()

    def test_one_that_holds(self, meeting: Meeting, ballot: bytes) -> None:
        intake = meeting.parties.intakes[1]
        receipt = open_receipt(meeting.manifest, ballot, self.answer(meeting, ballot, intake, intake))
        assert receipt.entry.raw == seal(ballot, [intake])
        assert (receipt.intake, receipt.deadline) == (intake.name, 9)
        meeting.election.check(receipt.entry)

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"identity": b64(bytes(32))}, "for another entry than the one handed in"),
            ({"leaf": b64(bytes(32))}, "for another entry than the one handed in"),
            ({"promised": "notice"}, "for another entry than the one handed in"),
            ({"manifest": b64(bytes(32))}, "names another manifest"),
            ({"origin": "vote.example/other"}, "this election is vote.example"),
            ({"deadline": -1}, "deadline: must be from 0"),
        ],
    )
    def test_a_field_that_is_wrong(self, meeting: Meeting, ballot: bytes, changes: dict[str, Any], why: str) -> None:
        intake = meeting.parties.intakes[0]
        with pytest.raises(Refused, match=why) as caught:
            open_receipt(meeting.manifest, ballot, self.answer(meeting, ballot, intake, intake, **changes))
        assert caught.value.reason == "bad-receipt"

    def test_a_line_by_another_intake(self, meeting: Meeting, ballot: bytes) -> None:
        one, two = meeting.parties.intakes
        with pytest.raises(Refused, match="the lines of two different intakes"):
            open_receipt(meeting.manifest, ballot, self.answer(meeting, ballot, one, two))

    @pytest.mark.parametrize("forged", ["line", "note"])
    def test_a_stranger_under_an_intakes_name(self, meeting: Meeting, ballot: bytes, forged: str) -> None:
        intake = meeting.parties.intakes[0]
        stranger = Dice(9).signer(intake.name)
        signers = {"line": intake, "note": intake, forged: stranger}
        with pytest.raises(Refused, match=f"line by {intake.name} is of key"):
            open_receipt(meeting.manifest, ballot, self.answer(meeting, ballot, signers["line"], signers["note"]))

    def test_an_official_is_no_intake(self, meeting: Meeting, ballot: bytes) -> None:
        chair = meeting.parties.officials[0]
        with pytest.raises(Refused, match="chair does not sign receipt"):
            open_receipt(meeting.manifest, ballot, self.answer(meeting, ballot, chair, chair))

    @pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"line":1,"receipt":""}', b'{"line":"x","receipt":"y"}'])
    def test_an_answer_that_is_none(self, meeting: Meeting, ballot: bytes, content: bytes) -> None:
        with pytest.raises(Refused) as caught:
            open_receipt(meeting.manifest, ballot, content)
        assert caught.value.reason == "bad-receipt"


@pytest.fixture
def clients(hall: Hall) -> Clients:
    return Clients(hall, HOLDINGS).founded()


@pytest.fixture
def desk(clients: Clients) -> Iterator[Desk]:
    with open_desk(load_card(clients.card), patience=5) as desk:
        desk.begin()
        yield desk


@pytest.fixture
def entry(desk: Desk, hall: Hall) -> Entry:
    """Something that may be recorded: a trustee's commit."""
    body = {"attempt": 1, "commitment": b64(bytes(32)), "key": b64(bytes([9]) + bytes(31)), "signer": "trustee-1"}
    signer = hall.parties.trustees[0]
    text = make_text("trustee-commit", ORIGIN, {**body, "manifest": b64(desk.manifest.hash)})
    return parse_entry(seal(text, [signer]))


def problem(reason: str) -> bytes:
    return json.dumps({"reason": reason, "detail": "no \x1b[31m", "field": "here", "status": 422}).encode()


def test_a_refusal_is_raised_with_its_reason(desk: Desk, hall: Hall, entry: Entry) -> None:
    hall.script = [(422, problem("bad-proof"))]
    with pytest.raises(Refused) as caught:
        desk.record(entry.raw)
    assert (caught.value.reason, caught.value.field) == ("bad-proof", "here")
    assert caught.value.detail == f"no ?[31m (bad-proof, {hall.url}/{ORIGIN}/entries)"
    assert len(hall.posts) == 2


def test_a_refusal_without_a_reason(desk: Desk, hall: Hall, entry: Entry) -> None:
    hall.script = [(404, b"<html>")]
    with pytest.raises(Refused, match="answered with status 404 and no reason"):
        desk.record(entry.raw)


def test_a_silent_intake_is_passed_over(desk: Desk, hall: Hall, entry: Entry) -> None:
    card = replace(desk.card, intakes=("http://127.0.0.1:1", hall.url))
    assert hand_in(card, desk.manifest, entry.raw, desk.client).intake == "intake-1"


def test_nobody_answers(desk: Desk, entry: Entry) -> None:
    card = replace(desk.card, intakes=("http://127.0.0.1:1", "http://127.0.0.1:2"))
    with pytest.raises(NoDoor, match="127.0.0.1:1/.*Connection refused; .*127.0.0.1:2/.*Connection refused"):
        hand_in(card, desk.manifest, entry.raw, desk.client)


def test_every_turn_begins_with_another(desk: Desk, entry: Entry) -> None:
    card = replace(desk.card, intakes=tuple(f"http://127.0.0.1:{port}" for port in (1, 2, 3)))
    for turn, order in enumerate(["123", "231", "312", "123"]):
        with pytest.raises(NoDoor, match=".*".join(f"127.0.0.1:{port}/" for port in order)):
            hand_in(card, desk.manifest, entry.raw, desk.client, turn)
    for second, order in ((6, "123"), (7, "231")):
        again = replace(desk, card=card, patience=0, clock=lambda second=second: second, sleep=lambda _: None)
        with pytest.raises(GaveUp, match=".*".join(f"127.0.0.1:{port}/" for port in order)):
            again.record(entry.raw)


def test_what_one_refuses_another_may_yet_take(desk: Desk, hall: Hall, entry: Entry) -> None:
    """While it does not answer, a refusal is not the last word; that the ballot is overtaken can be looked into."""
    card = replace(desk.card, intakes=(hall.url, "http://127.0.0.1:1"))
    hall.script = [(422, problem("bad-proof")), (422, problem("revision-lower"))]
    with pytest.raises(
        NoDoor, match=r"not every .*127.0.0.1:1/.*Connection refused; refused: here: no .*\(bad-proof, http"
    ):
        hand_in(card, desk.manifest, entry.raw, desk.client)
    with pytest.raises(Refused, match="revision-lower"):
        hand_in(card, desk.manifest, entry.raw, desk.client)


@pytest.mark.parametrize("answer", [(503, b""), (409, problem("wrong-phase")), (429, b"")])
def test_a_door_that_is_behind_is_asked_again(desk: Desk, hall: Hall, entry: Entry, answer: tuple[int, bytes]) -> None:
    hall.script = [answer, answer]
    desk.record(entry.raw)
    assert hall.posts[-3:] == [entry.raw] * 3 and hall.entries[-1] == entry.raw


def test_what_is_in_the_log_is_not_handed_in_again(desk: Desk, hall: Hall, entry: Entry) -> None:
    desk.record(entry.raw)
    posts = len(hall.posts)
    assert desk.record(entry.raw) == [None]
    assert len(hall.posts) == posts


def test_what_the_rules_refuse_is_not_handed_in(desk: Desk, hall: Hall, entry: Entry) -> None:
    other = seal(entry.text, [hall.parties.trustees[1]])
    posts = len(hall.posts)
    with pytest.raises(Refused, match="names another as its signer"):
        desk.record(other)
    assert len(hall.posts) == posts


def test_an_intake_that_breaks_its_word_is_handed_the_same_again(desk: Desk, hall: Hall, entry: Entry) -> None:
    hall.hold, hall.wait = inf, -1
    with pytest.raises(GaveUp, match="intake-1 took this trustee-commit .* its receipt is evidence"):
        replace(desk, patience=1.0).record(entry.raw)
    assert set(hall.posts[1:]) == {entry.raw} and len(hall.posts) > 3


def test_a_refusal_in_the_log_ends_the_waiting(desk: Desk, hall: Hall, entry: Entry) -> None:
    hall.refusing = True
    with pytest.raises(Refused, match="the log holds a refusal of this trustee-commit: came too late") as caught:
        desk.record(entry.raw)
    assert caught.value.reason == "closed"


def test_what_is_stored_is_never_made_twice(tmp_path: Any) -> None:
    path = tmp_path / "kept"
    assert stored(path, lambda: b"first") == b"first"
    assert stored(path, lambda: pytest.fail("made again")) == b"first"
    assert path.stat().st_mode & 0o777 == 0o600


def test_who_is_quicker_is_kept(tmp_path: Any) -> None:
    path = tmp_path / "kept"

    def slow() -> bytes:
        stored(path, lambda: b"theirs")
        return b"ours"

    assert stored(path, slow) == b"theirs"


@pytest.mark.parametrize("set_back", [0, 172_800])
def test_no_deadline_holds_an_official_off_for_ever(desk: Desk, hall: Hall, entry: Entry, set_back: float) -> None:
    """It is handed in again when an honest intake's word would be broken: ten batch waits of half a second, rounded.
    Also if the clock is set back by two days a second after it was taken."""
    hall.hold, hall.wait = 1, 1 << 40
    posts = len(hall.posts)
    waiting, passed = by_its_pauses(desk, set_back)
    (receipt,) = replace(waiting, patience=60).record(entry.raw)
    assert receipt is not None and receipt.deadline > time.time() + (1 << 39)
    assert len(hall.posts) == posts + 2 and passed() <= 8


def by_its_pauses(desk: Desk, set_back: float = 0.0) -> tuple[Desk, Callable[[], float]]:
    """For this desk half a second passes with each pause, and nothing else; its clock is set back after the first. And
    how many seconds have passed."""
    begun, passed = float(int(time.time())), [0.0]

    def sleep(seconds: float) -> None:
        passed[0] += 0.5
        assert passed[0] < 100

    def clock() -> float:
        return begun + passed[0] - (set_back if passed[0] > 1 else 0)

    return replace(desk, clock=clock, monotonic=lambda: passed[0], sleep=sleep), lambda: passed[0]


@pytest.mark.parametrize("relies", [True, False])
def test_patience_outlasts_what_intakes_promise_unless_it_is_bounded(
    desk: Desk, hall: Hall, entry: Entry, relies: bool
) -> None:
    """It is kept to themselves twice, for six seconds each."""
    hall.hold, hall.wait = 2, 1 << 40
    waiting = replace(by_its_pauses(desk)[0], patience=10, relies=relies)
    with nullcontext() if relies else pytest.raises(GaveUp, match="not recorded after 10 s"):
        (receipt,) = waiting.record(entry.raw)
        assert receipt is not None


def test_who_is_not_told_how_long_to_wait_asks_every_intake_in_one_run(desk: Desk, hall: Hall, entry: Entry) -> None:
    """With a batch wait of a minute each is relied on for eleven; before anything is promised, nobody waits so long."""
    manifest = replace(desk.manifest, batch_wait=60.0)
    receipt = hand_in(desk.card, desk.manifest, entry.raw, desk.client)
    for intakes in (1, 2, 5):
        assert reliance(manifest, intakes) >= intakes * (receipt_until(receipt, manifest)) + WAITS * 60
    with open_desk(desk.card) as unsaid, open_desk(desk.card, patience=120) as said:
        assert (unsaid.patience, unsaid.relies, said.patience, said.relies) == (120, True, 120, False)


def receipt_until(receipt: Receipt, manifest: Manifest) -> float:
    return replace(receipt, deadline=1 << 40).patience(manifest, 0.0)


def test_a_deadline_is_relied_on_up_to_ten_batch_waits(desk: Desk, hall: Hall, entry: Entry) -> None:
    receipt = hand_in(desk.card, desk.manifest, entry.raw, desk.client)
    assert desk.manifest.batch_wait == 0.5
    for deadline, wait in ((100, 0.5), (99, 0.5), (106, 0.5), (107, 0.5), (760, 60.0), (800, 60.0)):
        manifest = replace(desk.manifest, batch_wait=wait)
        longest = 106 if wait == 0.5 else 760
        assert replace(receipt, deadline=deadline).patience(manifest, 100.0) == min(deadline, longest) - 100
