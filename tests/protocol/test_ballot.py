"""A ballot: true ones pass, and each field of one, changed, is refused for its own reason."""

from __future__ import annotations

import hashlib
import pickle
from typing import Any

import pytest

from audit.protocol.ballot import make_ballot, parse_ballot, unsigned_text, verify_proofs, verify_signature
from audit.protocol.canonical import canonical, parse_canonical
from audit.protocol.elgamal import encrypt
from audit.protocol.group import ORDER, G, b64, scalar_from
from audit.protocol.refused import Refused
from audit.record.entries import identity_of
from tests.protocol.sample import (
    DIRECTOR,
    MANIFEST,
    NO_VOTE,
    ORIGIN,
    REHEARSAL,
    SELECTIONS,
    WEIGHT,
    E,
    Y,
    ballot,
    check,
    context,
    element,
    leaves,
    opened,
    path_text,
    plus_one,
    refused,
    replaced,
    s,
    scalars,
)

HERE = context()
BODY = ballot(HERE, SELECTIONS)


@pytest.mark.parametrize("selections", [SELECTIONS, NO_VOTE])
def test_a_true_ballot_passes_and_holds_the_weight(selections: dict[str, tuple[int, ...]]) -> None:
    body = parse_canonical(canonical(ballot(HERE, selections, 7)))
    check(HERE, body)
    parsed = parse_ballot(HERE, body)
    assert (parsed.pseudonym, parsed.revision) == (s * G, 7)
    for form, vote in zip(HERE.forms, parsed.votes, strict=True):
        assert [opened(C) for C in vote.C] == [a * WEIGHT * G for a in selections[form.id]]


def test_under_the_generator_of_a_mixed_roll() -> None:
    mixed = context(generator=element("Ghat"))
    body = ballot(mixed, SELECTIONS)
    check(mixed, body)
    assert body["pseudonym"] == b64((s * element("Ghat")).raw)


def test_a_ballot_says_nothing_by_its_form() -> None:
    """Two ballots of opposite choices have the same fields, lists and lengths."""

    def shape(body: Any) -> list[tuple[str, int]]:
        return [(path_text(path), len(str(value))) for path, value in leaves(body)]

    assert shape(BODY) == shape(ballot(HERE, NO_VOTE, seed="another"))


def test_the_tracker_is_the_identity_in_the_log() -> None:
    assert hashlib.sha256(unsigned_text(ORIGIN, BODY)).digest() == identity_of("ballot", ORIGIN, BODY)


def test_context_and_ballot_travel_between_processes() -> None:
    there, parsed = pickle.loads(pickle.dumps((HERE, parse_ballot(HERE, BODY))))
    assert there == HERE
    verify_proofs(there, parsed, E)


CONTESTS = [path for path, _ in leaves(BODY["contests"], ("contests",))]


@pytest.mark.parametrize("path", CONTESTS, ids=path_text)
def test_each_value_of_a_contest_changed(path: tuple[str | int, ...]) -> None:
    """Signed again by the voter, so that only the proofs can tell."""
    kind = "C" if "C" in path else "scalar"
    changed = replaced(BODY, path, b64(G.raw) if kind == "C" else plus_one)
    with refused("bad-signature", "signature"):
        check(HERE, changed)
    with pytest.raises(Refused) as caught:
        verify_proofs(HERE, parse_ballot(HERE, changed), E)
    assert caught.value.reason == "bad-proof"
    assert caught.value.field.startswith(f"contests.{path[1]}.proofs[")


@pytest.mark.parametrize(
    ("path", "new", "reason"),
    [
        (("pseudonym",), b64((s * G + G).raw), "bad-signature"),
        (("revision",), 1, "bad-signature"),
        (("signature", "c"), plus_one, "bad-signature"),
        (("signature", "z"), plus_one, "bad-signature"),
        (("manifest",), b64(REHEARSAL), "another-election"),
        (("roll",), "preferred", "unknown-roll"),
    ],
)
def test_each_other_field_changed(path: tuple[str, ...], new: Any, reason: str) -> None:
    with refused(reason, "signature" if reason == "bad-signature" else path[0]):
        check(HERE, replaced(BODY, path, new))


