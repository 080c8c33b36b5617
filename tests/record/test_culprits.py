"""Who has cheated is named: the mixer or the issuer, and the row or the field, in cases that other tests leave out.

What has not even the form of an entry names no mixer, for no signature on it was looked at: it names the row.
"""

from __future__ import annotations

from typing import Any

import pytest

from audit.protocol.refused import MixerFault, Refused
from audit.record.chunks import split
from audit.record.entries import parse_entry
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.mixers import CHEATS, told
from tests.simulator.parties import Parties, contest

Body = dict[str, Any]

HOLDINGS = {"common": (5, 30, 700, 2), "preferred": (9, 4)}
BOTH = [contest("nominee-1", classes=["common", "preferred"])]


def keyed(mixers: int = 3) -> Meeting:
    return Meeting(HOLDINGS, BOTH, parties=Parties.drawn(Dice(3), mixers=mixers)).found().ceremony()


@pytest.fixture
def meeting() -> Meeting:
    """Rolls signed, nothing mixed."""
    return keyed().rolls()


def hand_in(meeting: Meeting, bodies: list[Body], place: int) -> None:
    mixer = meeting.parties.mixers[place]
    for body in bodies:
        meeting.add(meeting.signed("mix", {**body, "signer": mixer.name}, mixer))


def mix(meeting: Meeting, *places: int) -> None:
    for place in places:
        for share_class in HOLDINGS:
            hand_in(meeting, meeting.mix_chunks(share_class, meeting.parties.mixers[place].name), place)


@pytest.mark.parametrize("cheat", sorted(CHEATS))
def test_the_last_mixer_is_named_as_the_first_is(meeting: Meeting, cheat: str) -> None:
    mix(meeting, 0, 1)
    change, reason, field = CHEATS[cheat]
    with pytest.raises(MixerFault) as caught:
        hand_in(meeting, told(meeting.mix_chunks("common", "mixer-3"), change), 2)
    assert (caught.value.mixer, caught.value.reason, caught.value.field) == ("mixer-3", reason, field)
    assert "mixer-3" in caught.value.detail and meeting.election.roll("common").mixers == ("mixer-1", "mixer-2")


@pytest.mark.parametrize(("early", "due"), [(1, 0), (2, 0), (2, 1)])
def test_whose_turn_it_is_is_said_with_who_took_it(meeting: Meeting, early: int, due: int) -> None:
    mix(meeting, *range(due))
    with pytest.raises(MixerFault) as caught:
        mix(meeting, early)
    assert (caught.value.reason, caught.value.mixer) == ("wrong-turn", f"mixer-{early + 1}")
    assert f"mixer-{due + 1}" in caught.value.detail


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        (lambda row: {"c_hat": [row["c_hat"], row["c_hat"]]}, "wrong-type", "rows[1].c_hat"),
        (lambda row: {"c_hat_2": row["c_hat"]}, "unknown-field", "rows[1].c_hat_2"),
        (lambda row: {"c_hat": row["c_hat"] + row["c_hat"]}, "wrong-length", "rows[1].c_hat"),
    ],
)
def test_a_surplus_link_of_the_chain_in_one_row(meeting: Meeting, change: Any, reason: str, field: str) -> None:
    (body,) = meeting.mix_chunks("common", "mixer-1")
    rows = [body["rows"][0], {**body["rows"][1], **change(body["rows"][1])}, *body["rows"][2:]]
    with pytest.raises(Refused) as caught:
        hand_in(meeting, [{**body, "rows": rows}], 0)
    assert (caught.value.reason, caught.value.field) == (reason, field)


def test_a_surplus_link_in_the_head(meeting: Meeting) -> None:
    (body,) = meeting.mix_chunks("common", "mixer-1")
    with pytest.raises(Refused) as caught:
        hand_in(meeting, [{**body, "proof": {**body["proof"], "c_hat": body["rows"][0]["c_hat"]}}], 0)
    assert (caught.value.reason, caught.value.field) == ("unknown-field", "proof.c_hat")


def test_a_proof_of_another_attempt(meeting: Meeting) -> None:
    """Two mixes of one list by one mixer are two statements: neither proof is the other's."""
    (one,), (two,) = (meeting.mix_chunks("common", "mixer-1", attempt) for attempt in (0, 1))
    with pytest.raises(MixerFault) as caught:
        hand_in(meeting, told([one], proof=two["proof"]), 0)
    assert (caught.value.mixer, caught.value.reason) == ("mixer-1", "bad-proof")


def test_a_half_copied_from_another_issuer() -> None:
    """The second issuer publishes the first one's keys and proofs as its own halves, knowing none of their secrets."""
    meeting = keyed()
    accounts = [meeting.register("common", row, weight) for row, weight in enumerate(HOLDINGS["common"])]
    first, second = (meeting.roll_chunks("common", accounts, k) for k in (0, 1))
    for body in first:
        meeting.add(meeting.signed("roll", body, meeting.parties.issuers[0]))
    head = {name: second[0][name] for name in ("class", "manifest", "revision")}
    rows = [{"K": row["K"], "proof": row["proof"]} for row in first[0]["rows"]]
    (copied,) = split(head, rows)
    with pytest.raises(Refused) as caught:
        meeting.add(meeting.signed("roll", copied, meeting.parties.issuers[1]))
    assert (caught.value.reason, caught.value.field) == ("bad-proof", "rows[0].proof")
    assert "issuer-2" in caught.value.detail


@pytest.mark.parametrize("k", [0, 1])
def test_an_issuer_that_adds_an_account(k: int) -> None:
    """One issuer has a row more than the other. (Where both have, the log cannot see it: that is for who signs.)"""
    meeting = keyed()
    accounts = [meeting.register("common", row, weight) for row, weight in enumerate(HOLDINGS["common"])]
    more = [*accounts[:-1], meeting.register("common", 3, 1), meeting.register("common", 4, 1)]
    with pytest.raises(Refused) as caught:
        for place in (0, 1):
            for body in meeting.roll_chunks("common", more if place == k else accounts, place):
                meeting.add(meeting.signed("roll", body, meeting.parties.issuers[place]))
    assert caught.value.reason == "wrong-length"
    assert "issuer-2" in caught.value.detail and "issuer-1" in caught.value.detail


def test_an_issuers_total_that_is_wrong() -> None:
    meeting = keyed()
    weights = (*HOLDINGS["common"][:-1], HOLDINGS["common"][-1] + 1)
    accounts = [meeting.register("common", row, weight) for row, weight in enumerate(weights)]
    (body,) = meeting.roll_chunks("common", accounts, 0)
    with pytest.raises(Refused) as caught:
        meeting.add(meeting.signed("roll", body, meeting.parties.issuers[0]))
    assert caught.value.reason == "wrong-total" and "issuer-1" in caught.value.detail


def test_one_issuer_signs_for_another() -> None:
    """The first issuer signs in the second one's name, with its own key."""
    meeting = keyed()
    accounts = [meeting.register("common", row, weight) for row, weight in enumerate(HOLDINGS["common"])]
    (body,) = meeting.roll_chunks("common", accounts, 1)
    first, second = meeting.parties.issuers
    raw = meeting.signed("roll", body, first).replace(f"\n— {first.name} ".encode(), f"\n— {second.name} ".encode())
    with pytest.raises(Refused) as caught:
        meeting.add(raw)
    assert second.name in caught.value.detail and parse_entry(raw).kind == "roll"
