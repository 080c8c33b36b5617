"""The roll in the log: halves with their proofs, chunks, totals, and the signatures of those who recomputed it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from audit.protocol.elgamal import encrypt
from audit.protocol.group import ORDER, G, b64, element_from, scalar_bytes, scalar_from
from audit.protocol.refused import Refused
from audit.protocol.roll import credential, make_half, weight_randomness
from audit.record.chunks import split
from audit.record.entries import parse_entry
from tests.simulator.meeting import Account, Meeting
from tests.simulator.parties import contest

Body = dict[str, Any]


@pytest.fixture
def meeting() -> Meeting:
    return Meeting().found().ceremony()


def accounts_of(meeting: Meeting) -> list[Account]:
    return [meeting.register("common", row, weight) for row, weight in enumerate(meeting.holdings["common"])]


def hand_in(meeting: Meeting, bodies: list[Body], k: int) -> None:
    for body in bodies:
        meeting.add(meeting.signed("roll", body, meeting.parties.issuers[k]))


def whole(body: Body, rows: list[Body]) -> list[Body]:
    """The chunks over other rows, hash and all, as who cheats would make them."""
    head = {name: value for name, value in body.items() if name not in ("first", "part", "rows")}
    return list(split(head, rows))


def expect(reason: str, act: Callable[[], object]) -> Refused:
    with pytest.raises(Refused) as caught:
        act()
    assert caught.value.reason == reason
    return caught.value


def test_a_rogue_half_cancels_another_issuers(meeting: Meeting) -> None:
    """The second issuer knows a secret s and publishes sG - K_1, so that the sum is a key it can vote with alone."""
    accounts = accounts_of(meeting)
    first = meeting.roll_chunks("common", accounts, 0)
    hand_in(meeting, first, 0)
    (second,) = meeting.roll_chunks("common", accounts, 1)
    rogue = 5 * G - element_from(first[0]["rows"][0]["K"])
    rows = [{**second["rows"][0], "K": b64(rogue.raw)}, *second["rows"][1:]]
    refusal = expect("bad-proof", lambda: hand_in(meeting, whole(second, rows), 1))
    assert refusal.field == "rows[0].proof"
    assert "issuer-2" in refusal.detail


@pytest.mark.parametrize("place", ["another row", "another issuer", "another class", "another revision"])
def test_a_half_proved_in_another_place(meeting: Meeting, place: str) -> None:
    accounts = accounts_of(meeting)
    context, bound = meeting.election.context, (meeting.manifest.hash, "common", 0)
    at = {
        "another row": ("common", 0, 1, 0),
        "another issuer": ("common", 0, 0, 1),
        "another class": ("preferred", 0, 0, 0),
        "another revision": ("common", 1, 0, 0),
    }
    s = credential(*bound, accounts[0].codes[0])
    half = make_half(context, *at[place], s, meeting.dice.scalar()).to_json()
    (body,) = meeting.roll_chunks("common", accounts, 0)
    rows = [{**half, "E": body["rows"][0]["E"]}, *body["rows"][1:]]
    assert expect("bad-proof", lambda: hand_in(meeting, whole(body, rows), 0)).field == "rows[0].proof"


def test_the_identity_as_a_half(meeting: Meeting) -> None:
    (body,) = meeting.roll_chunks("common", accounts_of(meeting), 0)
    rows = [{**body["rows"][0], "K": b64(bytes(32))}, *body["rows"][1:]]
    assert expect("identity", lambda: hand_in(meeting, whole(body, rows), 0)).field == "rows[0].K"


def test_two_rows_with_one_key(meeting: Meeting) -> None:
    accounts = accounts_of(meeting)
    accounts[1] = replace(accounts[0], row=1, weight=30, E=accounts[1].E)
    refusal = expect("duplicate", lambda: hand_in(meeting, meeting.roll_chunks("common", accounts, 0), 0))
    assert refusal.field == "rows[1].K"


@pytest.mark.parametrize("k", [0, 1])
def test_an_issuer_gives_two_rows_one_half(meeting: Meeting, k: int) -> None:
    """Both holders are sent the same number by one issuer; the sums of halves differ, so it shows only here."""
    accounts = accounts_of(meeting)
    codes = list(accounts[1].codes)
    codes[k] = accounts[0].codes[k]
    accounts[1] = replace(accounts[1], codes=tuple(codes))
    if k == 1:
        hand_in(meeting, meeting.roll_chunks("common", accounts, 0), 0)
    refusal = expect("duplicate", lambda: hand_in(meeting, meeting.roll_chunks("common", accounts, k), k))
    assert refusal.field == "rows[1].K"
    assert f"issuer-{k + 1}: the half of row 1 is that of row 0" in refusal.detail


def test_two_weights_under_one_randomness(meeting: Meeting) -> None:
    """Anybody could tell by how much the two differ."""
    accounts = accounts_of(meeting)
    r = weight_randomness(meeting.manifest.hash, "common", 0, accounts[0].codes[0])
    accounts[1] = replace(accounts[1], E=encrypt(accounts[1].weight, meeting.election.Y, r))
    (body,) = meeting.roll_chunks("common", accounts, 0)
    one, _, three = (weight_randomness(meeting.manifest.hash, "common", 0, a.codes[0]) for a in accounts)
    body["total"] = b64(scalar_bytes((one + one + three) % ORDER))
    refusal = expect("duplicate", lambda: hand_in(meeting, whole(body, body["rows"]), 0))
    assert refusal.field == "rows[1].E" and "issuer-1" in refusal.detail


def test_halves_of_different_length(meeting: Meeting) -> None:
    accounts = accounts_of(meeting)
    hand_in(meeting, meeting.roll_chunks("common", accounts, 0), 0)
    refusal = expect("wrong-length", lambda: hand_in(meeting, meeting.roll_chunks("common", accounts[:2], 1), 1))
    assert "issuer-2 published 2 rows, issuer-1 3" in refusal.detail


@pytest.mark.parametrize("more", [1, -1, 10_000])
def test_a_share_too_many_or_too_few(meeting: Meeting, more: int) -> None:
    accounts = accounts_of(meeting)
    weight = encrypt(accounts[0].weight + more, meeting.election.Y, 12345)
    accounts[0] = replace(accounts[0], E=weight)
    refusal = expect("wrong-total", lambda: hand_in(meeting, meeting.roll_chunks("common", accounts, 0), 0))
    assert refusal.detail.startswith("issuer-1: ")


def test_a_wrong_total_of_the_randomness(meeting: Meeting) -> None:
    accounts = accounts_of(meeting)
    (body,) = meeting.roll_chunks("common", accounts, 0)
    body["total"] = b64(scalar_bytes(scalar_from(body["total"]) + 1))
    expect("wrong-total", lambda: hand_in(meeting, whole(body, body["rows"]), 0))


@pytest.mark.parametrize("place", [0, 1])
def test_a_weight_that_is_no_element(meeting: Meeting, place: int) -> None:
    """Found when all others have published, it would be their chunk that is refused, and none could ever be taken."""
    (body,) = meeting.roll_chunks("common", accounts_of(meeting), 0)
    body["rows"][2]["E"][place] = b64(b"\xff" * 32)
    entry = parse_entry(meeting.signed("roll", whole(body, body["rows"])[0], meeting.parties.issuers[0]))
    assert expect("bad-element", lambda: meeting.election.check(entry)).field == f"rows[2].E[{place}]"


def test_a_total_that_is_no_scalar(meeting: Meeting) -> None:
    (body,) = meeting.roll_chunks("common", accounts_of(meeting), 0)
    body["total"] = b64(b"\xff" * 32)
    entry = parse_entry(meeting.signed("roll", whole(body, body["rows"])[0], meeting.parties.issuers[0]))
    refusal = expect("bad-scalar", lambda: meeting.election.check(entry))
    assert refusal.field == "total" and "issuer-1" in refusal.detail


def test_an_issuer_whose_chunks_are_wrong_is_named_and_begins_again() -> None:
    """The first chunk of two stands in the log already when it shows that the second can never be taken."""
    meeting = Meeting({"common": [1] * 420}).found().ceremony()
    wrong = [meeting.register("common", row, 1) for row in range(420)]
    wrong[0] = replace(wrong[0], E=encrypt(2, meeting.election.Y, 12345))
    hand_in(meeting, meeting.roll_chunks("common", wrong, 1), 1)
    one, two = meeting.roll_chunks("common", wrong, 0)
    hand_in(meeting, [one], 0)
    assert "issuer-1" in expect("wrong-total", lambda: hand_in(meeting, [two], 0)).detail
    accounts = [meeting.register("common", row, 1, account.codes, 1) for row, account in enumerate(wrong)]
    for k in (0, 1):
        hand_in(meeting, meeting.roll_chunks("common", accounts, k, 1), k)
    assert meeting.election.roll("common").revision == 1
    assert list(meeting.election.roll("common").rows) == [account.pseudonym.raw for account in accounts]


@pytest.mark.parametrize("revision", [0, 2, 3])
def test_who_begins_again_begins_the_next_revision(meeting: Meeting, revision: int) -> None:
    accounts = accounts_of(meeting)
    hand_in(meeting, meeting.roll_chunks("common", accounts, 0), 0)
    again = meeting.roll_chunks("common", accounts, 0, revision)
    expect("out-of-range" if revision else "not-complete", lambda: hand_in(meeting, again, 0))


def test_who_has_published_nothing_does_not_make_others_begin_again(meeting: Meeting) -> None:
    accounts = accounts_of(meeting)
    hand_in(meeting, meeting.roll_chunks("common", accounts, 0), 0)
    expect("out-of-range", lambda: hand_in(meeting, meeting.roll_chunks("common", accounts, 1, 1), 1))
    assert meeting.election.assemblies["common"].revision == 0


def test_rows_that_do_not_have_the_hash_named(meeting: Meeting) -> None:
    accounts = accounts_of(meeting)
    hand_in(meeting, meeting.roll_chunks("common", accounts, 0), 0)
    (body,) = meeting.roll_chunks("common", accounts, 1)
    body["part"]["hash"] = b64(bytes(32))
    refusal = expect("not-complete", lambda: hand_in(meeting, [body], 1))
    assert refusal.field == "part.hash" and "issuer-2" in refusal.detail


def test_the_second_issuer_publishes_no_weights(meeting: Meeting) -> None:
    (body,) = meeting.roll_chunks("common", accounts_of(meeting), 0)
    expect("bad-proof", lambda: hand_in(meeting, [body], 1))
    entry = parse_entry(meeting.signed("roll", body, meeting.parties.issuers[1]))
    assert expect("wrong-signers", lambda: meeting.election.admit(entry, meeting.seen)).field == "total"


def test_a_roll_before_the_key(meeting: Meeting) -> None:
    (body,) = meeting.roll_chunks("common", accounts_of(meeting), 0)
    early = Meeting().found()
    raw = early.signed("roll", {**body, "manifest": early.hash}, early.parties.issuers[0])
    expect("not-complete", lambda: early.add(raw))


def test_a_roll_of_no_class(meeting: Meeting) -> None:
    (body,) = meeting.roll_chunks("common", accounts_of(meeting), 0)
    entry = parse_entry(meeting.signed("roll", {**body, "class": "golden"}, meeting.parties.issuers[0]))
    assert expect("unknown-roll", lambda: meeting.election.admit(entry, meeting.seen)).field == "class"


def test_a_roll_begins_with_revision_0(meeting: Meeting) -> None:
    (body,) = meeting.roll_chunks("common", accounts_of(meeting), 0)
    entry = parse_entry(meeting.signed("roll", {**body, "revision": 1}, meeting.parties.issuers[0]))
    assert expect("out-of-range", lambda: meeting.election.admit(entry, meeting.seen)).field == "revision"


def test_one_chunk_twice_and_another_roll_begun(meeting: Meeting) -> None:
    accounts = accounts_of(meeting)
    (body,) = meeting.roll_chunks("common", accounts, 0)
    hand_in(meeting, [body], 0)
    expect("duplicate", lambda: hand_in(meeting, [body], 0))
    (other,) = meeting.roll_chunks("common", accounts_of(meeting), 0)
    assert expect("not-complete", lambda: hand_in(meeting, [other], 0)).field == "part"


def test_a_complete_roll_takes_no_more(meeting: Meeting) -> None:
    meeting.rolls()
    (body,) = meeting.roll_chunks("common", accounts_of(meeting), 0)
    expect("duplicate", lambda: hand_in(meeting, [body], 0))


def test_a_key_on_two_rolls() -> None:
    both = {"common": (5, 30, 700), "preferred": (5, 30, 700)}
    meeting = Meeting(both, [contest("nominee-1", classes=["common", "preferred"])]).found().ceremony()
    context = meeting.election.context
    accounts = accounts_of(meeting)
    for k in range(2):
        hand_in(meeting, meeting.roll_chunks("common", accounts, k), k)
    halves = [credential(meeting.manifest.hash, "common", 0, code) for code in accounts[0].codes]
    others = [meeting.register("preferred", row, weight) for row, weight in enumerate(both["preferred"])]
    bodies = [meeting.roll_chunks("preferred", others, k)[0] for k in range(2)]
    for k, body in enumerate(bodies):
        half = make_half(context, "preferred", 0, 0, k, halves[k], meeting.dice.scalar()).to_json()
        body["rows"][0].update(half)
    hand_in(meeting, whole(bodies[0], bodies[0]["rows"]), 0)
    refusal = expect("duplicate", lambda: hand_in(meeting, whole(bodies[1], bodies[1]["rows"]), 1))
    assert "the roll of common" in refusal.detail


def published(meeting: Meeting) -> Meeting:
    accounts = accounts_of(meeting)
    for k in range(2):
        hand_in(meeting, meeting.roll_chunks("common", accounts, k), k)
    return meeting


def test_another_roll_is_countersigned(meeting: Meeting) -> None:
    published(meeting)
    fields = {"class": "common", "hash": b64(bytes(32))}
    issuer = meeting.parties.issuers[1]
    assert expect("another-roll", lambda: meeting.act("roll-signed", fields, issuer)).field == "hash"


def test_a_roll_is_countersigned_once(meeting: Meeting) -> None:
    published(meeting).countersign("common", meeting.parties.issuers[1])
    expect("duplicate", lambda: meeting.countersign("common", meeting.parties.issuers[1]))


def test_two_witnesses_sign_in_different_words(meeting: Meeting) -> None:
    published(meeting)
    meeting.countersign("common", meeting.parties.issuers[1])
    meeting.countersign("common", meeting.parties.inspectors[0])
    assert len({parse_entry(raw).identity for raw in meeting.entries}) == len(meeting.entries)


def test_opening_waits_for_every_countersignature(meeting: Meeting) -> None:
    published(meeting).countersign("common", meeting.parties.issuers[1])
    assert "inspector" in expect("not-complete", meeting.open).detail


def test_opening_waits_for_the_roll(meeting: Meeting) -> None:
    assert "common" in expect("not-complete", meeting.open).detail


def test_opening_waits_for_the_key() -> None:
    expect("not-complete", Meeting().found().open)


def test_a_large_roll_in_chunks_of_any_order() -> None:
    meeting = Meeting({"common": [1] * 420}).found().ceremony()
    accounts = [meeting.register("common", row, 1) for row in range(420)]
    first, second = (meeting.roll_chunks("common", accounts, k) for k in range(2))
    assert len(first) > 1
    hand_in(meeting, second[::-1], 1)
    hand_in(meeting, first[1:] + first[:1], 0)
    assert list(meeting.election.roll("common").rows) == [account.pseudonym.raw for account in accounts]
