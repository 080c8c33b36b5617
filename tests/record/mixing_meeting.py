"""A meeting whose rolls wait for their mixers, and what its mixers hand in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from audit.protocol.refused import MixerFault, Refused
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.parties import Parties, contest

Body = dict[str, Any]

HOLDINGS = {"common": (5, 30, 700, 2), "preferred": (9, 4)}
BOTH = [contest("nominee-1", classes=["common", "preferred"])]


def issued(mixers: int = 3, seed: int = 1, signed: bool = True) -> Meeting:
    """Up to the rolls, all signed."""
    meeting = Meeting(HOLDINGS, BOTH, seed, parties=Parties.drawn(Dice(3), mixers=mixers)).found().ceremony()
    return meeting.rolls() if signed else meeting


def hand_in(meeting: Meeting, bodies: list[Body], mixer: str) -> None:
    signer = next(signer for signer in meeting.parties.mixers if signer.name == mixer)
    for body in bodies:
        meeting.add(meeting.signed("mix", {**body, "signer": mixer}, signer))


def honest(meeting: Meeting, mixer: str, *classes: str) -> None:
    for share_class in classes or HOLDINGS:
        hand_in(meeting, meeting.mix_chunks(share_class, mixer), mixer)


def fault(reason: str, mixer: str, act: Callable[[], object]) -> MixerFault:
    with pytest.raises(MixerFault) as caught:
        act()
    assert (caught.value.reason, caught.value.mixer) == (reason, mixer), caught.value
    assert mixer in caught.value.detail
    return caught.value


def refused(reason: str, who: str, act: Callable[[], object]) -> Refused:
    with pytest.raises(Refused) as caught:
        act()
    assert caught.value.reason == reason, caught.value
    assert who in caught.value.detail
    return caught.value