@pytest.mark.parametrize(
    "other",
    [
        context(manifest=REHEARSAL),
        context(roll="preferred"),
        context(roll_hash=REHEARSAL),
        context(generator=element("Ghat")),
    ],
    ids=["manifest", "roll", "roll hash", "generator"],
)
def test_proofs_and_signature_hold_in_their_context_only(other: Any) -> None:
    """The same values, with the names in the body written over, pass for no other election, roll or generator."""
    moved = {**BODY, "manifest": b64(other.manifest), "roll": other.roll}
    parsed = parse_ballot(other, moved)
    with refused("bad-signature", "signature"):
        verify_signature(other, parsed, moved)
    with refused("bad-proof", "contests.director-1.proofs[0]"):
        verify_proofs(other, parsed, E)


def test_proofs_hold_for_their_revision_pseudonym_and_weight_only() -> None:
    for changed in ({"revision": 1}, {"pseudonym": b64((s * G + G).raw)}):
        with refused("bad-proof", "contests.director-1.proofs[0]"):
            verify_proofs(HERE, parse_ballot(HERE, {**BODY, **changed}), E)
    with refused("bad-proof", "contests.director-1.proofs[0]"):
        verify_proofs(HERE, parse_ballot(HERE, BODY), encrypt(WEIGHT + 1, Y, 0xACC0))


def test_contests_of_one_form_cannot_be_exchanged() -> None:
    twins = context(DIRECTOR, type(DIRECTOR)("director-2", "choose-one", 3, 1))
    body = ballot(twins, {"director-1": (1, 0, 0), "director-2": (0, 1, 0)})
    one, two = body["contests"].values()
    swapped = {**body, "contests": {"director-1": two, "director-2": one}}
    with refused("bad-proof", "contests.director-1.proofs[0]"):
        verify_proofs(twins, parse_ballot(twins, swapped), E)


LISTS = [
    ("contests", "director-1", "C"),
    ("contests", "director-1", "C", 0),
    ("contests", "director-1", "proofs"),
    ("contests", "director-1", "proofs", 0, "c"),
    ("contests", "director-1", "proofs", 0, "z"),
    ("contests", "board", "proofs"),
    ("contests", "board", "proofs", 4, "c"),
    ("contests", "spread", "proofs", 3, "z"),
]


@pytest.mark.parametrize("path", LISTS, ids=path_text)
@pytest.mark.parametrize(
    "change", [lambda v: v[:-1], lambda v: [*v, v[0]], lambda v: []], ids=["short", "long", "none"]
)
def test_lists_too_short_or_too_long(path: tuple[str | int, ...], change: Any) -> None:
    with refused("wrong-length", path_text(path)):
        parse_ballot(HERE, replaced(BODY, path, change))


def without(value: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key != name}


def test_fields_missing_and_unknown() -> None:
    for name in BODY:
        with refused("missing-field", name):
            parse_ballot(HERE, without(BODY, name))
    with refused("unknown-field", "weight"):
        parse_ballot(HERE, {**BODY, "weight": ""})
    with refused("unknown-field", "contests.board.E"):
        parse_ballot(HERE, replaced(BODY, ("contests", "board"), lambda vote: {**vote, "E": []}))
    with refused("missing-field", "contests.board.proofs"):
        parse_ballot(HERE, replaced(BODY, ("contests", "board"), lambda vote: without(vote, "proofs")))
    with refused("unknown-field", "signature.T"):
        parse_ballot(HERE, replaced(BODY, ("signature",), lambda signature: {**signature, "T": ""}))


def test_contests_missing_and_unknown() -> None:
    with refused("missing-contest", "contests.board"):
        parse_ballot(HERE, {**BODY, "contests": without(BODY["contests"], "board")})
    with refused("unknown-contest", "contests.item-9"):
        parse_ballot(HERE, replaced(BODY, ("contests",), lambda all: {**all, "item-9": all["board"]}))


