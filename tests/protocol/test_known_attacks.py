"""Attacks known from the literature and from real systems, each carried out as far as the rules allow and refused
there."""

from __future__ import annotations

import json

import pytest

from audit.protocol import ballot as ballots
from audit.protocol import contest as contests
from audit.protocol.ballot import make_ballot, parse_ballot, unsigned_text, verify_proofs
from audit.protocol.canonical import canonical, parse_canonical
from audit.protocol.contest import ContestVote, verify_contest
from audit.protocol.elgamal import Ciphertext, encrypt
from audit.protocol.group import ORDER, G, b64, scalar_from, unb64
from audit.protocol.one_of_many import OneOfMany, prove_one_of_many, verify_one_of_many
from audit.protocol.roll import Half, make_half, verify_half
from audit.protocol.sigma import Schnorr, prove_schnorr, verify_schnorr
from audit.protocol.transcript import Context, Transcript
from tests.protocol.sample import (
    DIRECTOR,
    MANIFEST,
    REHEARSAL,
    SELECTIONS,
    WEIGHT,
    E,
    Y,
    ballot,
    check,
    context,
    element,
    not_reduced,
    refused,
    replaced,
    s,
    scalars,
)

HERE = context(DIRECTOR)
BODY = ballot(HERE, {"director-1": (0, 1, 0)})
LINE = ("contests", "director-1", "proofs", 0)


def test_a_weight_chosen_after_the_ciphertexts() -> None:
    """A dishonest register makes the row's E to fit a vote for a hundredfold of it.

    With C_1 = E(100 w; r) fixed and a transcript that did not hold E, E' = C_1 - E(0; r) would make C_1 = 1.E' + E(0;
    r) a true "for". The proof is made for the E that the roll holds when the ballot is cast, and passes for it alone.
    """
    draw = scalars("late weight")
    r = [draw() for _ in range(3)]
    C = tuple(encrypt(100 * WEIGHT if j == 0 else 0, Y, r_j) for j, r_j in enumerate(r))
    late = C[0] - encrypt(0, Y, r[0])

    def transcript(weight: Ciphertext) -> Transcript:
        return ballots._contest_transcript(HERE, s * G, weight, 0)

    script = transcript(E)
    rho = contests._absorb(script, DIRECTOR, C)
    (S,) = contests._statements(DIRECTOR, late, C, rho)
    R = sum(rho_j * r_j for rho_j, r_j in zip(rho, r, strict=True)) % ORDER
    proof = prove_one_of_many(script, Y, S, 1, R, draw(), [(draw(), draw()) for _ in range(3)])
    vote = ContestVote(C, (proof,))
    for weight in (late, E):
        with refused("bad-proof", "proofs[0]"):
            verify_contest(transcript(weight), DIRECTOR, Y, weight, vote)


def test_a_surplus_challenge() -> None:
    """One challenge more than statements would absorb the difference: all T_v could then be simulated, for any C."""
    draw = scalars("surplus")
    S = [encrypt(v + 1, Y, draw()) for v in range(4)]
    c, z = [draw() for _ in S], [draw() for _ in S]
    T = [Ciphertext(z_v * G - c_v * S_v.a, z_v * Y - c_v * S_v.b) for S_v, c_v, z_v in zip(S, c, z, strict=True)]
    script = Transcript("test", Context(MANIFEST, Y))
    for S_v in S:
        script.absorb("S", S_v.raw)
    for T_v in T:
        script.absorb("T", T_v.raw)
    c.append((script.challenge("c") - sum(c)) % ORDER)
    with refused("wrong-length"):
        verify_one_of_many(Transcript("test", Context(MANIFEST, Y)), Y, S, OneOfMany(tuple(c), (*z, draw())))
    for name in ("c", "z"):
        with refused("wrong-length", f"contests.director-1.proofs[0].{name}"):
            parse_ballot(HERE, replaced(BODY, (*LINE, name), lambda values: [*values, values[0]]))


