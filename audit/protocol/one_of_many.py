"""One-of-many equality: of several ciphertexts one encrypts 0, and nobody learns which.

(Cramer, Damgard, Schoenmakers, 1994.) Given S_0..S_{m-1}, the prover knows u and R with S_u = (RG, RY). For every other
v it draws c_v and z_v first and computes the T_v that fits them; only for u does it answer a challenge that it could
not choose, since all c_v must add up to the one that the transcript gives. The c_v are uniform over all scalars: from a
smaller range the one computed, c_u, would stand out and give u away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from audit.protocol.elgamal import Ciphertext
from audit.protocol.group import ORDER, Element, G, b64, scalar_bytes
from audit.protocol.refused import Refused
from audit.protocol.sigma import expect_proof, scalar_at
from audit.protocol.transcript import Transcript


@dataclass(frozen=True, slots=True)
class OneOfMany:
    """(c_v, z_v) for v = 0..m-1. In JSON {"c": [...], "z": [...]}."""

    c: tuple[int, ...]
    z: tuple[int, ...]

    def to_json(self) -> dict[str, list[str]]:
        return {"c": [b64(scalar_bytes(c)) for c in self.c], "z": [b64(scalar_bytes(z)) for z in self.z]}

    @classmethod
    def from_json(cls, value: Any, field: str = "") -> OneOfMany:
        """The inverse, of a value that `expect_one_of_many` has let pass. Refused `wrong-type`, `wrong-length`,
        `bad-encoding`, `bad-scalar`, with the path from `field`."""
        c, z = ([scalar_at(text, f"{field}.{name}[{v}]") for v, text in enumerate(value[name])] for name in ("c", "z"))
        return cls(tuple(c), tuple(z))


def expect_one_of_many(value: Any, m: int, field: str) -> None:
    """Refuses what is not two lists of exactly m values, before any of them is decoded: a surplus challenge would make
    the sum of the others free. `wrong-type`, `unknown-field`, `missing-field`, `wrong-length`."""
    expect_proof(value, field)
    for name in ("c", "z"):
        if type(value[name]) is not list:
            raise Refused("wrong-type", "expected an array", f"{field}.{name}")
        if len(value[name]) != m:
            raise Refused("wrong-length", f"expected {m} values, found {len(value[name])}", f"{field}.{name}")


def prove_one_of_many(
    transcript: Transcript,
    Y: Element,
    S: Sequence[Ciphertext],
    u: int,
    R: int,
    w: int,
    others: Sequence[tuple[int, int]],
) -> OneOfMany:
    """Proves that S_u = E(0; R) without showing u. w and the m - 1 pairs (c_v, z_v) for the others, in their order, are
    uniform scalars drawn for this proof alone. ValueError if there are not m - 1 pairs."""
    c, z, T = [], [], []
    for S_v, (c_v, z_v) in zip(_without(S, u), others, strict=True):
        c.append(c_v)
        z.append(z_v)
        T.append(_fitting(Y, S_v, c_v, z_v))
    T.insert(u, Ciphertext(w * G, w * Y))
    c_u = (_challenge(transcript, S, T) - sum(c)) % ORDER
    c.insert(u, c_u)
    z.insert(u, (w + c_u * R) % ORDER)
    return OneOfMany(tuple(c), tuple(z))


def verify_one_of_many(transcript: Transcript, Y: Element, S: Sequence[Ciphertext], proof: OneOfMany) -> None:
    """Refused `wrong-length` unless there is one (c_v, z_v) for each S_v, `bad-proof` unless all c_v add up to the
    challenge."""
    if len(proof.c) != len(S) or len(proof.z) != len(S):
        raise Refused(
            "wrong-length", f"expected {len(S)} challenges and answers, found {len(proof.c)} and {len(proof.z)}"
        )
    T = [_fitting(Y, S_v, c_v, z_v) for S_v, c_v, z_v in zip(S, proof.c, proof.z, strict=True)]
    if _challenge(transcript, S, T) != sum(proof.c) % ORDER:
        raise Refused("bad-proof", "this does not prove that one of the statements holds")


def _fitting(Y: Element, S_v: Ciphertext, c_v: int, z_v: int) -> Ciphertext:
    """T_v = (z_v G - c_v S_v.a, z_v Y - c_v S_v.b)."""
    return Ciphertext(z_v * G - c_v * S_v.a, z_v * Y - c_v * S_v.b)


def _challenge(transcript: Transcript, S: Sequence[Ciphertext], T: Sequence[Ciphertext]) -> int:
    for S_v in S:
        transcript.absorb("S", S_v.raw)
    for T_v in T:
        transcript.absorb("T", T_v.raw)
    return transcript.challenge("c")


def _without(S: Sequence[Ciphertext], u: int) -> Sequence[Ciphertext]:
    return [S_v for v, S_v in enumerate(S) if v != u]