WRONG = [
    (("pseudonym",), b64(bytes(32)), "identity"),
    (("pseudonym",), b64(b"\xff" * 32), "bad-element"),
    (("pseudonym",), b64(bytes(31)), "wrong-length"),
    (("pseudonym",), "*", "bad-encoding"),
    (("pseudonym",), 5, "wrong-type"),
    (("manifest",), b64(MANIFEST) + "=", "bad-encoding"),
    (("manifest",), "", "wrong-length"),
    (("roll",), 0, "wrong-type"),
    (("revision",), "0", "wrong-type"),
    (("revision",), True, "wrong-type"),
    (("revision",), -1, "out-of-range"),
    (("revision",), 100, "out-of-range"),
    (("contests",), [], "wrong-type"),
    (("contests", "board"), [], "wrong-type"),
    (("contests", "board", "C"), {}, "wrong-type"),
    (("contests", "board", "C", 1), "ab", "wrong-type"),
    (("contests", "board", "C", 1, 0), b64(b"\xff" * 32), "bad-element"),
    (("contests", "board", "C", 1, 1), b64(b"\x01" + bytes(31)), "bad-element"),
    (("contests", "board", "proofs", 2), [], "wrong-type"),
    (("contests", "board", "proofs", 2, "c"), "c", "wrong-type"),
    (("contests", "board", "proofs", 2, "c", 0), 1, "wrong-type"),
    (("contests", "board", "proofs", 2, "z", 0), b64(ORDER.to_bytes(32, "little")), "bad-scalar"),
    (("signature",), "", "wrong-type"),
    (("signature", "z"), b64(b"\xff" * 32), "bad-scalar"),
]


@pytest.mark.parametrize(("path", "value", "reason"), WRONG)
def test_malformed_values_are_named(path: tuple[str | int, ...], value: Any, reason: str) -> None:
    with refused(reason, path_text(path)):
        parse_ballot(HERE, replaced(BODY, path, value))


@pytest.mark.parametrize("body", [[], "ballot", 1])
def test_what_is_no_object(body: Any) -> None:
    with refused("wrong-type", ""):
        parse_ballot(HERE, body)


def test_lengths_come_before_anything_is_decoded() -> None:
    broken = replaced(BODY, ("contests", "director-1", "C", 0, 0), "*")
    with refused("wrong-length", "contests.spread.C"):
        parse_ballot(HERE, replaced(broken, ("contests", "spread", "C"), lambda C: C[1:]))


def test_making_a_ballot_refuses_what_could_not_be_cast() -> None:
    with refused("missing-contest", "contests.board"):
        ballot(HERE, without(SELECTIONS, "board"))
    with refused("unknown-contest", "contests.item-9"):
        ballot(HERE, {**SELECTIONS, "item-9": (1,)})
    with refused("not-allowed", "contests.director-1"):
        ballot(HERE, {**SELECTIONS, "director-1": (1, 1, 0)})
    with refused("out-of-range", "revision"):
        ballot(HERE, SELECTIONS, -1)
    with refused("identity", "pseudonym"):
        make_ballot(HERE, ORDER, E, SELECTIONS, 0, scalars("zero"))


def test_the_signature_is_by_the_pseudonym_itself() -> None:
    stranger = make_ballot(HERE, s + 1, E, SELECTIONS, 0, scalars("stranger"))
    taken = {**stranger, "pseudonym": BODY["pseudonym"]}
    with refused("bad-signature", "signature"):
        verify_signature(HERE, parse_ballot(HERE, taken), taken)


def test_no_scalar_of_a_ballot_is_small() -> None:
    """Were challenges short, the one that is computed would be the only long one, and name the choice."""
    scalars_of = [scalar_from(value) for path, value in leaves(BODY) if "c" in path or "z" in path]
    assert min(scalars_of) > 2**236  # one in 2^16 is below; there are some 60, and they are the same in every run
