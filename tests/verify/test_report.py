"""What a report prints: votes in shares, whatever they were counted in."""

from __future__ import annotations

import pytest

from audit.verify_report import in_shares, result_lines
from tests.simulator.meeting import Meeting


@pytest.mark.parametrize(
    ("votes", "decimals", "printed"),
    [
        (0, 0, "0"),
        (119_067_887, 0, "119,067,887"),
        (0, 3, "0.000"),
        (5, 3, "0.005"),
        (1_234_567_890, 3, "1,234,567.890"),
    ],
)
def test_votes_in_units_are_printed_in_shares(votes: int, decimals: int, printed: str) -> None:
    assert in_shares(votes, decimals) == printed


def test_a_result_counted_in_units() -> None:
    meeting = Meeting({"common": (5, 30, 700)})
    meeting.body["classes"][0]["decimals"] = 2
    meeting.prepared()
    meeting.vote(meeting.accounts[1], {"nominee-1": (1, 0, 0)})
    meeting.vote(meeting.accounts[2], {"nominee-1": (0, 1, 0)})
    result = meeting.counted().election.result
    assert result is not None and result["present"] == 730
    assert list(result_lines(result, meeting.manifest)) == [
        ("nominee-1", "for", "0.30"),
        ("nominee-1", "against", "7.00"),
        ("nominee-1", "abstain", "0.00"),
        ("nominee-1", "", "not elected"),
    ]
