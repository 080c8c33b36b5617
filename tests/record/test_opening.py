"""The opening says on which key and rolls, and what it says is what everybody computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from audit.protocol.group import G, b64
from audit.protocol.refused import Refused
from audit.record.election import Election
from audit.record.entries import parse_entry
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.parties import Parties, contest

HOLDINGS = {"common": (5, 30, 700, 2), "preferred": (9, 4)}
BOTH = [contest("nominee-1", classes=["common", "preferred"])]
Body = dict[str, Any]


def issued(mixers: int = 2) -> Meeting:
    return Meeting(HOLDINGS, BOTH, parties=Parties.drawn(Dice(3), mixers=mixers)).found().ceremony().rolls()


@pytest.fixture(scope="module")
def mixed() -> Meeting:
    return issued().mix()


def refused(meeting: Meeting, change: Callable[[Body], object]) -> Refused:
    body = meeting.opening()
    change(body)
    raw = meeting.resolution("open", **body)
    with pytest.raises(Refused) as caught:
        meeting.election.take(parse_entry(raw), meeting.seen)
    return caught.value


def test_it_says_what_the_log_holds(mixed: Meeting) -> None:
    rolls, mixes = mixed.opening()["rolls"], [(i, parse_entry(raw)) for i, raw in enumerate(mixed.entries)]
    assert mixed.opening()["key"] == b64(mixed.election.Y.raw)
    for share_class, roll in mixed.election.rolls.items():
        (last,) = [
            (i, entry.body["part"]["hash"], entry.body["generator"])
            for i, entry in mixes
            if entry.kind == "mix" and entry.body["class"] == share_class and entry.body["signer"] == "mixer-2"
        ]
        assert rolls[share_class] == {
            "first": last[0],
            "generator": last[2],
            "hash": b64(roll.hash),
            "last": last[0],
            "mix": last[1],
            "revision": 0,
            "rows": len(HOLDINGS[share_class]),
        }


FIELDS: dict[str, Any] = {
    "first": 0,
    "generator": b64(G.raw),
    "hash": b64(bytes(32)),
    "last": 1,
    "mix": b64(bytes(32)),
    "revision": 1,
    "rows": 5,
}


@pytest.mark.parametrize("share_class", sorted(HOLDINGS))
@pytest.mark.parametrize("name", sorted(FIELDS))
def test_each_field_of_each_roll_counts(mixed: Meeting, name: str, share_class: str) -> None:
    refusal = refused(mixed, lambda body: body["rolls"][share_class].__setitem__(name, FIELDS[name]))
    assert (refusal.reason, refusal.field) == ("wrong-opening", f"rolls.{share_class}.{name}")
    assert str(mixed.opening()["rolls"][share_class][name]) in refusal.detail


def test_the_key_counts(mixed: Meeting) -> None:
    refusal = refused(mixed, lambda body: body.update(key=b64(G.raw)))
    assert (refusal.reason, refusal.field) == ("wrong-opening", "key")


def test_a_roll_left_out_and_a_roll_that_is_none(mixed: Meeting) -> None:
    refusal = refused(mixed, lambda body: body["rolls"].pop("preferred"))
    assert (refusal.reason, refusal.field) == ("wrong-opening", "rolls.preferred.first")
    refusal = refused(mixed, lambda body: body["rolls"].update(treasury=body["rolls"]["common"]))
    assert (refusal.reason, refusal.field) == ("wrong-opening", "rolls.treasury.first")


def test_a_roll_said_not_to_be_mixed(mixed: Meeting) -> None:
    def unmixed(body: Body) -> None:
        for name in ("first", "last", "mix"):
            del body["rolls"]["common"][name]

    refusal = refused(mixed, unmixed)
    assert (refusal.reason, refusal.field) == ("wrong-opening", "rolls.common.first")


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_a_field_left_out(mixed: Meeting, name: str) -> None:
    refusal = refused(mixed, lambda body: body["rolls"]["common"].pop(name))
    # Without "mix", what remains of the last mix is not expected.
    expected = ("missing-field", f"rolls.common.{name}") if name != "mix" else ("unknown-field", "rolls.common.first")
    assert (refusal.reason, refusal.field) == expected


def test_what_follows_a_log_sees_it_too(mixed: Meeting) -> None:
    reader = Election(mixed.manifest.hash)
    for raw in mixed.entries:
        reader.apply_recorded(parse_entry(raw))
    body = mixed.opening()
    body["rolls"]["common"]["generator"] = b64(G.raw)
    with pytest.raises(Refused) as caught:
        reader.apply_recorded(parse_entry(mixed.resolution("open", **body)))
    assert caught.value.reason == "wrong-opening"
    reader.apply_recorded(parse_entry(mixed.resolution("open")))
    assert reader.phase == "open"


def test_without_mixers_there_is_no_mix() -> None:
    meeting = issued(mixers=0)
    said = meeting.opening()["rolls"]["common"]
    assert sorted(said) == ["generator", "hash", "revision", "rows"]
    assert said["generator"] == b64(G.raw)
    refusal = refused(meeting, lambda body: body["rolls"]["common"].update(first=1, last=1, mix=b64(bytes(32))))
    assert (refusal.reason, refusal.field) == ("wrong-opening", "rolls.common.first")
    meeting.open()
    fields = parse_entry(meeting.entries[-1]).fields["rolls"]["common"]
    assert (fields["first"], fields["last"], fields["mix"]) == (None, None, None)


def in_pieces(bodies: list[Body]) -> list[Body]:
    """A chunk for every row of a mix that is in one."""
    (body,) = bodies
    rows = body["rows"]
    return [
        {**body, "first": i, "part": {**body["part"], "index": i, "of": len(rows)}, "rows": [row]}
        for i, row in enumerate(rows)
    ]


def test_the_chunks_of_the_last_mix_alone_are_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither those of the mixers before, nor of an attempt given up; others' entries stand in between."""
    monkeypatch.setattr("audit.record.mixes.LEAST_ROWS", 1)
    meeting = issued()
    one, two = meeting.parties.mixers
    for share_class in HOLDINGS:
        for body in in_pieces(meeting.mix_chunks(share_class, one.name)):
            meeting.add(meeting.signed("mix", body, one))
    for body in meeting.mix_chunks("preferred", two.name):
        meeting.add(meeting.signed("mix", body, two))
    for body in in_pieces(meeting.mix_chunks("common", two.name))[:2]:
        meeting.add(meeting.signed("mix", body, two))
    pieces = in_pieces(meeting.mix_chunks("common", two.name, attempt=1))
    first = meeting.election.size
    # The chunk recorded first need not be that of the first row.
    for body in (pieces[2], pieces[0]):
        meeting.add(meeting.signed("mix", body, two))
    meeting.resolve("notice", subject="incident", text="The lights went out.")
    for body in (pieces[3], pieces[1]):
        meeting.add(meeting.signed("mix", body, two))
    last = meeting.election.size - 1
    meeting.resolve("notice", subject="incident", text="And on again.")
    said = meeting.opening()["rolls"]
    assert (said["common"]["first"], said["common"]["last"]) == (first, last) == (first, first + 4)
    assert said["common"]["mix"] == pieces[0]["part"]["hash"]
    assert said["preferred"]["first"] == said["preferred"]["last"] < first
    assert meeting.open().election.phase == "open"


