"""A result beside the log."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from audit import verify
from audit.protocol.refused import Refused
from audit.verify import NotVerified, compare_result
from tests.simulator.meeting import Meeting
from tests.verify.conftest import Auditor
from tests.verify.tampering import place


def test_a_result_that_is_the_logs(held: Meeting, auditor: Auditor) -> None:
    compare_result(auditor.verify_signed(held.entries), json.dumps(held.election.result, indent=2).encode(), "r.json")


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda r: r.update(present=1), "result.present"),
        (lambda r: r["contests"]["nominee-1"].update({"for": True}), "result.contests.nominee-1.for"),
        (lambda r: r.pop("outcome"), "result.outcome"),
        (lambda r: r.update(more=1), "result.more"),
    ],
)
def test_another_result(held: Meeting, auditor: Auditor, change: Callable[[Any], object], words: str) -> None:
    result = json.loads(json.dumps(held.election.result))
    result["contests"]["nominee-1"]["for"] = 14
    change(result)
    with pytest.raises(NotVerified) as caught:
        compare_result(auditor.verify_signed(held.entries), json.dumps(result).encode(), "r.json")
    assert (caught.value.reason, caught.value.where) == ("wrong-result", "r.json")
    assert caught.value.detail.startswith(words)


NO_RESULT = {
    "nothing": (b"", "syntax"),
    "no UTF-8": (b"\xff", "syntax"),
    "UTF-16": ("{}".encode("utf-16"), "syntax"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "syntax"),
    "two values": (b"{} {}", "syntax"),
    "an array": (b"[]", "wrong-result"),
    "null": (b"null", "wrong-result"),
    "a number that is none": (b"NaN", "wrong-result"),
    "a fraction": (b'{"ballots": 6.0}', "wrong-result"),
    "a field twice": (b'{"ballots": 7, "ballots": 6}', "duplicate"),
    "a field twice, further in": (b'{"contests": {"nominee-1": {"for": 9, "for": 14}}}', "duplicate"),
    **{f"{depth} deep": (b"[" * depth + b"]" * depth, "syntax") for depth in (17, 500, 900, 990, 100_000)},
}


@pytest.mark.parametrize("raw, reason", NO_RESULT.values(), ids=NO_RESULT)
def test_a_result_that_is_none(held: Meeting, auditor: Auditor, raw: bytes, reason: str) -> None:
    with pytest.raises(NotVerified) as caught:
        compare_result(auditor.verify_signed(held.entries), raw, "r.json")
    assert caught.value.reason == reason


def test_a_result_of_which_a_field_is_said_twice(held: Meeting, auditor: Auditor) -> None:
    """One reader of such a file would see another result than the next."""
    raw = json.dumps(held.election.result).encode()
    with pytest.raises(NotVerified) as caught:
        compare_result(auditor.verify_signed(held.entries), b'{"present": 1, ' + raw[1:], "r.json")
    assert (caught.value.reason, caught.value.where) == ("duplicate", "r.json")
    assert "'present'" in caught.value.detail


def test_shares_that_come_to_no_result_name_an_entry(
    held: Meeting, auditor: Auditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the officials certify, nothing in the log says what the shares come to; whoever adds them up does."""

    def refuse(*_: object) -> None:
        raise Refused("does-not-foot", "9 votes on nominee-1, but 1 are present", "contests.nominee-1")

    monkeypatch.setattr(verify, "result_of", refuse)
    with pytest.raises(NotVerified) as caught:
        auditor.verify_signed(held.entries[:-1])
    number = len(held.entries) - 2
    assert (caught.value.number, caught.value.kind, caught.value.reason) == (number, "decrypt", "does-not-foot")
    assert caught.value.where == f"entry {number} (decrypt)"


def test_a_result_before_there_is_one(held: Meeting, auditor: Auditor) -> None:
    report = auditor.verify_signed(held.entries[: place(held, "closing")])
    with pytest.raises(NotVerified) as caught:
        compare_result(report, json.dumps(held.election.result).encode(), "r.json")
    assert caught.value.reason == "not-complete"
