"""Decrypting a sum of ballots: each trustee's share of it, its proof, and t of them put together.

C = (C.a, C.b) holds a total under the joint key Y = xG. Trustee j answers D_j = x_j C.a and proves that this is the x_j
of its public Y_j, so a wrong share is seen and its trustee named. From t shares C.b - sum lambda_j D_j = nG, and
discrete_log.py finds n. The proof holds for one contest, one choice and one closing checkpoint: nothing shown for this
count serves another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audit.protocol.elgamal import Ciphertext
from audit.protocol.group import Element, G, b64, element_from, sum_elements
from audit.protocol.polynomial import lagrange_at_zero
from audit.protocol.refused import Refused, TrusteeFault
from audit.protocol.sigma import Equality, prove_equality, verify_equality
from audit.protocol.transcript import Context, Transcript
from audit.protocol.trustee_messages import expect_fields, typed

PRESENT = (
    ""  # stands where the contest's id would, in the share for the weight present; the choice is then the roll's class
)


@dataclass(frozen=True)
class DecryptionShare:
    """D_j = x_j C.a with the proof that (G, Y_j) and (C.a, D_j) have the same x_j."""

    D: Element
    proof: Equality

    def to_json(self) -> dict[str, Any]:
        return {"D": b64(self.D.raw), **self.proof.to_json()}

    @classmethod
    def from_json(cls, value: Any, field: str = "") -> DecryptionShare:
        """Refused with the path of the field, starting with `field`. D may be the identity, as when nobody voted."""
        inside = f"{field}." if field else ""
        expect_fields(value, {"D", "c", "z"}, inside)
        try:
            D = element_from(typed(value, "D", str))
        except Refused as refusal:
            raise Refused(refusal.reason, refusal.detail, f"{inside}D") from None
        return cls(D, Equality.from_json({"c": value["c"], "z": value["z"]}, field))


def decryption_share(
    ctx: Context, x_j: int, contest: str, choice: str, closing: bytes, C: Ciphertext, j: int, w: int
) -> DecryptionShare:
    """Trustee j's share of C, the sum of the counted ballots for one choice of one contest.

    ctx: manifest and Y; closing: root of the tree that ends with `close` (32 bytes); w: a scalar drawn for this share
    alone, for two shares with the same w give x_j away. That this sum may be opened at all is the caller's to check.
    """
    D = x_j * C.a
    transcript = _transcript(ctx, contest, choice, closing, C, j)
    return DecryptionShare(D, prove_equality(transcript, G, C.a, x_j, w))


def verify_decryption_share(
    ctx: Context,
    trustee: str,
    contest: str,
    choice: str,
    closing: bytes,
    C: Ciphertext,
    j: int,
    Y_j: Element,
    share: DecryptionShare,
) -> None:
    """Raises TrusteeFault `bad-proof`, naming the trustee, unless D_j = x_j C.a for the x_j behind Y_j."""
    transcript = _transcript(ctx, contest, choice, closing, C, j)
    try:
        verify_equality(transcript, G, Y_j, C.a, share.D, share.proof)
    except Refused as refusal:
        raise TrusteeFault(
            trustee,
            refusal.reason,
            f"{trustee}: this share does not decrypt this sum ({contest or 'present'}, {choice}); "
            "this does not show whether it is wrong or was made for another sum",
            refusal.field,
        ) from None


def combine(shares: Mapping[int, Element], C: Ciphertext, t: int) -> Element:
    """nG from verified shares {j: D_j}: C.b - sum lambda_j D_j over the t lowest indices.

    Refused `not-complete` for fewer than t shares, `out-of-range` for an index that no trustee has.
    """
    if len(shares) < t:
        raise Refused("not-complete", f"{t} shares are needed to decrypt, found {len(shares)}")
    indices = sorted(shares)[:t]
    factors = lagrange_at_zero(indices)
    return C.b - sum_elements(factor * shares[j] for factor, j in zip(factors, indices, strict=True))


def _transcript(ctx: Context, contest: str, choice: str, closing: bytes, C: Ciphertext, j: int) -> Transcript:
    transcript = Transcript("decryption-share", ctx)
    transcript.absorb("contest", contest)
    transcript.absorb("choice", choice)
    transcript.absorb("closing", closing)
    transcript.absorb("C.a", C.a)
    transcript.absorb("C.b", C.b)
    transcript.absorb("j", j)
    return transcript
