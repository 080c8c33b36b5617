"""A challenge depends on everything absorbed before it, on its place and on its label."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from audit.protocol.group import ORDER, G
from audit.protocol.transcript import Context, Item, Transcript, labelled_hash, labelled_scalar
from tests.protocol.sample import MANIFEST, REHEARSAL, ROLL_HASH, Y

pieces = st.lists(st.tuples(st.text(max_size=4), st.binary(max_size=8)), max_size=4)


def drawn(items: list[tuple[str, bytes]], proof: str = "test", context: Context | None = None) -> int:
    transcript = Transcript(proof, context or Context(MANIFEST))
    for label, item in items:
        transcript.absorb(label, item)
    return transcript.challenge("c")


@given(pieces, pieces)
def test_other_items_another_challenge(one: list[tuple[str, bytes]], other: list[tuple[str, bytes]]) -> None:
    assume(one != other)
    assert drawn(one) != drawn(other)


@pytest.mark.parametrize(
    "context",
    [
        Context(REHEARSAL),
        Context(MANIFEST, Y),
        Context(MANIFEST, G),
        Context(MANIFEST, Y, ROLL_HASH),
        Context(MANIFEST, None, ROLL_HASH),
        Context(MANIFEST, Y, REHEARSAL),
    ],
)
def test_another_election_another_challenge(context: Context) -> None:
    assert drawn([], context=context) != drawn([])


def test_another_proof_another_challenge() -> None:
    assert drawn([], "ballot") != drawn([], "ballot-signature")


def test_a_challenge_is_absorbed() -> None:
    transcript = Transcript("test", Context(MANIFEST))
    assert len({transcript.challenge("c") for _ in range(5)}) == 5
    other = Transcript("test", Context(MANIFEST))
    assert len({other.short_challenge("c") for _ in range(5)}) == 5


def test_the_range_of_challenges() -> None:
    transcript = Transcript("test", Context(MANIFEST))
    full = [transcript.challenge("c") for _ in range(50)]
    short = [transcript.short_challenge("rho") for _ in range(50)]
    assert max(full) < ORDER and max(full) > 2**250
    assert max(short) < 2**128 and max(short) > 2**120


def test_neighbours_cannot_be_shifted() -> None:
    assert drawn([("a", b"bc"), ("d", b"")]) != drawn([("a", b"b"), ("cd", b"")])
    assert labelled_hash("a", b"bc", b"d") != labelled_hash("a", b"b", b"cd")
    assert labelled_hash("a", b"", b"") != labelled_hash("a", b"")


@pytest.mark.parametrize(("item", "same"), [("text", b"text"), (7, bytes(7) + b"\x07"), (G, G.raw)])
def test_items_have_one_form(item: Item, same: bytes) -> None:
    assert labelled_hash("x", item) == labelled_hash("x", same)


def test_labels_separate_hashes() -> None:
    assert labelled_scalar("credential", MANIFEST) != labelled_scalar("weight", MANIFEST)
    with pytest.raises(OverflowError):
        labelled_hash("x", -1)
