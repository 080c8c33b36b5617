"""Every JSON form of the protocol: what is written is read again, and whatever is read would be written the same.

One value anywhere in a true form is changed, left out, added or put in twice: what comes of it is a refusal, with the
path where it has one, or the JSON of something else. Never a crash, and never two ways to write one thing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.protocol.ballot import parse_ballot
from audit.protocol.canonical import canonical, parse_canonical
from audit.protocol.contest import ContestVote, expect_shape
from audit.protocol.decryption import DecryptionShare, decryption_share
from audit.protocol.elgamal import Ciphertext
from audit.protocol.group import ORDER, G, b64, scalar_bytes
from audit.protocol.one_of_many import OneOfMany, expect_one_of_many
from audit.protocol.refused import Refused
from audit.protocol.roll import Half, make_half
from audit.protocol.sigma import Equality, Schnorr
from audit.protocol.transcript import Context
from audit.protocol.trustee import CeremonySecret, KeyShare, finish
from audit.protocol.trustee_messages import Answer, Commit, Complaint, Confirm, Deal
from tests.protocol.sample import BOARD, MANIFEST, SELECTIONS, TRUSTEES, E, Trustees, Y, ballot, context, leaves

HERE = context()
CONTEXT = Context(MANIFEST, Y)
BALLOT = parse_canonical(canonical(ballot(HERE, SELECTIONS)))
HELD = Trustees().until("complete")
DEALER = HELD.state.participants[0]
OTHERS = HELD.state.participants[1:]

scalars = st.integers(0, ORDER - 1) | st.sampled_from([0, 1, ORDER - 1])
elements = scalars.map(lambda x: x * G)
keys = st.integers(1, ORDER - 1).map(lambda x: x * G)
octets = st.binary(min_size=32, max_size=32)
names = st.sampled_from(TRUSTEES)
schnorrs = st.builds(Schnorr, scalars, scalars)
several = st.integers(1, 3).flatmap(lambda m: st.tuples(st.tuples(*[scalars] * m), st.tuples(*[scalars] * m)))
one_of_many = several.map(lambda pair: OneOfMany(*pair))
ciphertexts = st.builds(Ciphertext, elements, elements)


def deal_of(body: Any) -> Deal:
    return Deal.from_json(body, HELD.state.t, OTHERS)


def deals() -> st.SearchStrategy[Deal]:
    sealed = st.fixed_dictionaries({name: st.binary(min_size=80, max_size=80) for name in OTHERS})
    commitments = st.tuples(keys, *[elements] * (HELD.state.t - 1))
    return st.builds(Deal, commitments, schnorrs, sealed)


def vote_of(value: Any) -> ContestVote:
    expect_shape(BOARD, value, "contests.board")
    return ContestVote.from_json(value, "contests.board")


def proof_of(value: Any) -> OneOfMany:
    expect_one_of_many(value, BOARD.proof_lengths[0], "proofs[0]")
    return OneOfMany.from_json(value, "proofs[0]")


class WholeBallot:
    """A ballot as it was read, written again field by field."""

    def __init__(self, body: Any) -> None:
        self.ballot = parse_ballot(HERE, body)

    def to_json(self) -> dict[str, Any]:
        contests = {form.id: vote.to_json() for form, vote in zip(HERE.forms, self.ballot.votes, strict=True)}
        return {
            "contests": contests,
            "manifest": b64(HERE.manifest),
            "pseudonym": b64(self.ballot.pseudonym.raw),
            "revision": self.ballot.revision,
            "roll": HERE.roll,
            "signature": self.ballot.signature.to_json(),
        }


BUILT: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], Any]]] = {
    "Schnorr": (schnorrs, Schnorr.from_json),
    "Equality": (st.builds(Equality, scalars, scalars), Equality.from_json),
    "OneOfMany": (one_of_many, OneOfMany.from_json),
    "Ciphertext": (ciphertexts, Ciphertext.from_json),
    "Half": (st.builds(Half, keys, schnorrs), Half.from_json),
    "DecryptionShare": (
        st.builds(DecryptionShare, elements, st.builds(Equality, scalars, scalars)),
        DecryptionShare.from_json,
    ),
    "Deal": (deals(), deal_of),
    "Confirm": (st.builds(Confirm, keys), Confirm.from_json),
    "Complaint": (st.builds(Complaint, names), Complaint.from_json),
    "Answer": (st.builds(Answer, names, scalars), Answer.from_json),
    "CeremonySecret": (
        st.builds(
            CeremonySecret, octets, names, st.integers(1, 9), st.lists(scalars, max_size=3).map(tuple), octets
        ),
        CeremonySecret.from_json,
    ),
    "KeyShare": (st.builds(KeyShare, octets, names, st.integers(1, 9), keys, scalars), KeyShare.from_json),
}


@pytest.mark.parametrize("kind", BUILT)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_what_is_written_is_read_again(kind: str, data: st.DataObject) -> None:
    made, read = BUILT[kind]
    value = data.draw(made)
    assert read(parse_canonical(canonical(value.to_json()))) == value


TRUE: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "ballot": (BALLOT, WholeBallot),
    "contest": (BALLOT["contests"]["board"], vote_of),
    "Schnorr": (BALLOT["signature"], Schnorr.from_json),
    "OneOfMany": (BALLOT["contests"]["board"]["proofs"][0], proof_of),
    "Ciphertext": (E.to_json(), Ciphertext.from_json),
    "Half": (make_half(CONTEXT, "common", 0, 0, 0, 7, 9).to_json(), Half.from_json),
    "DecryptionShare": (
        decryption_share(CONTEXT, 5, "board", "for", bytes(32), E, 1, 11).to_json(),
        DecryptionShare.from_json,
    ),
    "Commit": (HELD.state.commits[DEALER].to_json(), Commit.from_json),
    "Deal": (HELD.state.deals[DEALER].to_json(), deal_of),
    "Confirm": (Confirm(Y).to_json(), Confirm.from_json),
    "Complaint": (Complaint(DEALER).to_json(), Complaint.from_json),
    "Answer": (Answer(DEALER, 3).to_json(), Answer.from_json),
    "CeremonySecret": (HELD.secrets[DEALER].to_json(), CeremonySecret.from_json),
    "KeyShare": (finish(HELD.state, HELD.secrets[DEALER]).to_json(), KeyShare.from_json),
}
# Read from bodies of which `trustee_messages.binding` has seen the fields; what stands in them is theirs to refuse.
FIELDS_SEEN_BEFORE = {"Commit", "Deal", "Confirm", "Complaint", "Answer"}
# Halves stand in rows, which the record's shapes describe.
MORE_FIELDS_ALLOWED = {"Half"}

texts = st.sampled_from(
    [
        "",
        "A",
        "=",
        "\u20ac",
        b64(bytes(32)),
        b64(bytes(31)),
        b64(bytes(33)),
        b64(b"\xff" * 32),
        b64(G.raw),
        b64(scalar_bytes(1)),
        b64(ORDER.to_bytes(32, "little")),
        b64(G.raw)[:-1] + "B",
        b64(G.raw) + "=",
    ]
)
anything = st.recursive(
    texts | st.integers(-2, 200) | st.just(2**53 - 1) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("cz"), inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.parametrize("kind", TRUE)
def test_the_true_form_is_read(kind: str) -> None:
    value, read = TRUE[kind]
    assert read(value).to_json() == value


@pytest.mark.parametrize("kind", TRUE)
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_anything_else_in_its_place(kind: str, data: st.DataObject) -> None:
    value, read = TRUE[kind]
    value = changed(value, data.draw, fields=kind not in FIELDS_SEEN_BEFORE | MORE_FIELDS_ALLOWED)
    try:
        found = read(value)
    except Refused as refusal:
        assert refusal.reason and refusal.detail
    else:
        assert canonical(found.to_json()) == canonical(value)


def changed(value: Any, draw: Callable[[st.SearchStrategy[Any]], Any], fields: bool) -> Any:
    """A copy with a change at a place drawn: the root, a container or a leaf."""
    places = sorted({path[:end] for path, _ in leaves(value) for end in range(len(path) + 1)}, key=str)
    path = draw(st.sampled_from(places))
    return replaced_at(value, path, lambda found: altered(found, draw, fields or bool(path)), fields)


def replaced_at(value: Any, path: tuple[str | int, ...], change: Callable[[Any], Any], fields: bool) -> Any:
    if not path:
        return change(value)
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced_at(copy[path[0]], path[1:], change, fields)
    return copy


def altered(value: Any, draw: Callable[[st.SearchStrategy[Any]], Any], fields: bool) -> Any:
    if not fields:
        # Of such a body only what stands in its fields may change.
        return value
    if isinstance(value, list) and value and draw(st.booleans()):
        at = draw(st.integers(0, len(value) - 1))
        return draw(st.sampled_from([value[:at] + value[at + 1 :], [*value, value[at]], value[::-1]]))
    if isinstance(value, dict) and value and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(value)))
        less = {key: item for key, item in value.items() if key != name}
        return draw(st.sampled_from([less, {**value, "more": value[name]}, {**less, "other": value[name]}]))
    if isinstance(value, int):
        return draw(anything | st.integers(-1, 101))
    return draw(anything)
