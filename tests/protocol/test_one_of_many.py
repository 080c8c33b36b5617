"""One-of-many: complete for every hidden u, sound, bound to its statement, and silent about u."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.protocol.elgamal import Ciphertext, encrypt
from audit.protocol.group import ORDER, G
from audit.protocol.one_of_many import OneOfMany, expect_one_of_many, prove_one_of_many, verify_one_of_many
from audit.protocol.transcript import Context, Transcript
from tests.protocol.sample import MANIFEST, REHEARSAL, Y, refused, scalars

R = 0x5A1F


def transcript(manifest: bytes = MANIFEST) -> Transcript:
    return Transcript("test", Context(manifest, Y))


def statements(m: int, u: int) -> list[Ciphertext]:
    """m ciphertexts, all of v + 1 but the one at u, which is E(0; R)."""
    return [encrypt(0, Y, R) if v == u else encrypt(v + 1, Y, 77 + v) for v in range(m)]


def prove(S: list[Ciphertext], u: int, seed: str = "one of many") -> OneOfMany:
    draw = scalars(seed)
    return prove_one_of_many(transcript(), Y, S, u, R, draw(), [(draw(), draw()) for _ in S[1:]])


@pytest.mark.parametrize(("m", "u"), [(m, u) for m in range(1, 6) for u in range(m)])
def test_complete_for_every_u(m: int, u: int) -> None:
    S = statements(m, u)
    proof = prove(S, u)
    verify_one_of_many(transcript(), Y, S, proof)
    assert OneOfMany.from_json(proof.to_json()) == proof


@pytest.mark.parametrize("claimed", range(4))
def test_nothing_is_proved_where_none_encrypts_zero(claimed: int) -> None:
    S = statements(4, -1)
    with refused("bad-proof"):
        verify_one_of_many(transcript(), Y, S, prove(S, claimed))


@pytest.mark.parametrize("claimed", [0, 1, 3])
def test_the_prover_cannot_claim_another_place(claimed: int) -> None:
    S = statements(4, 2)
    with refused("bad-proof"):
        verify_one_of_many(transcript(), Y, S, prove(S, claimed))


@pytest.mark.parametrize("name", ["c", "z"])
@pytest.mark.parametrize("v", range(4))
def test_every_value_counts(name: str, v: int) -> None:
    S = statements(4, 2)
    fields = {"c": list(prove(S, 2).c), "z": list(prove(S, 2).z)}
    fields[name][v] += 1
    with refused("bad-proof"):
        verify_one_of_many(transcript(), Y, S, OneOfMany(tuple(fields["c"]), tuple(fields["z"])))


@pytest.mark.parametrize("v", range(4))
def test_challenges_cannot_be_moved_around(v: int) -> None:
    """Their sum stays the same, but every T_v depends on its own c_v."""
    S = statements(4, 2)
    proof = prove(S, 2)
    c = list(proof.c)
    c[v], c[(v + 1) % 4] = c[v] + 5, c[(v + 1) % 4] - 5
    with refused("bad-proof"):
        verify_one_of_many(transcript(), Y, S, OneOfMany(tuple(c), proof.z))


def test_statements_in_another_order_are_another_statement() -> None:
    S = statements(4, 2)
    proof = prove(S, 2)
    for other in (S[::-1], [S[1], S[0], *S[2:]], [*S[:3], S[3] + encrypt(0, Y, 1)]):
        with refused("bad-proof"):
            verify_one_of_many(transcript(), Y, other, proof)


def test_bound_to_election_and_key() -> None:
    S = statements(4, 2)
    with refused("bad-proof"):
        verify_one_of_many(transcript(REHEARSAL), Y, S, prove(S, 2))
    with refused("bad-proof"):
        verify_one_of_many(transcript(), Y + G, S, prove(S, 2))


@pytest.mark.parametrize(("c", "z"), [(3, 4), (5, 4), (4, 3), (4, 5), (0, 0)])
def test_lists_too_short_or_too_long(c: int, z: int) -> None:
    with refused("wrong-length"):
        verify_one_of_many(transcript(), Y, statements(4, 2), OneOfMany((1,) * c, (1,) * z))


@given(st.integers(0, 3), st.integers(0, 2**32))
def test_the_proof_holds_what_was_drawn_and_only_one_answer(u: int, seed: int) -> None:
    """c_v and z_v of the others are the scalars drawn, in full; c_u is what is left, as uniform as they are."""
    S = statements(4, u)
    draw = scalars(str(seed))
    w, others = draw(), [(draw(), draw()) for _ in range(3)]
    proof = prove_one_of_many(transcript(), Y, S, u, R, w, others)
    pairs = list(zip(proof.c, proof.z, strict=True))
    del pairs[u]
    assert pairs == others
    assert proof.z[u] == (w + proof.c[u] * R) % ORDER


def test_the_number_of_pairs_drawn_is_fixed() -> None:
    with pytest.raises(ValueError, match="argument"):
        prove_one_of_many(transcript(), Y, statements(4, 2), 2, R, 1, [(1, 1)] * 2)


GOOD = prove(statements(3, 1), 1).to_json()


@pytest.mark.parametrize(
    ("value", "reason", "field"),
    [
        ("c", "wrong-type", "p"),
        ({"c": GOOD["c"]}, "missing-field", "p.z"),
        ({**GOOD, "T": []}, "unknown-field", "p.T"),
        ({**GOOD, "c": "x"}, "wrong-type", "p.c"),
        ({**GOOD, "c": GOOD["c"][:2]}, "wrong-length", "p.c"),
        ({**GOOD, "z": [*GOOD["z"], GOOD["z"][0]]}, "wrong-length", "p.z"),
        # Lengths are checked before anything is decoded.
        ({"c": [None] * 3, "z": [None] * 2}, "wrong-length", "p.z"),
        ({**GOOD, "z": [GOOD["z"][0], 5, GOOD["z"][2]]}, "wrong-type", "p.z[1]"),
        ({**GOOD, "z": [GOOD["z"][0], GOOD["z"][1], "!"]}, "bad-encoding", "p.z[2]"),
    ],
)
def test_proofs_are_read_strictly(value: Any, reason: str, field: str) -> None:
    with refused(reason, field):
        expect_one_of_many(value, 3, "p")
        OneOfMany.from_json(value, "p")
