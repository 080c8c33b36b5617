"""The election that every schedule runs: a manifest of three custodians, or of five, and notices by its officials, made
once.

Notices are the cheapest entries that the rules admit; what an entry says is not what is simulated.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache

from audit.record.entries import parse_entry
from audit.record.manifest import Manifest
from tests.simulation.keys import cheap_signatures
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.parties import Parties

NOTICES = 24


@dataclass(frozen=True)
class Rehearsal:
    manifest: Manifest
    parties: Parties
    first: bytes
    notices: tuple[bytes, ...]


@cache
def rehearsal(custodians: int, W: int) -> Rehearsal:
    """An election with so many custodians, of which W must cosign."""
    with cheap_signatures():
        dice = Dice(custodians)
        parties = Parties.drawn(dice)
        names = [f"custodian-{letter}" for letter in "abcdefg"[:custodians]]
        object.__setattr__(parties, "custodians", tuple(dice.custodian_keys(name) for name in names))
        meeting = Meeting(parties=parties)
        meeting.body["custodians"]["threshold"] = W
        meeting.found()
        texts = (f"Notice number {number}." for number in itertools.count())
        notices = [meeting.resolution("notice", subject="incident", text=next(texts)) for _ in range(NOTICES)]
        assert all(parse_entry(raw).kind == "notice" for raw in notices)
        return Rehearsal(meeting.manifest, parties, meeting.entries[0], tuple(notices))