def test_a_challenge_of_zero_in_a_key() -> None:
    """(0, z) fits every key if the verifier takes c from the proof; so does l, which is 0 written otherwise."""
    stranger = element("a shareholder's key")
    context = Context(MANIFEST, Y)
    for z in (1, ORDER - 1):
        with refused("bad-proof", "proof"):
            verify_half(context, "common", 0, 0, 0, Half(stranger, Schnorr(0, z)))
    with refused("bad-scalar", "rows[0].proof.c"):
        row = {"K": b64(stranger.raw), "proof": {"c": b64(ORDER.to_bytes(32, "little")), "z": b64(bytes(32))}}
        Half.from_json(row, "rows[0]")
    with refused("identity", "rows[0].K"):
        Half.from_json({**make_half(context, "common", 0, 0, 0, s, 1).to_json(), "K": b64(bytes(32))}, "rows[0]")


def test_a_rogue_issuer_half() -> None:
    """The second issuer publishes K_2 = xG - K_1, so that it alone knows the secret of the sum. It cannot prove K_2."""
    context = Context(MANIFEST, Y)
    honest = make_half(context, "common", 0, 3, 0, s, 11)
    mine = 0xBAD
    rogue = mine * G - honest.K
    assert honest.K + rogue == mine * G
    attempts = [
        make_half(context, "common", 0, 3, 1, mine, 12).proof,
        honest.proof,
        # The proof for K_1 turned around is none for -K_1 + xG either.
        Schnorr(honest.proof.c, mine * honest.proof.c - honest.proof.z),
    ]
    for proof in attempts:
        with refused("bad-proof", "proof"):
            verify_half(context, "common", 0, 3, 1, Half(rogue, proof))


def test_a_reserialised_ballot() -> None:
    """The same ballot written otherwise would be another leaf, and count against its voter as a copy."""
    raw = canonical(BODY)
    for text in (json.dumps(BODY), raw.decode() + "\n", raw.decode().replace('"revision":0', '"revision":-0')):
        with refused("not-canonical"):
            parse_canonical(text.encode())
    twice = raw.decode().replace('"revision":0', '"revision":1,"revision":0')
    with refused("not-canonical"):
        parse_canonical(twice.encode())
    padded = lambda text: text + "="  # noqa: E731
    with refused("bad-scalar", "contests.director-1.proofs[0].c[0]"):
        parse_ballot(HERE, replaced(BODY, (*LINE, "c", 0), not_reduced))
    with refused("bad-scalar", "signature.z"):
        parse_ballot(HERE, replaced(BODY, ("signature", "z"), not_reduced))
    with refused("bad-encoding", "contests.director-1.C[0][0]"):
        parse_ballot(HERE, replaced(BODY, ("contests", "director-1", "C", 0, 0), padded))


def high_bit(text: str) -> str:
    raw = unb64(text, 32)
    return b64(raw[:31] + bytes([raw[31] | 0x80]))


def test_a_second_encoding_of_an_element() -> None:
    """libsodium 1.0.18 reads an element with its highest bit set; a pseudonym with two encodings could vote twice."""
    for path in (("pseudonym",), ("contests", "director-1", "C", 0, 0)):
        with refused("bad-element"):
            parse_ballot(HERE, replaced(BODY, path, high_bit))


def test_signing_again_makes_no_second_ballot() -> None:
    """A signature by the same pseudonym over the same text has the same tracker, so the log takes one of them."""
    script = ballots._signature_transcript(HERE, BODY)
    again = {**BODY, "signature": prove_schnorr(script, G, s, 0xF5E54).to_json()}
    check(HERE, again)
    assert again != BODY
    assert unsigned_text(HERE.origin, again) == unsigned_text(HERE.origin, BODY)


def test_a_replay_from_a_rehearsal_of_the_same_origin() -> None:
    """The same voter, number, roll and origin: what was cast in the rehearsal holds under its manifest alone."""
    rehearsal = context(manifest=REHEARSAL)
    body = ballot(rehearsal, SELECTIONS)
    check(rehearsal, body)
    real = context()
    with refused("another-election", "manifest"):
        check(real, body)
    with refused("bad-signature", "signature"):
        check(real, {**body, "manifest": b64(MANIFEST)})
    with refused("bad-proof", "contests.director-1.proofs[0]"):
        verify_proofs(real, parse_ballot(real, {**body, "manifest": b64(MANIFEST)}), E)


