"""Proofs of knowledge of a logarithm, made non-interactive by the transcript (Schnorr; Chaum-Pedersen).

Each proves x without showing it: the prover sends T = wB, is challenged with c, and answers z = w + cx, so that zB = T
+ cX. A proof is (c, z); the verifier computes T = zB - cX and draws the challenge again. Whoever calls has absorbed
into the transcript all that the statement depends on; bases, keys and T are absorbed here. w is drawn for one proof
alone: two proofs with the same w give x away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from audit.protocol.group import ORDER, Element, b64, scalar_bytes, scalar_from
from audit.protocol.refused import Refused
from audit.protocol.transcript import Transcript


@dataclass(frozen=True, slots=True)
class Response:
    """(c, z): the challenge, and the answer z = w + cx to it. In JSON {"c", "z"}."""

    c: int
    z: int

    def to_json(self) -> dict[str, str]:
        return {"c": b64(scalar_bytes(self.c)), "z": b64(scalar_bytes(self.z))}

    @classmethod
    def from_json(cls, value: Any, field: str = "") -> Self:
        """The inverse. Refused, with the path from `field`: `wrong-type`, `unknown-field`, `missing-field`,
        `wrong-length`, `bad-encoding`, `bad-scalar`."""
        expect_proof(value, field)
        return cls(scalar_at(value["c"], f"{field}.c".lstrip(".")), scalar_at(value["z"], f"{field}.z".lstrip(".")))


class Schnorr(Response):
    """The proof that somebody knows x with X = xB."""

    __slots__ = ()


class Equality(Response):
    """The proof that X = xG and D = xH have the same x, known to the prover."""

    __slots__ = ()


def prove_schnorr(transcript: Transcript, base: Element, x: int, w: int) -> Schnorr:
    """Proves x for X = x base. w: a scalar drawn for this proof alone."""
    c = _challenge(transcript, (base, x * base), (w * base,))
    return Schnorr(c, (w + c * x) % ORDER)


def verify_schnorr(transcript: Transcript, base: Element, X: Element, proof: Schnorr) -> None:
    """Refused `identity` for a key or base that is the identity, `bad-proof` unless T = z base - c X leads to the
    challenge c."""
    _expect_key(base, X)
    T = proof.z * base - proof.c * X
    if _challenge(transcript, (base, X), (T,)) != proof.c:
        raise Refused("bad-proof", "this does not prove knowledge of the secret behind the key")


def prove_equality(transcript: Transcript, G: Element, H: Element, x: int, w: int) -> Equality:
    """Proves that X = xG and D = xH have the same x. w: a scalar drawn for this proof alone."""
    c = _challenge(transcript, (G, x * G, H, x * H), (w * G, w * H))
    return Equality(c, (w + c * x) % ORDER)


def verify_equality(transcript: Transcript, G: Element, X: Element, H: Element, D: Element, proof: Equality) -> None:
    """Refused `identity` if G or the key X is the identity, `bad-proof` unless zG - cX and zH - cD lead to the
    challenge c.

    H may be the identity, as the sum over no ballots is; then only D = identity can be proved.
    """
    _expect_key(G, X)
    T = (proof.z * G - proof.c * X, proof.z * H - proof.c * D)
    if _challenge(transcript, (G, X, H, D), T) != proof.c:
        raise Refused("bad-proof", "this does not prove that both have the same secret behind them")


def expect_proof(value: Any, field: str) -> None:
    """Refuses what is not an object with exactly the fields c and z."""
    if type(value) is not dict:
        raise Refused("wrong-type", "expected an object", field)
    for name in sorted(value):
        if name not in ("c", "z"):
            raise Refused("unknown-field", "no such field is expected here", f"{field}.{name[:60]}".lstrip("."))
    for name in ("c", "z"):
        if name not in value:
            raise Refused("missing-field", "this field is required", f"{field}.{name}".lstrip("."))


def scalar_at(text: Any, path: str) -> int:
    """The scalar in a JSON string at this path. Refused `wrong-type`, `wrong-length`, `bad-encoding`, `bad-scalar`."""
    if type(text) is not str:
        raise Refused("wrong-type", "expected a string", path)
    try:
        return scalar_from(text)
    except Refused as refusal:
        raise refusal.at(path) from None


def _challenge(transcript: Transcript, statement: tuple[Element, ...], T: tuple[Element, ...]) -> int:
    for element in statement:
        transcript.absorb("statement", element)
    for element in T:
        transcript.absorb("T", element)
    return transcript.challenge("c")


def _expect_key(base: Element, X: Element) -> None:
    """With X the identity, x = 0 would be known to everybody; with such a base every x would do."""
    if base.is_identity:
        raise Refused("identity", "the base must not be the identity")
    if X.is_identity:
        raise Refused("identity", "a key must not be the identity")
