"""Schnorr and equality proofs: complete, bound to all of their statement, and read strictly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.protocol.group import IDENTITY, ORDER, Element, G, b64, scalar_bytes
from audit.protocol.sigma import Equality, Schnorr, prove_equality, prove_schnorr, verify_equality, verify_schnorr
from audit.protocol.transcript import Context, Transcript
from tests.protocol.sample import MANIFEST, REHEARSAL, element, not_reduced, refused

secrets = st.integers(1, ORDER - 1)
H = element("H")
KEY = 0xD00D
NONCE = 0x4E04CE


def transcript(manifest: bytes = MANIFEST, proof: str = "test") -> Transcript:
    return Transcript(proof, Context(manifest))


@given(secrets, secrets)
def test_whoever_knows_the_secret_proves_it(x: int, w: int) -> None:
    verify_schnorr(transcript(), H, x * H, prove_schnorr(transcript(), H, x, w))
    verify_equality(transcript(), G, x * G, H, x * H, prove_equality(transcript(), G, H, x, w))


@given(secrets, secrets)
def test_proofs_round_trip(x: int, w: int) -> None:
    schnorr, equality = prove_schnorr(transcript(), G, x, w), prove_equality(transcript(), G, H, x, w)
    assert Schnorr.from_json(schnorr.to_json()) == schnorr
    assert Equality.from_json(equality.to_json()) == equality


@pytest.mark.parametrize("change", [(1, 0), (0, 1), (1, 1), (-1, 0), (0, -1)])
def test_a_changed_answer_proves_nothing(change: tuple[int, int]) -> None:
    schnorr, equality = prove_schnorr(transcript(), G, KEY, NONCE), prove_equality(transcript(), G, H, KEY, NONCE)
    with refused("bad-proof"):
        verify_schnorr(transcript(), G, KEY * G, Schnorr(schnorr.c + change[0], schnorr.z + change[1]))
    with refused("bad-proof"):
        changed = Equality(equality.c + change[0], equality.z + change[1])
        verify_equality(transcript(), G, KEY * G, H, KEY * H, changed)


@pytest.mark.parametrize(("base", "X"), [(H, KEY * G), (G, KEY * H), (G, KEY * G + G), (KEY * G, G), (G, -(KEY * G))])
def test_schnorr_holds_for_its_statement_only(base: Element, X: Element) -> None:
    proof = prove_schnorr(transcript(), G, KEY, NONCE)
    with refused("bad-proof"):
        verify_schnorr(transcript(), base, X, proof)


EQUAL = (G, KEY * G, H, KEY * H)


@pytest.mark.parametrize("place", range(4))
def test_equality_holds_for_its_statement_only(place: int) -> None:
    proof = prove_equality(transcript(), G, H, KEY, NONCE)
    base, X, other, D = (P + G if i == place else P for i, P in enumerate(EQUAL))
    with refused("bad-proof"):
        verify_equality(transcript(), base, X, other, D, proof)


def test_equality_of_swapped_pairs_is_another_statement() -> None:
    proof = prove_equality(transcript(), G, H, KEY, NONCE)
    with refused("bad-proof"):
        verify_equality(transcript(), H, KEY * H, G, KEY * G, proof)


@pytest.mark.parametrize(("manifest", "proof"), [(REHEARSAL, "test"), (MANIFEST, "another")])
def test_a_proof_holds_in_its_place_and_election_only(manifest: bytes, proof: str) -> None:
    schnorr, equality = prove_schnorr(transcript(), G, KEY, NONCE), prove_equality(transcript(), G, H, KEY, NONCE)
    with refused("bad-proof"):
        verify_schnorr(transcript(manifest, proof), G, KEY * G, schnorr)
    with refused("bad-proof"):
        verify_equality(transcript(manifest, proof), *EQUAL, equality)


def test_two_different_secrets_are_not_equal() -> None:
    """Answers that fit the first pair cannot fit the second, whatever T the prover sends for it."""
    proof = prove_equality(transcript(), G, H, KEY, NONCE)
    with refused("bad-proof"):
        verify_equality(transcript(), G, KEY * G, H, (KEY + 1) * H, proof)


def test_a_challenge_of_zero_proves_no_key() -> None:
    """With c = 0 the equation zG = T + cX holds for every X; but c is what the transcript says."""
    stranger = element("nobody knows its logarithm")
    for z in (1, NONCE):
        with refused("bad-proof"):
            verify_schnorr(transcript(), G, stranger, Schnorr(0, z))
        with refused("bad-proof"):
            verify_equality(transcript(), G, stranger, H, element("other"), Equality(0, z))
    with refused("bad-scalar", "proof.c"):
        zero = b64(ORDER.to_bytes(32, "little"))
        Schnorr.from_json({"c": zero, "z": b64(scalar_bytes(1))}, "proof")


def test_no_key_and_no_base_is_the_identity() -> None:
    """x = 0 is everybody's secret: the proof for it is true, and refused."""
    with refused("identity"):
        verify_schnorr(transcript(), G, IDENTITY, prove_schnorr(transcript(), G, 0, NONCE))
    with refused("identity"):
        verify_schnorr(transcript(), IDENTITY, IDENTITY, prove_schnorr(transcript(), IDENTITY, KEY, NONCE))
    with refused("identity"):
        verify_equality(transcript(), G, IDENTITY, H, IDENTITY, prove_equality(transcript(), G, H, 0, NONCE))


def test_the_sum_over_no_ballots_is_the_identity() -> None:
    proof = prove_equality(transcript(), G, IDENTITY, KEY, NONCE)
    verify_equality(transcript(), G, KEY * G, IDENTITY, IDENTITY, proof)
    with refused("bad-proof"):
        verify_equality(transcript(), G, KEY * G, IDENTITY, G, proof)


GOOD = prove_schnorr(transcript(), G, KEY, NONCE).to_json()


@pytest.mark.parametrize(
    ("value", "reason", "field"),
    [
        ([], "wrong-type", "proof"),
        ({"c": GOOD["c"]}, "missing-field", "proof.z"),
        ({"z": GOOD["z"]}, "missing-field", "proof.c"),
        ({**GOOD, "T": ""}, "unknown-field", "proof.T"),
        ({**GOOD, "c": 1}, "wrong-type", "proof.c"),
        ({**GOOD, "z": GOOD["z"] + "="}, "bad-encoding", "proof.z"),
        ({**GOOD, "z": "!" + GOOD["z"][1:]}, "bad-encoding", "proof.z"),
        ({**GOOD, "z": b64(bytes(31))}, "wrong-length", "proof.z"),
        ({**GOOD, "c": not_reduced(GOOD["c"])}, "bad-scalar", "proof.c"),
        ({**GOOD, "z": not_reduced(GOOD["z"])}, "bad-scalar", "proof.z"),
    ],
)
@pytest.mark.parametrize("kind", [Schnorr, Equality])
def test_proofs_are_read_strictly(kind: type[Schnorr | Equality], value: Any, reason: str, field: str) -> None:
    with refused(reason, field):
        kind.from_json(value, "proof")
