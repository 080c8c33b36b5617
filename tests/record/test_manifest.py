"""The manifest: pinned, signed by a quorum, and refused with the field for every rule that it breaks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit.log.keys import COSIGNATURE, ED25519, ML_DSA_44, Verifier
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.ballot_size import MAX_BALLOT, largest_ballot
from audit.record.election import Election
from audit.record.entries import parse_entry
from audit.record.manifest import Manifest, load_manifest, open_manifest, parse_manifest
from audit.record.seen import MemorySeen
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.parties import contest, majority, plural

Body = dict[str, Any]
DICE = Dice(77)
STRANGER = DICE.signer("stranger").vkey


def note(meeting: Meeting, body: Body) -> bytes:
    return meeting.signed("manifest", body, *meeting.parties.officials[:2])


def changed(change: Callable[[Body], object]) -> tuple[Meeting, Body]:
    meeting = Meeting()
    body = copy.deepcopy(meeting.body)
    change(body)
    return meeting, body


def expect(reason: str, act: Callable[[], object]) -> Refused:
    with pytest.raises(Refused) as caught:
        act()
    assert caught.value.reason == reason
    return caught.value


def test_a_manifest_is_parsed() -> None:
    meeting = Meeting()
    manifest, entry = open_manifest(note(meeting, meeting.body))
    assert (manifest.origin, manifest.hash) == (meeting.origin, entry.identity)
    assert manifest.trustees.names == ("trustee-1", "trustee-2", "trustee-3")
    assert (manifest.log.W, len(manifest.log.custodians), manifest.batch_wait) == (2, 3, 0.5)


def test_a_manifest_is_loaded_and_pinned(tmp_path: Path) -> None:
    meeting = Meeting()
    file = tmp_path / "manifest"
    file.write_bytes(note(meeting, meeting.body))
    manifest, _ = load_manifest(file, None)
    assert load_manifest(file, manifest.hash)[0] == manifest
    refusal = expect("another-election", lambda: load_manifest(file, bytes(32)))
    assert str(file) in refusal.detail and b64(manifest.hash) in refusal.detail


def test_a_file_that_holds_no_manifest(tmp_path: Path) -> None:
    file = tmp_path / "manifest"
    file.write_bytes(b"hello\n")
    assert str(file) in expect("syntax", lambda: load_manifest(file)).detail
    meeting = Meeting().found()
    file.write_bytes(meeting.resolution("open"))
    assert expect("wrong-phase", lambda: load_manifest(file)).field == "type"


@pytest.mark.parametrize("signers", [0, 1])
def test_a_manifest_without_a_quorum(signers: int) -> None:
    meeting = Meeting()
    named = meeting.parties.officials[:signers] or (DICE.signer("stranger"),)
    raw = meeting.signed("manifest", meeting.body, *named)
    expect("wrong-signers", lambda: open_manifest(raw))
    expect("wrong-signers", lambda: meeting.add(raw))


def test_another_manifest_than_the_one_pinned() -> None:
    meeting = Meeting()
    entry = parse_entry(note(meeting, meeting.body))
    pinned = Election(bytes(32))
    expect("another-election", lambda: pinned.take(entry, MemorySeen()))
    expect("another-election", lambda: pinned.apply_recorded(entry))
    Election(entry.identity).take(entry, MemorySeen())


def test_the_election_number_makes_a_rehearsal_another_election() -> None:
    meeting, body = changed(lambda b: b.update(election=b64(bytes(16))))
    first = open_manifest(note(meeting, meeting.body))[0]
    assert open_manifest(note(meeting, body))[0].hash != first.hash


def keys(office: str, index: int, vkey: Any) -> Callable[[Body], object]:
    def change(body: Body) -> None:
        target = body[office]["keys"] if isinstance(body[office], dict) else body[office]
        target[index] = vkey(body) if callable(vkey) else vkey

    return change


def threshold(office: str, value: int) -> Callable[[Body], object]:
    return lambda body: body[office].update(threshold=value)


def contests(*made: Body) -> Callable[[Body], object]:
    return lambda body: body.update(contests=list(made))


def votes(total: int, **more: int) -> Callable[[Body], object]:
    return lambda body: body["classes"][0].update(votes=total, **more)


def many_keys(custodian: int) -> list[str]:
    name = f"custodian-{custodian}"
    return [Verifier(name, COSIGNATURE, bytes([custodian, j]) * 16).vkey for j in range(2)]


WRONG: dict[str, tuple[Callable[[Body], object], str, str]] = {
    "an unknown field": (lambda b: b.update(colour="red"), "unknown-field", "colour"),
    "a field left out": (lambda b: b.pop("times"), "missing-field", "times"),
    "a number as text": (lambda b: b["batch"].update(min="8"), "wrong-type", "batch.min"),
    "no officials": (lambda b: b["officials"].update(keys=[]), "wrong-length", "officials.keys"),
    "a quorum beyond the officials": (threshold("officials", 4), "out-of-range", "officials.threshold"),
    "a quorum of none": (threshold("officials", 0), "out-of-range", "officials.threshold"),
    "t beyond the trustees": (threshold("trustees", 4), "out-of-range", "trustees.threshold"),
    "W beyond the custodians": (threshold("custodians", 4), "out-of-range", "custodians.threshold"),
    "a third issuer": (lambda b: b["issuers"].append(STRANGER), "wrong-length", "issuers"),
    "a mixer twice": (lambda b: b["mixers"].extend([STRANGER] * 2), "duplicate", "mixers[1]"),
    "a mixer is an issuer": (lambda b: b["mixers"].append(b["issuers"][0]), "duplicate", "mixers"),
    "no vkey": (keys("trustees", 1, "trustee-2"), "syntax", "trustees.keys[1]"),
    "another key id": (keys("trustees", 1, "stranger+00000000+" + STRANGER[18:]), "wrong-key-id", "trustees.keys[1]"),
    "a trustee twice": (keys("trustees", 1, lambda b: b["trustees"]["keys"][0]), "duplicate", "trustees.keys[1]"),
    "an official is a trustee": (keys("trustees", 1, lambda b: b["officials"]["keys"][0]), "duplicate", "trustees"),
    "a cosignature key for a trustee": (
        keys("trustees", 0, DICE.signer("t", COSIGNATURE).vkey),
        "unknown-key",
        "trustees.keys[0]",
    ),
    "a name that bodies cannot hold": (keys("trustees", 0, DICE.signer("t'").vkey), "syntax", "trustees.keys[0]"),
    "a log with one kind of key": (keys("log", 1, lambda b: b["log"][0]), "unknown-key", "log"),
    "two logs": (keys("log", 1, DICE.signer("other", ML_DSA_44).vkey), "wrong-signers", "log"),
    "a custodian of two names": (
        lambda b: b["custodians"]["keys"][0].append(DICE.signer("other", COSIGNATURE).vkey),
        "wrong-signers",
        "custodians.keys[0]",
    ),
    "a custodian twice": (
        lambda b: b["custodians"]["keys"].__setitem__(1, b["custodians"]["keys"][0]),
        "duplicate",
        "custodians",
    ),
    "a custodian's entry key": (
        lambda b: b["custodians"]["keys"].__setitem__(0, [STRANGER]),
        "unknown-key",
        "custodians",
    ),
    "more custodians' keys than a note has lines": (
        lambda b: b["custodians"].update(keys=[many_keys(i) for i in range(50)]),
        "too-long",
        "custodians",
    ),
    "a contest twice": (contests(contest("a"), contest("a")), "duplicate", "contests[1]"),
    "a choice twice": (contests(contest("a", choices=["for", "for"])), "duplicate", "contests[0].choices[1]"),
    "a class that is not there": (contests(contest("a", classes=["gold"])), "unknown-roll", "contests[0].classes[0]"),
    "a class twice": (contests(contest("a", classes=["common", "common"])), "duplicate", "contests[0].classes[1]"),
    "a class that votes on nothing": (
        lambda b: b["classes"].append({"id": "preferred", "votes": 1, "votes_per_share": 1}),
        "missing-contest",
        "classes[1]",
    ),
    "two of choose-one": (contests(contest("a", limit=2)), "out-of-range", "contests[0].limit"),
    "more than there are": (contests(plural("a", "choose-up-to", 4)), "out-of-range", "contests[0].limit"),
    "an unknown form": (contests(contest("a", form="ranked")), "syntax", "contests[0].form"),
    "an unknown rule": (contests(contest("a", rule={"name": "veto"})), "missing-field", "contests[0].rule.abstain"),
    "a majority of more than all": (
        contests(contest("a", rule=majority(threshold=[3, 2]))),
        "out-of-range",
        "contests[0].rule.threshold",
    ),
    "a majority without against": (
        contests(contest("a", choices=["for", "abstain"])),
        "missing-field",
        "contests[0].rule.name",
    ),
    "a majority of several choices": (
        contests(contest("a", form="choose-up-to")),
        "syntax",
        "contests[0].rule.name",
    ),
    "more seats than candidates": (
        contests(contest("a", rule={"name": "plurality", "seats": 4})),
        "out-of-range",
        "contests[0].rule.seats",
    ),
    "2^40 votes": (votes(1 << 40), "out-of-range", "classes[0].votes"),
    "q times the votes reach 2^40": (
        lambda b: (votes(1 << 39)(b), contests(plural("a", "cumulative", 2))(b)),
        "out-of-range",
        "contests[0].limit",
    ),
    "a fraction of a share": (votes(735, votes_per_share=2), "out-of-range", "classes[0].votes"),
    "no decimals said twice": (votes(735, decimals=0), "out-of-range", "classes[0].decimals"),
    "too many decimals": (votes(735, decimals=7), "out-of-range", "classes[0].decimals"),
    "two units": (
        lambda b: (
            b["classes"].append({"decimals": 2, "id": "preferred", "votes": 1, "votes_per_share": 1}),
            b["contests"][0]["classes"].append("preferred"),
        ),
        "out-of-range",
        "classes[1].decimals",
    ),
    "a ballot of over 60,000 bytes": (contests(*(contest(f"a{i}") for i in range(95))), "too-long", "contests"),
    "a form so large that it could not be written out": (
        contests(*(plural(f"a{i}", "cumulative", 1000) for i in range(20))),
        "too-long",
        "contests",
    ),
    "a time that is none": (lambda b: b["times"].update(open="tomorrow"), "syntax", "times.open"),
    "a day that is none": (lambda b: b["times"].update(record_date="2019-13-40"), "out-of-range", "times.record_date"),
    "no leap year": (lambda b: b["times"].update(record_date="2026-02-29"), "out-of-range", "times.record_date"),
    "an hour that is none": (lambda b: b["times"].update(open="2026-06-01T29:00Z"), "out-of-range", "times.open"),
    "closed before it opens": (lambda b: b["times"].update(close="2026-05-31"), "out-of-range", "times.close"),
    "closed the same day before it opens": (
        lambda b: b["times"].update(open="2026-06-02T14:00+01:00", close="2026-06-02T12:59Z"),
        "out-of-range",
        "times.close",
    ),
    "opened before the record date": (
        lambda b: b["times"].update(record_date="2026-06-02"),
        "out-of-range",
        "times.open",
    ),
    "closed before the record date": (
        lambda b: b["times"].update(open="", record_date="2026-06-03"),
        "out-of-range",
        "times.close",
    ),
    "NUL in a title": (lambda b: b["meeting"].update(title="a\0"), "syntax", "meeting.title"),
    "ESC in a title": (contests(contest("a", title="\x1b[2J")), "syntax", "contests[0].title"),
    "a line break in a title": (contests(contest("a", title="a\nb")), "syntax", "contests[0].title"),
    "BEL in a text": (contests(contest("a", text="a\x07")), "syntax", "contests[0].text"),
    "CSI in a text": (contests(contest("a", text="\x9b2J")), "syntax", "contests[0].text"),
}


@pytest.mark.parametrize("case", sorted(WRONG))
def test_a_rule_broken_names_the_field(case: str) -> None:
    change, reason, field = WRONG[case]
    meeting, body = changed(change)
    refusal = expect(reason, lambda: parse_manifest(parse_entry(note(meeting, body))))
    assert refusal.field == field


@pytest.mark.parametrize(
    "times",
    [
        {},
        {"open": "", "close": "", "record_date": ""},
        {"record_date": "2026-06-01", "open": "2026-06-01T09:00Z", "close": "2026-06-01"},
        {"open": "2026-06-02T14:00+01:00", "close": "2026-06-02T13:00Z"},
    ],
)
def test_times_that_stand_in_order(times: dict[str, str]) -> None:
    meeting, body = changed(lambda b: (b["times"].update(times), contests(contest("a", text="one\n\ttwo"))(b)))
    parse_manifest(parse_entry(note(meeting, body)))


@pytest.mark.parametrize("office", ["officials", "trustees", "issuers", "inspectors", "intakes"])
def test_one_key_under_two_names(office: str) -> None:
    """Two of a quorum who are one person."""
    chair = Meeting().parties.officials[0].verifier
    meeting, body = changed(keys(office, 0, Verifier("twin", ED25519, chair.public).vkey))
    if office == "officials":
        body["officials"]["keys"][1] = chair.vkey
    refusal = expect("duplicate", lambda: parse_manifest(parse_entry(note(meeting, body))))
    assert (refusal.field, "has the key of" in refusal.detail) == (office, True)


@pytest.mark.parametrize("origin", ["", "Vote.example", "vote.example/../x", "a//b", "/a", "a/", "a b", "x" * 256])
def test_an_origin_that_is_no_address(origin: str) -> None:
    meeting = Meeting(origin=origin)
    with pytest.raises(Refused) as caught:
        parse_manifest(parse_entry(note(meeting, meeting.body)))
    assert caught.value.reason == "syntax"


def test_the_largest_ballot_that_is_allowed() -> None:
    """To the byte: identifiers are made longer until the ballot is."""

    def items(pad: int) -> list[Body]:
        made = []
        for i in range(86):
            more = min(pad, 50)
            made.append(contest(f"i{i:02}" + "x" * more))
            pad -= more
        return made

    def manifest(pad: int) -> Manifest:
        meeting, body = changed(contests(*items(pad)))
        return parse_manifest(parse_entry(note(meeting, body)))

    pad = MAX_BALLOT - largest_ballot(manifest(0))
    assert 0 < pad < 86 * 50
    assert largest_ballot(manifest(pad)) == MAX_BALLOT
    assert expect("too-long", lambda: manifest(pad + 1)).field == "contests"


@pytest.mark.parametrize("total", [1, (1 << 40) - 1])
def test_the_smallest_and_largest_number_of_votes(total: int) -> None:
    meeting, body = changed(votes(total))
    manifest: Manifest = parse_manifest(parse_entry(note(meeting, body)))
    assert manifest.votes_on(manifest.contests[0]) == total
