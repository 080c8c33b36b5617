"""One contest on a ballot: ciphertexts C_j = a_j.E + E(0; r_j) of the voter's weight, proved to be an allowed choice.

E encrypts the weight w, which neither prover nor verifier knows; a_j says how often the choice j has it. Each form of
contest comes down to one-of-many proofs over ciphertexts S_v of which one encrypts 0:

- choose-one: at most one a_j is 1. With factors rho_1 = 1, rho_2..rho_k drawn after all C are fixed, sum rho_j C_j is
  rho_u.E for the choice u, or encrypts 0 for "no vote on this item"; S_0 = sum rho_j C_j, S_v = S_0 - rho_v.E.
- choose-up-to m: each C_j is one of {0, E}, their sum one of {0..m}.E.
- cumulative, q votes a share: each C_j is one of {0..q}.E, their sum one of {0..q}.E.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from audit.protocol.elgamal import ZERO, Ciphertext, encrypt
from audit.protocol.group import ORDER, Element
from audit.protocol.one_of_many import OneOfMany, expect_one_of_many, prove_one_of_many, verify_one_of_many
from audit.protocol.refused import Refused
from audit.protocol.transcript import Transcript

FORMS = ("choose-one", "choose-up-to", "cumulative")

Draw = Callable[[], int]


@dataclass(frozen=True)
class ContestForm:
    """What a ballot may hold for one contest. form: choose-one, choose-up-to or cumulative; choices: k; limit: 1 for
    choose-one, m for choose-up-to, q for cumulative."""

    id: str
    form: str
    choices: int
    limit: int

    @property
    def most(self) -> int:
        """The largest a_j."""
        return self.limit if self.form == "cumulative" else 1

    @property
    def proof_lengths(self) -> tuple[int, ...]:
        """m of every proof: one over the choices and no vote; or one for each choice, and one for their sum."""
        if self.form == "choose-one":
            return (self.choices + 1,)
        return (self.most + 1,) * self.choices + (self.limit + 1,)

    def expect_allowed(self, a: Sequence[int]) -> None:
        """Refused `wrong-length`, or `not-allowed` if these a_1..a_k may not stand on a ballot."""
        if len(a) != self.choices:
            raise Refused("wrong-length", f"this contest has {self.choices} choices, found {len(a)}")
        if not all(0 <= a_j <= self.most for a_j in a) or sum(a) > self.limit:
            raise Refused("not-allowed", f"this contest is {self.form}, at most {self.limit} in all")


@dataclass(frozen=True, slots=True)
class ContestVote:
    """C_1..C_k and the proofs. In JSON {"C": [[a, b], ...], "proofs": [{"c": [...], "z": [...]}, ...]}."""

    C: tuple[Ciphertext, ...]
    proofs: tuple[OneOfMany, ...]

    def to_json(self) -> dict[str, Any]:
        return {"C": [C_j.to_json() for C_j in self.C], "proofs": [proof.to_json() for proof in self.proofs]}

    @classmethod
    def from_json(cls, value: Any, field: str = "") -> ContestVote:
        """The inverse, of a value that `expect_shape` has let pass. Refused with the path from `field`."""
        return cls(
            tuple(Ciphertext.from_json(pair, f"{field}.C[{j}]") for j, pair in enumerate(value["C"])),
            tuple(OneOfMany.from_json(proof, f"{field}.proofs[{i}]") for i, proof in enumerate(value["proofs"])),
        )


def expect_shape(form: ContestForm, value: Any, field: str) -> None:
    """Refuses a contest whose lists do not have exactly the lengths of its form, before anything in them is decoded."""
    if type(value) is not dict:
        raise Refused("wrong-type", "expected an object", field)
    for name in sorted(value):
        if name not in ("C", "proofs"):
            raise Refused("unknown-field", "no such field is expected here", f"{field}.{name[:60]}")
    for name, length in (("C", form.choices), ("proofs", len(form.proof_lengths))):
        if name not in value:
            raise Refused("missing-field", "this field is required", f"{field}.{name}")
        if type(value[name]) is not list:
            raise Refused("wrong-type", "expected an array", f"{field}.{name}")
        if len(value[name]) != length:
            raise Refused("wrong-length", f"expected {length} values, found {len(value[name])}", f"{field}.{name}")
    for i, m in enumerate(form.proof_lengths):
        expect_one_of_many(value["proofs"][i], m, f"{field}.proofs[{i}]")


def prove_contest(
    transcript: Transcript, form: ContestForm, Y: Element, E: Ciphertext, a: Sequence[int], draw: Draw
) -> ContestVote:
    """Encrypts and proves a_1..a_k under the encrypted weight E. draw: gives a fresh uniform scalar at each call; how
    often it is called depends on the form alone. Refused as `ContestForm.expect_allowed`."""
    form.expect_allowed(a)
    r = [draw() for _ in a]
    C = [a_j * E + encrypt(0, Y, r_j) for a_j, r_j in zip(a, r, strict=True)]
    rho = _absorb(transcript, form, C)
    proofs = []
    for S, (u, R) in zip(_statements(form, E, C, rho), _witnesses(form, a, r, rho), strict=True):
        w, others = draw(), [(draw(), draw()) for _ in S[1:]]
        proofs.append(prove_one_of_many(transcript, Y, S, u, R % ORDER, w, others))
    return ContestVote(tuple(C), tuple(proofs))


def verify_contest(transcript: Transcript, form: ContestForm, Y: Element, E: Ciphertext, vote: ContestVote) -> None:
    """Refused `bad-proof` unless the proofs show that the ciphertexts hold something allowed of the weight E.

    A choose-one contest of k choices takes 6k + 2 multiplications, k + 1 more of G, and 6k additions.
    """
    rho = _absorb(transcript, form, vote.C)
    for i, (S, proof) in enumerate(zip(_statements(form, E, vote.C, rho), vote.proofs, strict=True)):
        try:
            verify_one_of_many(transcript, Y, S, proof)
        except Refused as refusal:
            raise refusal.at(f"proofs[{i}]") from None


def _absorb(transcript: Transcript, form: ContestForm, C: Sequence[Ciphertext]) -> list[int]:
    """Takes in the form and all C; the factors rho_1..rho_k for choose-one, which therefore no C can depend on."""
    for label, item in (("contest", form.id), ("form", form.form), ("choices", form.choices), ("limit", form.limit)):
        transcript.absorb(label, item)
    for C_j in C:
        transcript.absorb("C", C_j.raw)
    if form.form != "choose-one":
        return []
    return [1, *(transcript.short_challenge("rho") for _ in C[1:])]


def _statements(
    form: ContestForm, E: Ciphertext, C: Sequence[Ciphertext], rho: Sequence[int]
) -> Iterator[list[Ciphertext]]:
    """S_0..S_{m-1} of every proof, in order."""
    if form.form == "choose-one":
        S_0 = _sum([_times(rho_j, C_j) for rho_j, C_j in zip(rho, C, strict=True)])
        yield [S_0, *(S_0 - _times(rho_v, E) for rho_v in rho)]
        return
    for C_j in C:
        yield _multiples_off(C_j, E, form.most)
    yield _multiples_off(_sum(C), E, form.limit)


def _witnesses(form: ContestForm, a: Sequence[int], r: Sequence[int], rho: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(u, R) of every proof: S_u = E(0; R)."""
    if form.form == "choose-one":
        yield (a.index(1) + 1 if 1 in a else 0), sum(rho_j * r_j for rho_j, r_j in zip(rho, r, strict=True))
        return
    yield from zip(a, r, strict=True)
    yield sum(a), sum(r)


def _multiples_off(C: Ciphertext, E: Ciphertext, most: int) -> list[Ciphertext]:
    """C - v.E for v = 0..most."""
    S = [C]
    for _ in range(most):
        S.append(S[-1] - E)
    return S


def _times(factor: int, C: Ciphertext) -> Ciphertext:
    """factor.C, for nothing where the factor is 1."""
    return C if factor == 1 else factor * C


def _sum(ciphertexts: Sequence[Ciphertext]) -> Ciphertext:
    return sum(ciphertexts[1:], ciphertexts[0]) if ciphertexts else ZERO
