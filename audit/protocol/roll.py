"""The roll: who may vote, with what weight, and neither in the open.

Account i has one control number from each issuer k. From the number come s_ik, the issuer's half of the credential, and
from the first issuer's also r_i, the randomness of the encrypted weight; so a holder can compute the own row and see
what it weighs. The roll shows K_ik = s_ik G with a proof, and E_i = E(w_i; r_i). The proof keeps an issuer from
publishing a half that it chose to cancel another's, or one taken from a roll that was replaced since. R = sum r_i opens
the sum of all weights, and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audit.protocol.control_number import expect_symbols
from audit.protocol.elgamal import Ciphertext, encrypt
from audit.protocol.group import Element, G, b64, element_from, sum_elements
from audit.protocol.refused import Refused
from audit.protocol.sigma import Schnorr, prove_schnorr, verify_schnorr
from audit.protocol.transcript import Context, Transcript, labelled_hash, labelled_scalar


def credential(manifest: bytes, roll: str, revision: int, code: str) -> int:
    """s_ik, from the 25 symbols of the number by issuer k. roll: the id of the class. Refused `syntax` for any other
    code."""
    return labelled_scalar("credential", manifest, roll, revision, expect_symbols(code))


def weight_randomness(manifest: bytes, roll: str, revision: int, code: str) -> int:
    """r_i, from the 25 symbols of the number by the first issuer. Refused `syntax` for any other code."""
    return labelled_scalar("weight", manifest, roll, revision, expect_symbols(code))


@dataclass(frozen=True, slots=True)
class Half:
    """K_ik, one issuer's half of a row's key, with the proof that the issuer knows s_ik. In JSON {"K", "proof"}."""

    K: Element
    proof: Schnorr

    def to_json(self) -> dict[str, Any]:
        return {"K": b64(self.K.raw), "proof": self.proof.to_json()}

    @classmethod
    def from_json(cls, row: Mapping[str, Any], path: str = "") -> Half:
        """The half in a row, which may hold the weight "E" as well. Refused, with the path from `path`, as
        `Schnorr.from_json` and for K `identity` or `bad-element`."""
        inside = f"{path}." if path else ""
        for name in ("K", "proof"):
            if name not in row:
                raise Refused("missing-field", "this field is required", inside + name)
        if type(row["K"]) is not str:
            raise Refused("wrong-type", "expected a string", f"{inside}K")
        try:
            K = element_from(row["K"], identity_ok=False)
        except Refused as refusal:
            raise refusal.at(f"{inside}K") from None
        return cls(K, Schnorr.from_json(row["proof"], f"{inside}proof"))


def make_half(context: Context, roll: str, revision: int, row: int, k: int, s: int, w: int) -> Half:
    """Issuer k's half of this row, both counted from 0, of the roll with this revision. context: manifest and Y; s:
    s_ik; w: a scalar drawn for this alone."""
    return Half(s * G, prove_schnorr(_half_transcript(context, roll, revision, row, k), G, s, w))


def verify_half(context: Context, roll: str, revision: int, row: int, k: int, half: Half) -> None:
    """Refused `identity`, or `bad-proof` unless issuer k proves that it knows s_ik of this row, for this revision of
    the roll: a half of a roll that was replaced proves nothing in the next.
    """
    try:
        verify_schnorr(_half_transcript(context, roll, revision, row, k), G, half.K, half.proof)
    except Refused as refusal:
        raise refusal.at("K" if refusal.reason == "identity" else "proof") from None


def anonymous_roll_hash(generator: Element, rows: Iterable[tuple[Element, Ciphertext]]) -> bytes:
    """The 32 bytes that bind Ghat and every row (pseudonym, encrypted weight) in its order; all ballot transcripts hold
    them."""
    digest, count = hashlib.sha256(), 0
    for P, E in rows:
        digest.update(P.raw + E.raw)
        count += 1
    return labelled_hash("anonymous roll", generator, count, digest.digest())


def check_total(weights: Sequence[Ciphertext], votes: int, R: int, Y: Element) -> None:
    """Refused `wrong-total` unless sum E_i = E(votes; R). It does not show that any single weight is right."""
    total = Ciphertext(sum_elements(E.a for E in weights), sum_elements(E.b for E in weights))
    if total != encrypt(votes, Y, R):
        raise Refused("wrong-total", f"the encrypted weights do not add up to the {votes} votes of this class", "total")


def _half_transcript(context: Context, roll: str, revision: int, row: int, k: int) -> Transcript:
    transcript = Transcript("roll-half", context)
    transcript.absorb("class", roll)
    transcript.absorb("revision", revision)
    transcript.absorb("row", row)
    transcript.absorb("issuer", k)
    return transcript
