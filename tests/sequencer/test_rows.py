"""Rows of the queue are anybody's: whatever stands in one, it costs that row and no other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.protocol.canonical import canonical
from audit.protocol.group import b64
from tally.sequencer import decide
from tally.sequencer.decide import read
from tests.sequencer.house import House
from tests.simulator.meeting import Meeting

STRANGER = Meeting(seed=77).parties.intakes[0]
KEY = b64(bytes(32)).encode()


def nested(depth: int, origin: bytes = b"vote.example/x") -> bytes:
    """A ballot, signed by a stranger, that is so deep in one place."""
    rest = b',"manifest":"%s","pseudonym":"%s","revision":0,"roll":"common","signature":0}' % (KEY, KEY)
    body = b'{"contests":' + b"[" * depth + b"]" * depth + rest
    text = b"psephos/v1 ballot\n" + origin + b"\n" + body + b"\n"
    return text + b"\n" + STRANGER.sign(text).line.encode()


def faults_of(raw: bytes) -> list[Exception]:
    faults: list[Exception] = []
    read(raw, faults)
    return faults


@given(raw=st.binary(max_size=400))
def test_arbitrary_bytes_are_no_entry_and_no_fault(raw: bytes) -> None:
    faults: list[Exception] = []
    assert (read(raw, faults), faults) == (None, [])


@pytest.mark.parametrize("depths", [range(10, 20), range(780, 1000), [30_000]], ids=["few", "about the stack", "many"])
def test_nothing_nested_is_a_fault(depths: Sequence[int]) -> None:
    assert [depth for depth in depths if faults_of(nested(depth))] == []


values = st.recursive(
    st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcCE"), inner, max_size=3),
    max_leaves=12,
)
KINDS = ["ballot", "open", "roll", "mix", "trustee-deal", "reconcile", "refusal", "notice", "manifest"]
NAMES = ["contests", "manifest", "pseudonym", "revision", "roll", "signature", "rows", "signer", "size"]


@given(kind=st.sampled_from(KINDS), body=st.dictionaries(st.sampled_from(NAMES), values))
def test_arbitrary_bodies_are_no_fault(kind: str, body: dict[str, Any]) -> None:
    text = f"psephos/v1 {kind}\nvote.example/x\n".encode() + canonical(body) + b"\n"
    assert faults_of(text + b"\n" + STRANGER.sign(text).line.encode()) == []


def test_nested_rows_are_counted_and_acknowledged_and_the_others_recorded(open_house: House) -> None:
    before, origin = len(open_house.vault.entries()), open_house.meeting.origin.encode()
    ballot = open_house.ballot()
    open_house.queue.put(*(nested(depth, origin) for depth in range(790, 1000, 10)), ballot)
    with open_house.opened() as sequencer:
        sequencer.step()
        assert sequencer.figures.foreign == 21
    assert open_house.queue.rows == {}
    assert [entry.raw for entry in open_house.vault.entries()[before:]] == [ballot]


@pytest.mark.parametrize("where", ["parse_entry", "check_author"])
def test_a_row_that_this_program_stumbles_over_costs_only_itself(
    open_house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    before, good, bad = len(open_house.vault.entries()), open_house.ballot(0), open_house.ballot(1)
    honest = getattr(decide, where)

    def stumbles(*arguments: Any) -> Any:
        raw = arguments[-1] if where == "parse_entry" else arguments[-1].raw
        if raw == bad:
            raise ZeroDivisionError("what the voter wrote")
        return honest(*arguments)

    open_house.queue.put(bad, good)
    with open_house.opened() as sequencer:
        monkeypatch.setattr(decide, where, stumbles)
        sequencer.step()
        assert sequencer.figures.foreign == 1
    assert open_house.queue.rows == {}
    assert [entry.raw for entry in open_house.vault.entries()[before:]] == [good]
    said = capsys.readouterr().err
    assert "zerodivisionerror" in said
    assert "what the voter wrote" not in said
