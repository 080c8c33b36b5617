"""Entries as bytes: one way to write each, and a refusal for every other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.log.keys import Signer
from audit.protocol.canonical import MAX_INTEGER, canonical
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.entries import MAX_ENTRY, add_signatures, make_text, parse_entry, read_text, seal
from tests.protocol.test_encoders import changed
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting

DICE = Dice(3)
SIGNERS = DICE.signers("alpha", "beta", "gamma")
ORIGIN = "vote.example/x"
BODY: dict[str, Any] = {"attempt": 1, "commitment": b64(bytes(32)), "key": b64(bytes(32)), "manifest": b64(bytes(32))}
BODY["signer"] = "alpha"


def raw_of(body: dict[str, Any] = BODY, *signers: Signer) -> bytes:
    return seal(make_text("trustee-commit", ORIGIN, body), signers or SIGNERS[:1])


def reason_of(raw: bytes) -> str:
    with pytest.raises(Refused) as caught:
        parse_entry(raw)
    return caught.value.reason


@given(st.integers(0, MAX_INTEGER), st.binary(min_size=32, max_size=32), st.sets(st.sampled_from(SIGNERS), min_size=1))
def test_what_was_sealed_is_read_back(attempt: int, commitment: bytes, signers: set[Signer]) -> None:
    body = {**BODY, "attempt": attempt, "commitment": b64(commitment)}
    raw = raw_of(body, *signers)
    entry = parse_entry(raw)
    assert (entry.kind, entry.origin, entry.body, entry.raw) == ("trustee-commit", ORIGIN, body, raw)
    assert entry.fields["commitment"] == commitment
    assert [line.name for line in entry.signatures] == sorted(signer.name for signer in signers)
    assert add_signatures(entry.text, entry.signatures[::-1]) == raw


@given(st.data())
def test_a_changed_byte_never_reads_as_the_same_entry(data: st.DataObject) -> None:
    raw = bytearray(raw_of())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    try:
        entry = parse_entry(bytes(raw))
    except Refused:
        return
    original = parse_entry(raw_of())
    assert entry.leaf != original.leaf
    assert entry.text != original.text or entry.signatures != original.signatures


@given(st.binary(max_size=300))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(Refused):
        parse_entry(noise)


@given(st.binary(max_size=80))
def test_noise_in_the_place_of_the_body_is_refused(noise: bytes) -> None:
    text = b"psephos/v1 open\n" + ORIGIN.encode() + b"\n" + noise + b"\n"
    with pytest.raises(Refused):
        read_text(text)


def test_the_signers_do_not_change_the_identity() -> None:
    one, other = parse_entry(raw_of(BODY, *SIGNERS[:2])), parse_entry(raw_of(BODY, *SIGNERS[1:]))
    assert one.identity == other.identity
    assert one.leaf != other.leaf


def test_an_entry_of_the_largest_size_and_one_more() -> None:
    def open_with(length: int) -> bytes:
        return seal(make_text("open", ORIGIN, {"manifest": "x" * length}), SIGNERS[:1])

    frame = len(open_with(0))
    assert reason_of(open_with(MAX_ENTRY - frame + 1)) == "too-long"
    # One byte less is short enough to be read, and refused for what it says.
    assert reason_of(open_with(MAX_ENTRY - frame)) != "too-long"


TEXT = make_text("trustee-commit", ORIGIN, BODY)
WRONG: dict[str, tuple[bytes, str]] = {
    "another version": (TEXT.replace(b"psephos/v1", b"psephos/v2"), "unknown-kind"),
    "no such kind": (TEXT.replace(b"trustee-commit", b"trustee-omit"), "unknown-kind"),
    "a kind of checkpoint": (TEXT.replace(b"psephos/v1 ", b""), "unknown-kind"),
    "a fourth line": (TEXT + b"more\n", "syntax"),
    "two lines": (b"psephos/v1 open\n{}\n", "syntax"),
    "a foreign letter in the origin": (TEXT.replace(b"vote", "v\u00f6te".encode()), "syntax"),
    "an array": (b"psephos/v1 open\n" + ORIGIN.encode() + b"\n[]\n", "wrong-type"),
    "a float": (TEXT.replace(b'"attempt":1', b'"attempt":1.0'), "wrong-type"),
    "a truth": (TEXT.replace(b'"attempt":1', b'"attempt":true'), "wrong-type"),
    "a space": (TEXT.replace(b'"attempt":1', b'"attempt": 1'), "not-canonical"),
    "a field twice": (TEXT.replace(b'"attempt":1', b'"attempt":1,"attempt":1'), "not-canonical"),
    "another order": (TEXT.replace(b'{"attempt":1,', b"{").replace(b"}", b',"attempt":1}'), "not-canonical"),
    "an escaped letter": (TEXT.replace(b'"alpha"', b'"\\u0061lpha"'), "not-canonical"),
    "a negative attempt": (TEXT.replace(b'"attempt":1', b'"attempt":-1'), "out-of-range"),
    "padding": (TEXT.replace(b'","manifest"', b'=","manifest"'), "bad-encoding"),
    "standard base64": (TEXT.replace(b'"commitment":"A', b'"commitment":"/'), "bad-encoding"),
    "a byte too few": (TEXT.replace(b"A" * 43, b"A" * 42), "wrong-length"),
}


@pytest.mark.parametrize("case", sorted(WRONG))
def test_a_text_in_any_other_form(case: str) -> None:
    text, reason = WRONG[case]
    assert text != TEXT
    assert reason_of(seal(text, SIGNERS[:1])) == reason


def test_signature_lines_in_another_order_or_twice() -> None:
    raw = raw_of(BODY, *SIGNERS[:2])
    text, first, second = raw.rpartition(b"\n\n")[0] + b"\n\n", *raw.rpartition(b"\n\n")[2].splitlines(keepends=True)
    assert text + first + second == raw
    assert reason_of(text + second + first) == "not-canonical"
    assert reason_of(text + first + first) == "not-canonical"


@pytest.mark.parametrize("body, field", [({**BODY, "x": 1}, "x"), ({**BODY, "attempt": "1"}, "attempt")])
def test_a_field_at_fault_is_named(body: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_entry(raw_of(body))
    assert caught.value.field == field


def test_canonical_json_is_what_is_signed() -> None:
    assert canonical({"b": 1, "a": [1, "\u00e9"]}) == '{"a":[1,"\u00e9"],"b":1}'.encode()


@pytest.mark.parametrize("depth", [17, 300, 800, 900, 960, 980, 990, 994, 5000])
@pytest.mark.parametrize("kind", ["ballot", "certify"])
def test_a_body_nested_deeply_is_refused_by_every_reader(kind: str, depth: int) -> None:
    """Reading leaves nothing to later steps that the stack there cannot hold: a ballot's identity is made of its JSON.
    """
    name = {"ballot": "contests", "certify": "result"}[kind]
    deep = f'{{"{name}":{"[" * depth}{"]" * depth},"manifest":"{b64(bytes(32))}"}}'
    text = f"psephos/v1 {kind}\n{ORIGIN}\n{deep}\n".encode()
    assert reason_of(seal(text, SIGNERS[:1])) == "syntax"


@pytest.fixture(scope="module")
def true_bodies() -> dict[str, dict[str, Any]]:
    """A body of every kind that an election without mixers writes."""
    meeting = Meeting().prepared()
    meeting.vote(meeting.accounts[0], {"nominee-1": (1, 0, 0)})
    entries = [parse_entry(raw) for raw in meeting.counted().entries]
    receipt = {"deadline": 1, "identity": b64(bytes(32)), "kind": "ballot", "leaf": b64(bytes(32))}
    receipt |= {"manifest": meeting.hash}
    return {**{entry.kind: entry.body for entry in entries}, "receipt": receipt}


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_value_in_a_true_body_is_read_or_refused(true_bodies: dict[str, Any], data: st.DataObject) -> None:
    """An entry, or a refusal with a reason; never another exception."""
    kind = data.draw(st.sampled_from(sorted(true_bodies)))
    body = changed(true_bodies[kind], data.draw, fields=True)
    try:
        raw = seal(make_text(kind, ORIGIN, body), SIGNERS[:1])
        assert parse_entry(raw).raw == raw
    except Refused as refusal:
        assert refusal.reason and refusal.detail
