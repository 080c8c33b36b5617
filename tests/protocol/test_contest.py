"""A contest: every allowed choice can be cast and adds up; nothing else can, whatever the prover tries."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pytest

from audit.protocol import contest
from audit.protocol.contest import ContestForm, ContestVote, prove_contest, verify_contest
from audit.protocol.elgamal import encrypt
from audit.protocol.group import ORDER, G
from audit.protocol.one_of_many import prove_one_of_many
from audit.protocol.transcript import Context, Transcript
from tests.protocol.sample import BOARD, DIRECTOR, MANIFEST, SPREAD, WEIGHT, E, Y, opened, refused, scalars

FORMS = (DIRECTOR, ContestForm("one", "choose-one", 1, 1), BOARD, SPREAD, ContestForm("all", "choose-up-to", 2, 2))


def transcript() -> Transcript:
    return Transcript("test", Context(MANIFEST, Y))


def prove(form: ContestForm, a: Sequence[int], seed: str = "contest") -> ContestVote:
    return prove_contest(transcript(), form, Y, E, a, scalars(seed))


def allowed(form: ContestForm) -> list[tuple[int, ...]]:
    vectors = product(range(form.limit + 1), repeat=form.choices)
    return [a for a in vectors if max(a) <= form.most and sum(a) <= form.limit]


CASES = [(form, a) for form in FORMS for a in allowed(form)]


@pytest.mark.parametrize(("form", "a"), CASES)
def test_every_allowed_choice_can_be_cast(form: ContestForm, a: tuple[int, ...]) -> None:
    vote = prove(form, a)
    verify_contest(transcript(), form, Y, E, vote)
    assert [opened(C) for C in vote.C] == [a_j * WEIGHT * G for a_j in a]


@pytest.mark.parametrize(
    ("form", "a", "reason"),
    [
        (DIRECTOR, (1, 1, 0), "not-allowed"),
        (DIRECTOR, (2, 0, 0), "not-allowed"),
        (DIRECTOR, (-1, 1, 0), "not-allowed"),
        (DIRECTOR, (1, 0), "wrong-length"),
        (DIRECTOR, (1, 0, 0, 0), "wrong-length"),
        (BOARD, (1, 1, 1, 0), "not-allowed"),
        (BOARD, (2, 0, 0, 0), "not-allowed"),
        (SPREAD, (2, 2, 0), "not-allowed"),
        (SPREAD, (4, -1, 0), "not-allowed"),
    ],
)
def test_what_is_not_allowed_is_refused_before_it_is_encrypted(
    form: ContestForm, a: tuple[int, ...], reason: str
) -> None:
    with refused(reason):
        prove(form, a)


@pytest.mark.parametrize(
    ("form", "a"),
    [
        (DIRECTOR, (2, 0, 0)),
        (DIRECTOR, (1, 1, 0)),
        (DIRECTOR, (-1, 1, 1)),
        (DIRECTOR, (0, -1, 0)),
        (BOARD, (2, 0, 0, 0)),
        (BOARD, (-1, 1, 1, 1)),
        (SPREAD, (4, 0, 0)),
        (SPREAD, (4, -1, 0)),
    ],
)
def test_a_prover_that_breaks_the_rules_proves_nothing(form: ContestForm, a: tuple[int, ...]) -> None:
    """It runs the true prover over the true transcript, as if some allowed choice had been made: in vain."""
    for pretended in allowed(form):
        with refused("bad-proof"):
            verify_contest(transcript(), form, Y, E, dishonest(form, a, pretended))


def dishonest(form: ContestForm, a: Sequence[int], pretended: tuple[int, ...]) -> ContestVote:
    """Ciphertexts of a_j times the weight, with proofs that claim the places u of `pretended`."""
    draw, script = scalars("dishonest"), transcript()
    r = [draw() for _ in a]
    C = [a_j * E + encrypt(0, Y, r_j) for a_j, r_j in zip(a, r, strict=True)]
    rho = contest._absorb(script, form, C)
    claims = zip(contest._statements(form, E, C, rho), contest._witnesses(form, pretended, r, rho), strict=True)
    return ContestVote(
        tuple(C),
        tuple(
            prove_one_of_many(script, Y, S, u, R % ORDER, draw(), [(draw(), draw()) for _ in S[1:]])
            for S, (u, R) in claims
        ),
    )


def test_the_dishonest_prover_of_these_tests_is_right_when_it_is_honest() -> None:
    for form in (DIRECTOR, BOARD, SPREAD):
        for a in allowed(form):
            verify_contest(transcript(), form, Y, E, dishonest(form, a, a))


@pytest.mark.parametrize(("form", "a"), [(DIRECTOR, (0, 1, 0)), (BOARD, (1, 0, 0, 1)), (SPREAD, (2, 0, 1))])
def test_every_ciphertext_counts(form: ContestForm, a: tuple[int, ...]) -> None:
    vote = prove(form, a)
    for j in range(form.choices):
        for change in (E, encrypt(1, Y, 0), encrypt(0, Y, 1)):
            C = tuple(C_i + change if i == j else C_i for i, C_i in enumerate(vote.C))
            with refused("bad-proof"):
                verify_contest(transcript(), form, Y, E, ContestVote(C, vote.proofs))
    with refused("bad-proof"):
        verify_contest(transcript(), form, Y, E, ContestVote(vote.C[::-1], vote.proofs))


@pytest.mark.parametrize(("form", "a"), [(DIRECTOR, (0, 1, 0)), (BOARD, (1, 0, 0, 1)), (SPREAD, (2, 0, 1))])
def test_the_statement_is_this_form_key_and_weight(form: ContestForm, a: tuple[int, ...]) -> None:
    vote = prove(form, a)
    others = [ContestForm("other", form.form, form.choices, form.limit)]
    if form.form != "choose-one":
        others.append(ContestForm(form.id, form.form, form.choices, form.limit + 1))
    for other in others:
        longer = form.form == "cumulative" and other.limit > form.limit
        with refused("wrong-length" if longer else "bad-proof"):
            verify_contest(transcript(), other, Y, E, vote)
    with refused("bad-proof"):
        verify_contest(transcript(), form, Y + G, E, vote)
    with refused("bad-proof"):
        verify_contest(transcript(), form, Y, E + encrypt(0, Y, 1), vote)


def test_the_proof_at_fault_is_named() -> None:
    vote, other = prove(BOARD, (1, 0, 0, 1)), prove(BOARD, (1, 0, 0, 1), "other")
    for i in range(len(vote.proofs)):
        proofs = tuple(other.proofs[n] if n == i else proof for n, proof in enumerate(vote.proofs))
        with refused("bad-proof", f"proofs[{i}]"):
            verify_contest(transcript(), BOARD, Y, E, ContestVote(vote.C, proofs))


@pytest.mark.parametrize("form", FORMS)
def test_what_is_drawn_and_written_does_not_depend_on_the_choice(form: ContestForm) -> None:
    calls, lengths = set(), set()
    for a in allowed(form):
        draw = scalars("counted")
        vote = prove_contest(transcript(), form, Y, E, a, draw)
        calls.add(draw())
        lengths.add(len(str(vote.to_json())))
    assert len(calls) == len(lengths) == 1
