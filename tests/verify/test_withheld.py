"""What a report says of the minimum of voters behind a total: what it keeps secret, and that 1 keeps nothing."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

import pytest

from audit.protocol.refused import Refused
from audit.record.outcome import result_of
from audit.verify_report import Report, checked, trusted
from tests.simulator.meeting import Meeting
from tests.simulator.parties import contest
from tests.verify.conftest import FOR, Auditor


def decrypted(minimum: int = 2) -> Meeting:
    """Two common holders vote, and one preferred, on an item of both classes."""
    items = [contest("nominee-1", classes=["common", "preferred"])]
    meeting = Meeting({"common": (5, 30), "preferred": (9, 9)}, items, minimum=minimum).prepared()
    for account in meeting.accounts[:3]:
        meeting.vote(account, FOR)
    return meeting.closing().reconcile().close().decrypt()


def reported(minimum: int, executor: Executor) -> Report:
    meeting = decrypted(minimum).certify()
    return Auditor(meeting, executor).verify_signed(meeting.entries)


def test_what_is_withheld_is_named_with_the_minimum(executor: Executor) -> None:
    report = reported(2, executor)
    assert report.result is not None and report.result["withheld"] == ["common", "preferred"]
    said = [sentence for sentence in checked(report) if sentence.startswith("withheld")]
    assert said == [
        "withheld, or fewer than 2 voters could be told apart: the totals or votes present of common, preferred"
    ]
    assert not any("the minimum is 1" in sentence for sentence in trusted(report))


def test_a_minimum_of_one_protects_nobody(executor: Executor) -> None:
    report = reported(1, executor)
    assert report.result is not None and report.result["present"] == 44 and "withheld" not in report.result
    assert not any("difference between totals" in sentence for sentence in checked(report))
    assert any("a total over a single voter is decrypted" in sentence for sentence in trusted(report))


@pytest.mark.parametrize("change", [lambda r: r.pop("withheld"), lambda r: r.update(withheld=["common"])])
def test_a_result_that_hides_what_is_withheld(change: Any) -> None:
    meeting = decrypted()
    result = dict(result_of(meeting.election, meeting.seen))
    change(result)
    with pytest.raises(Refused) as caught:
        meeting.resolve("certify", result=result)
    assert caught.value.reason == "wrong-result" and caught.value.detail.startswith("result.withheld")
