"""Keys that the officials replace: what the rules admit, and which keys count for which entry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from audit.log.keys import COSIGNATURE, ML_DSA_44, Signer
from audit.protocol.refused import Refused
from audit.record.entries import parse_entry
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.rekeys import rekey, rekeying

FOR = {"nominee-1": (1, 0, 0)}


def fresh(name: str, seed: int = 50) -> tuple[Signer, ...]:
    """New keys for one of these names, or of a new custodian."""
    dice = Dice(seed)
    if name == "log":
        return dice.log_keys(name)
    return dice.custodian_keys(name) if name.startswith("custodian") else dice.signers(name)


@pytest.fixture
def meeting() -> Meeting:
    return Meeting().prepared()


def refused(act: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(Refused) as caught:
        act()
    return caught.value.reason, caught.value.field


def changed(meeting: Meeting, office: str, name: str, new: tuple[Signer, ...], changes: dict[str, Any]) -> bytes:
    """The entry of a rekey, its body changed as said."""
    said = parse_entry(rekeying(meeting, office, name, new)).body
    return meeting.signed("rekey", {**said, **changes}, *meeting.parties.officials[:2])


OFFICES = [("intake", "intake-1"), ("log", "log"), ("custodian", "custodian-b")]


@pytest.mark.parametrize(("office", "name"), OFFICES)
def test_from_the_entry_on_the_new_keys_count_and_before_it_the_old(meeting: Meeting, office: str, name: str) -> None:
    before, new = meeting.manifest, fresh(name)
    entry = rekey(meeting, office, name, new)
    after, index = meeting.manifest, meeting.election.size - 1
    assert (after.hash, after.origin) == (before.hash, before.origin)
    assert [(one.index, one.office, one.name, one.to) for one in after.rekeys] == [(index, office, name, name)]
    assert after.rekeys[0].new == tuple(signer.verifier for signer in new)
    assert after.at(index) == before and after.at(index + 1) == after and after.at(10**6) == after
    assert (after.log, after.intakes) != (before.log, before.intakes)
    assert meeting.entries[index] == entry.raw


def test_a_ballot_bears_the_line_of_the_key_that_counts(meeting: Meeting) -> None:
    old = meeting.intake
    meeting.vote(meeting.accounts[0], FOR)
    rekey(meeting, "intake", "intake-1", fresh("intake-1"))
    assert refused(lambda: meeting.vote(meeting.accounts[1], FOR, intake=old)) == ("unknown-key", "")
    meeting.vote(meeting.accounts[1], FOR)
    assert meeting.counted().election.result["contests"]["nominee-1"]["for"] == 35


def test_a_refusal_bears_the_line_of_the_logs_key_that_counts(meeting: Meeting) -> None:
    old = meeting.parties.log[0]
    rekey(meeting, "log", "log", fresh("log"))
    said = {"detail": "", "identity": "A" * 43, "intake": "intake-1", "kind": "ballot", "leaf": "A" * 43}
    said["reason"] = "closed"
    assert refused(lambda: meeting.act("refusal", said, old)) == ("unknown-key", "")
    meeting.act("refusal", said, meeting.parties.log[0])


def test_one_custodian_takes_the_place_of_another(meeting: Meeting) -> None:
    rekey(meeting, "custodian", "custodian-b", fresh("custodian-d"))
    assert [name for name, _ in meeting.manifest.log.custodians] == ["custodian-a", "custodian-d", "custodian-c"]
    assert meeting.manifest.log.W == 2


def test_what_officials_draw_up_is_not_out_of_date_by_it(meeting: Meeting) -> None:
    closing = meeting.resolution("closing")
    rekey(meeting, "intake", "intake-2", fresh("intake-2"))
    meeting.add(closing)


@pytest.mark.parametrize(("office", "name"), OFFICES)
def test_the_officials_quorum_signs(meeting: Meeting, office: str, name: str) -> None:
    text = parse_entry(rekeying(meeting, office, name, fresh(name)))
    chair, secretary = meeting.parties.officials[:2]
    for signers in ((chair,), (chair, meeting.parties.trustees[0]), (secretary, meeting.parties.log[0])):
        raw = meeting.signed("rekey", text.body, *signers)
        assert refused(lambda raw=raw: meeting.add(raw)) == ("wrong-signers", "signatures")  # type: ignore[misc]


def test_of_another_election(meeting: Meeting) -> None:
    other = Meeting(seed=9, parties=meeting.parties).found()
    raw = rekeying(other, "log", "log", fresh("log"))
    assert refused(lambda: meeting.add(raw)) == ("another-election", "manifest")


@pytest.mark.parametrize(("office", "name"), OFFICES)
def test_once_replaced_a_key_never_counts_again(meeting: Meeting, office: str, name: str) -> None:
    first = rekeying(meeting, office, name, fresh(name))
    old = tuple(
        signer
        for signer in (*meeting.parties.log, *meeting.parties.intakes, *sum(meeting.parties.custodians, ()))
        if signer.name == name
    )
    rekey(meeting, office, name, fresh(name))
    # The very entry again, the same said anew, and the way back.
    assert refused(lambda: meeting.add(first)) == ("duplicate", "")
    again = changed(meeting, office, name, fresh(name, 51), {"old": [signer.vkey for signer in old]})
    assert refused(lambda: meeting.add(again)) == ("wrong-key", "old")
    assert refused(lambda: rekey(meeting, office, name, old)) == ("duplicate", "new")


def test_a_replay_where_nothing_is_remembered(meeting: Meeting) -> None:
    """A reader without the index over the log comes to the same."""
    raw = rekeying(meeting, "log", "log", fresh("log"))
    rekey(meeting, "log", "log", fresh("log"))
    assert refused(lambda: meeting.election.apply_recorded(parse_entry(raw))) == ("wrong-key", "old")


def test_nobody_takes_anothers_key_or_name(meeting: Meeting) -> None:
    parties = meeting.parties
    stolen = Signer("custodian-b", parties.custodians[0][0].verifier.type, parties.custodians[0][0]._seed)
    expected = ("duplicate", "new")
    assert refused(lambda: rekey(meeting, "custodian", "custodian-b", (stolen,))) == expected
    taken = Dice(60).custodian_keys("custodian-c")
    assert refused(lambda: rekey(meeting, "custodian", "custodian-b", taken)) == ("duplicate", "to")
    rekey(meeting, "custodian", "custodian-c", fresh("custodian-d"))
    assert refused(lambda: rekey(meeting, "custodian", "custodian-b", taken)) == ("duplicate", "to")


def test_one_custodian_is_not_counted_with_two_keys(meeting: Meeting) -> None:
    """Not even if its new keys are given to another place as well."""
    new = fresh("custodian-b")
    rekey(meeting, "custodian", "custodian-b", new)
    again = tuple(Signer("custodian-e", key.verifier.type, key._seed) for key in new)
    assert refused(lambda: rekey(meeting, "custodian", "custodian-a", again)) == ("duplicate", "new")


WRONG: dict[str, tuple[str, str, dict[str, Any], tuple[str, str]]] = {
    "nobody of that name": ("intake", "intake-1", {"name": "intake-9"}, ("unknown-key", "name")),
    "another office": ("intake", "intake-1", {"kind": "custodian"}, ("unknown-key", "name")),
    "an office without rekey": ("intake", "intake-1", {"kind": "trustee"}, ("syntax", "kind")),
    "another name for an intake": ("intake", "intake-1", {"to": "intake-9"}, ("unknown-field", "to")),
    "another name that is the same": ("custodian", "custodian-b", {"to": "custodian-b"}, ("unknown-field", "to")),
    "keys of another name": (
        "log",
        "log",
        {"new": [key.vkey for key in Dice(7).log_keys("gol")]},
        ("wrong-signers", "new"),
    ),
    "one key of the log": ("log", "log", {"new": [Dice(7).signer("log").vkey]}, ("unknown-key", "new")),
    "two keys of an intake": (
        "intake",
        "intake-1",
        {"new": [Dice(s).signer("intake-1").vkey for s in (7, 8)]},
        ("duplicate", "new[1]"),
    ),
    "a key of an intake that signs no entries": (
        "intake",
        "intake-1",
        {"new": [Dice(7).signer("intake-1", COSIGNATURE).vkey]},
        ("unknown-key", "new[0]"),
    ),
    "a key of a custodian that signs no checkpoints": (
        "custodian",
        "custodian-b",
        {"new": [Dice(7).signer("custodian-b").vkey]},
        ("unknown-key", "new"),
    ),
    "one key twice": (
        "custodian",
        "custodian-b",
        {"new": [Dice(7).signer("custodian-b", ML_DSA_44).vkey] * 2},
        ("duplicate", "new"),
    ),
    "no keys": ("custodian", "custodian-b", {"new": []}, ("wrong-length", "new")),
    "no old keys": ("log", "log", {"old": []}, ("wrong-length", "old")),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(meeting: Meeting, name: str) -> None:
    office, who, changes, expected = WRONG[name]
    new = fresh(who)
    assert refused(lambda: meeting.add(changed(meeting, office, who, new, changes))) == expected


def test_no_key_is_left_to_rotate_before_there_is_a_manifest() -> None:
    meeting = Meeting()
    said = {"kind": "log", "manifest": "A" * 43, "name": "log"}
    keys = [key.vkey for key in meeting.parties.log]
    raw = meeting.signed("rekey", {**said, "new": keys, "old": keys}, *meeting.parties.officials[:2])
    assert refused(lambda: meeting.election.admit(parse_entry(raw), meeting.seen)) == ("wrong-phase", "type")
