"""What tally makes of mixes: a proof that holds is recorded, one that does not is answered by name in the log."""

from __future__ import annotations

import pytest

from audit.record.entries import Entry, parse_entry, seal
from tally.sequencer.decide import Decision, decide
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.mixers import altered_weight, told
from tests.simulator.parties import Parties


@pytest.fixture
def meeting() -> Meeting:
    return Meeting(parties=Parties.drawn(Dice(1), mixers=2)).found().ceremony().rolls()


def mixed(meeting: Meeting, mixer: int, lie: bool = False, attempt: int = 0) -> list[Entry]:
    signer = meeting.parties.mixers[mixer]
    bodies = meeting.mix_chunks("common", signer.name, attempt)
    bodies = told(bodies, altered_weight) if lie else bodies
    return [parse_entry(meeting.signed("mix", body, signer)) for body in bodies]


def decided(meeting: Meeting, entries: list[Entry]) -> Decision:
    return decide(meeting.election, meeting.seen, entries, {}, lambda text: seal(text, meeting.parties.log[:1]))


def test_a_mix_is_recorded(meeting: Meeting) -> None:
    entries = mixed(meeting, 0)
    assert decided(meeting, entries).entries == entries
    assert meeting.election.roll("common").mixers == ("mixer-1",)


def test_a_mix_whose_proof_does_not_hold_is_refused_by_name(meeting: Meeting) -> None:
    (entry,) = mixed(meeting, 0, lie=True)
    decision = decided(meeting, [entry])
    (refusal,) = decision.entries
    assert (decision.refused, refusal.kind, refusal.fields["reason"]) == (1, "refusal", "bad-proof")
    assert refusal.fields["identity"] == entry.identity
    assert "mixer-1 does not prove" in refusal.fields["detail"]
    assert meeting.election.roll("common").mixers == ()


def test_the_mixer_may_do_better(meeting: Meeting) -> None:
    decided(meeting, mixed(meeting, 0, lie=True))
    entries = mixed(meeting, 0)
    assert decided(meeting, entries).entries == entries


def test_one_out_of_turn_is_refused(meeting: Meeting) -> None:
    (refusal,) = decided(meeting, mixed(meeting, 1)).entries
    assert refusal.fields["reason"] == "wrong-turn"
    assert "the turn of mixer-1" in refusal.fields["detail"]