def test_an_attempt_given_up_that_names_the_same_whole_is_not_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last mixer records false rows under the hash of its true mix first: a client that looks between `first` and
    `last` never meets them."""
    monkeypatch.setattr("audit.record.mixes.LEAST_ROWS", 1)
    meeting = issued()
    one, two = meeting.parties.mixers
    for mixer, classes in ((one, ("common", "preferred")), (two, ("preferred",))):
        for share_class in classes:
            for body in meeting.mix_chunks(share_class, mixer.name):
                meeting.add(meeting.signed("mix", body, mixer))
    pieces = in_pieces(meeting.mix_chunks("common", two.name, attempt=1))
    lie = {**pieces[0], "attempt": 0, "rows": [{**pieces[0]["rows"][0], "E": pieces[1]["rows"][0]["E"]}]}
    meeting.add(meeting.signed("mix", lie, two))
    for body in pieces:
        meeting.add(meeting.signed("mix", body, two))
    size = meeting.election.size
    said = meeting.opening()["rolls"]["common"]
    assert (said["mix"], said["first"], said["last"]) == (lie["part"]["hash"], size - len(pieces), size - 1)


def test_a_roll_issued_again_says_its_revision() -> None:
    meeting = issued()
    accounts = [
        meeting.register("common", a.row, a.weight, a.codes, revision=1)
        for a in meeting.accounts
        if a.share_class == "common"
    ]
    for k, issuer in enumerate(meeting.parties.issuers):
        for body in meeting.roll_chunks("common", accounts, k, revision=1):
            meeting.add(meeting.signed("roll", body, issuer))
    for witness in meeting.parties.issuers[1:] + meeting.parties.inspectors:
        meeting.countersign("common", witness)
    meeting.mix()
    said = meeting.opening()["rolls"]
    assert (said["common"]["revision"], said["preferred"]["revision"]) == (1, 0)
