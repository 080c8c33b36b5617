"""Records of elections whose rolls were mixed: what the verifier says of the mixers, and which of them it catches."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from audit import ballot_checks
from audit.protocol.group import G, b64
from audit.record.entries import parse_entry
from audit.verify import NotVerified
from audit.verify_report import Report, checked, trusted
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.mixers import CHEATS, told
from tests.simulator.parties import Parties, contest
from tests.verify.conftest import FOR, Auditor

MIXERS = ["mixer-1", "mixer-2", "mixer-3"]
HOLDINGS = {"common": tuple(range(1, 13)), "preferred": (2, 3, 50)}


@pytest.fixture(scope="module")
def mixed() -> Meeting:
    items = [contest("nominee-1", classes=["common", "preferred"])]
    meeting = Meeting(HOLDINGS, items, parties=Parties.drawn(Dice(8), mixers=3)).prepared()
    for account in (*meeting.accounts[:4], meeting.accounts[-1]):
        meeting.vote(account, FOR)
    meeting.vote(meeting.accounts[0], FOR, revision=1)
    return meeting.counted()


@pytest.fixture(scope="module")
def auditor(mixed: Meeting, executor: Any) -> Auditor:
    return Auditor(mixed, executor)


@pytest.fixture(scope="module")
def report(mixed: Meeting, auditor: Auditor) -> Report:
    return auditor.verify_signed(mixed.entries)


def places(meeting: Meeting, kind: str) -> list[int]:
    return [i for i, raw in enumerate(meeting.entries) if parse_entry(raw).kind == kind]


def place(meeting: Meeting, share_class: str, mixer: str) -> int:
    """Where this mixer's mix of this class stands."""
    bodies = ((i, parse_entry(meeting.entries[i]).body) for i in places(meeting, "mix"))
    return next(i for i, body in bodies if (body["class"], body["signer"]) == (share_class, mixer))


def test_the_record_is_verified(mixed: Meeting, report: Report) -> None:
    assert report.certified and report.result == mixed.election.result
    assert report.result is not None
    assert report.result["contests"]["nominee-1"] == {"for": 1 + 2 + 3 + 4 + 50, "against": 0, "abstain": 0}
    assert (report.kinds["mix"], report.superseded) == (6, 1)


def test_the_mixers_are_listed_in_order(report: Report) -> None:
    found = json.loads(json.dumps(report.to_json()))
    assert found["mixers"] == MIXERS
    assert found["rolls"] == {
        "common": {"anonymous": True, "mixers": MIXERS, "rows": 12},
        "preferred": {"anonymous": False, "mixers": MIXERS, "rows": 3},
    }
    assert any("common was mixed by mixer-1, then mixer-2, then mixer-3" in sentence for sentence in checked(report))


def test_what_had_to_be_trusted(report: Report) -> None:
    """Every mixer with an issuer, or all issuers; and nothing hides three holders."""
    sentences = list(trusted(report))
    assert not any("not mixed" in sentence for sentence in sentences)
    (mixers,) = [sentence for sentence in sentences if "mixer-1" in sentence]
    assert "of mixer-1, mixer-2 and mixer-3 one at least has forgotten" in mixers
    assert "all of them together with issuer-1 or issuer-2" in mixers
    assert any("do not vote for others or trace them" in sentence for sentence in sentences)
    (small,) = [sentence for sentence in sentences if "not anonymous" in sentence]
    assert "roll of preferred: with 3 rows" in small


def test_so_far_nobody_has_mixed_all_rolls(mixed: Meeting, auditor: Auditor) -> None:
    second = place(mixed, "preferred", "mixer-2")
    found = auditor.verify_signed(mixed.entries[:second]).to_json()
    assert found["mixers"] == ["mixer-1"]
    assert found["rolls"]["common"] == {"anonymous": False, "mixers": ["mixer-1", "mixer-2"], "rows": 12}


# Logs that log and custodians have signed although the rules forbid them


@pytest.mark.parametrize("mixer", MIXERS)
def test_a_mix_removed(mixed: Meeting, auditor: Auditor, mixer: str) -> None:
    at = place(mixed, "common", mixer)
    fault = auditor.fault(mixed.entries[:at] + mixed.entries[at + 1 :])
    assert mixer in fault.detail
    if mixer == "mixer-3":
        assert (fault.number, fault.kind, fault.reason) == (places(mixed, "open")[0] - 1, "open", "not-complete")
    else:
        assert (fault.kind, fault.reason) == ("mix", "wrong-turn")


@pytest.mark.parametrize("mixer", MIXERS)
def test_a_mix_twice(mixed: Meeting, auditor: Auditor, mixer: str) -> None:
    at = place(mixed, "common", mixer)
    fault = auditor.fault([*mixed.entries[: at + 1], mixed.entries[at], *mixed.entries[at + 1 :]])
    assert (fault.number, fault.kind) == (at + 1, "mix")


def test_mixes_swapped(mixed: Meeting, auditor: Auditor) -> None:
    entries = list(mixed.entries)
    first, second = place(mixed, "common", "mixer-1"), place(mixed, "common", "mixer-2")
    entries[first], entries[second] = entries[second], entries[first]
    fault = auditor.fault(entries)
    assert (fault.number, fault.reason) == (first, "wrong-turn")
    assert "mixer-2" in fault.detail