def test_small_challenges_that_would_reveal_the_choice() -> None:
    """Drawn from 128 bits, three challenges would be short and the computed one long: the choice in the open.

    So what is drawn goes into the proof uncut, and with draws over all scalars no place stands out for any choice.
    """
    highest = []
    for choice in range(4):
        selection = tuple(int(choice == j + 1) for j in range(3))
        for n in range(16):
            body = ballot(HERE, {"director-1": selection}, seed=f"{choice} {n}")
            c = [scalar_from(text) for text in body["contests"]["director-1"]["proofs"][0]["c"]]
            assert min(c) > 2**230
            highest.append((choice, c.index(max(c))))
    # Were the computed challenge the longest, every one of these 64 would be at the place chosen.
    assert sum(choice == place for choice, place in highest) < 32


def test_a_ballot_copied_under_another_pseudonym() -> None:
    """Copying another's ciphertexts would show how it voted in a small sum; proofs are bound to their pseudonym."""
    mine = make_ballot(HERE, s + 1, E, {"director-1": (0, 0, 0)}, 0, scalars("mine"))
    copied = {**mine, "contests": BODY["contests"]}
    with refused("bad-proof", "contests.director-1.proofs[0]"):
        verify_proofs(HERE, parse_ballot(HERE, copied), E)


def challenge_over(*T: bytes) -> int:
    """The challenge of a transcript that holds T but not the statement."""
    script = Transcript("test", Context(MANIFEST))
    for T_v in T:
        script.absorb("T", T_v)
    return script.challenge("c")


def test_a_key_fitted_to_the_challenge() -> None:
    """Weak Fiat-Shamir: T first, then a key that fits the challenge; in vain where the challenge covers the key."""
    T, z = 5 * G, 7
    c = challenge_over(T.raw)
    fitted = pow(c, -1, ORDER) * (z * G - T)
    assert z * G - c * fitted == T
    with refused("bad-proof"):
        verify_schnorr(Transcript("test", Context(MANIFEST)), G, fitted, Schnorr(c, z))


def test_a_statement_fitted_to_the_challenge() -> None:
    """The same with a ciphertext: S_0 would seem to encrypt 0, and holds what the attacker likes."""
    T, z = encrypt(1, Y, 5), 7
    c = challenge_over(T.raw)
    fitted = pow(c, -1, ORDER) * (Ciphertext(z * G, z * Y) - T)
    with refused("bad-proof"):
        verify_one_of_many(Transcript("test", Context(MANIFEST)), Y, [fitted], OneOfMany((c,), (z,)))


def test_ciphertexts_fitted_to_the_factors() -> None:
    """With rho known before C is fixed, C_1 = E + rho_2.X and C_2 = -X pass as "for", for any X."""
    draw = scalars("fitted")

    def transcript() -> Transcript:
        return ballots._contest_transcript(HERE, s * G, E, 0)

    rho = contests._absorb(transcript(), DIRECTOR, [E, E, E])
    r = [draw() for _ in range(3)]
    X = encrypt(10**6, Y, r[1])
    C = [E + rho[1] * X + encrypt(0, Y, r[0]), Ciphertext(-X.a, -X.b), encrypt(0, Y, r[2])]
    script = transcript()
    rho = contests._absorb(script, DIRECTOR, C)
    (S,) = contests._statements(DIRECTOR, E, C, rho)
    R = (r[0] + rho[2] * r[2]) % ORDER
    proof = prove_one_of_many(script, Y, S, 1, R, draw(), [(draw(), draw()) for _ in range(3)])
    with refused("bad-proof", "proofs[0]"):
        verify_contest(transcript(), DIRECTOR, Y, E, ContestVote(tuple(C), (proof,)))


@pytest.mark.parametrize("surplus", [1, -1, WEIGHT])
def test_votes_added_on_the_way(surplus: int) -> None:
    """Ciphertexts are malleable; whoever carries a ballot could add votes to it, were there no proof over them."""
    C = Ciphertext.from_json(BODY["contests"]["director-1"]["C"][0]) + encrypt(surplus, Y, 0)
    heavier = replaced(BODY, ("contests", "director-1", "C", 0), C.to_json())
    with refused("bad-signature", "signature"):
        check(HERE, heavier)
    with refused("bad-proof", "contests.director-1.proofs[0]"):
        verify_proofs(HERE, parse_ballot(HERE, heavier), E)