def test_a_mix_after_the_opening(mixed: Meeting, auditor: Auditor) -> None:
    at = places(mixed, "open")[0] + 1
    fault = auditor.fault([*mixed.entries[:at], mixed.entries[at - 2], *mixed.entries[at:]])
    assert (fault.number, fault.reason) == (at, "wrong-phase")


def test_a_byte_of_each_mix(mixed: Meeting, auditor: Auditor) -> None:
    dice = random.Random(4)
    for i in places(mixed, "mix"):
        raw = mixed.entries[i]
        for at in [dice.randrange(len(raw)) for _ in range(4)]:
            changed = raw[:at] + bytes([raw[at] ^ 1 << dice.randrange(7)]) + raw[at + 1 :]
            assert auditor.fault([*mixed.entries[:i], changed, *mixed.entries[i + 1 :]]).number == i


def until(mixed: Meeting, number: int) -> Meeting:
    """The same election up to this entry, going on as it likes."""
    meeting = Meeting(HOLDINGS, mixed.body["contests"], parties=mixed.parties)
    for raw in mixed.entries[:number]:
        meeting.add(raw)
    return meeting


def forged(mixed: Meeting, mixer: str, change: Callable[[Any], Any]) -> tuple[int, list[bytes]]:
    """The log with a lie in this mixer's mix, signed by the mixer."""
    at = place(mixed, "common", mixer)
    signer = mixed.parties.mixers[MIXERS.index(mixer)]
    (body,) = told([parse_entry(mixed.entries[at]).body], change)
    return at, [*mixed.entries[:at], mixed.signed("mix", body, signer), *mixed.entries[at + 1 :]]


@pytest.fixture(params=[1, 64])
def window(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ballot_checks, "IN_FLIGHT", request.param)
    yield


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("cheat", sorted(CHEATS))
def test_a_mixer_that(mixed: Meeting, auditor: Auditor, window: None, cheat: str, mixer: str) -> None:
    change, reason, field = CHEATS[cheat]
    at, entries = forged(mixed, mixer, change)
    fault = auditor.fault(entries)
    assert (fault.number, fault.kind, fault.reason) == (at, "mix", reason)
    assert mixer in fault.detail and field in fault.detail


@pytest.mark.parametrize("generator, reason", [(G.raw, "not-mixed"), (bytes(32), "identity")])
def test_the_exponents_0_and_1(mixed: Meeting, auditor: Auditor, generator: bytes, reason: str) -> None:
    at = place(mixed, "common", "mixer-1")
    (body,) = told([parse_entry(mixed.entries[at]).body], generator=b64(generator))
    raw = mixed.signed("mix", body, mixed.parties.mixers[0])
    fault = auditor.fault([*mixed.entries[:at], raw, *mixed.entries[at + 1 :]])
    assert (fault.number, fault.reason) == (at, reason)
    assert "mixer-1" in fault.detail


def test_another_mixers_proof(mixed: Meeting, auditor: Auditor) -> None:
    """The second mixer signs the first one's rows and proof as a mix of the last list."""
    at = place(mixed, "common", "mixer-2")
    last = parse_entry(mixed.entries[at]).body["before"]
    first = parse_entry(mixed.entries[place(mixed, "common", "mixer-1")]).body
    for changes, reason in (({}, "another-list"), ({"before": last}, "not-mixed")):
        (body,) = told([first], list, signer="mixer-2", **changes)
        raw = mixed.signed("mix", body, mixed.parties.mixers[1])
        fault = auditor.fault([*mixed.entries[:at], raw, *mixed.entries[at + 1 :]])
        assert (fault.number, fault.reason) == (at, reason)
        assert "mixer-2" in fault.detail


def test_a_ballot_under_a_pseudonym_of_an_earlier_list(mixed: Meeting, auditor: Auditor) -> None:
    """Only keys of the last list vote."""
    meeting = until(mixed, places(mixed, "open")[0])
    body = json.loads(json.dumps(parse_entry(mixed.entries[places(mixed, "ballot")[0]]).body))
    body["pseudonym"] = b64(mixed.accounts[5].pseudonym.raw)
    at = places(mixed, "closing")[0]
    raw = meeting.signed("ballot", body, mixed.intake)
    fault = auditor.fault([*mixed.entries[:at], raw, *mixed.entries[at:]])
    assert (fault.number, fault.reason) == (at, "unknown-pseudonym")


def test_a_chunk_left_out(mixed: Meeting, executor: Any) -> None:
    meeting = Meeting({"common": [1] * 200}, parties=Parties.drawn(Dice(8), mixers=1)).found().ceremony().rolls()
    meeting.mix().open()
    auditor = Auditor(meeting, executor)
    assert auditor.verify_signed(meeting.entries).mixers == ("mixer-1",)
    for at in places(meeting, "mix"):
        with pytest.raises(NotVerified) as caught:
            auditor.verify_signed(meeting.entries[:at] + meeting.entries[at + 1 :])
        assert (caught.value.kind, caught.value.reason) == ("open", "not-complete")
        assert "mixer-1" in caught.value.detail
