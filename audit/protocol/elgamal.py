"""Exponential ElGamal under the trustees' joint key Y: E(m; r) = (rG, mG + rY). Ciphertexts add; a scalar scales one.

Totals are small, so that mG can be turned back into m (discrete_log.py); a single ciphertext is never decrypted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from audit.protocol.group import ELEMENT_SIZE, IDENTITY, Element, G, b64, element_from, parse_element
from audit.protocol.refused import Refused

CIPHERTEXT_SIZE: Final = 2 * ELEMENT_SIZE


@dataclass(frozen=True, slots=True)
class Ciphertext:
    """(a, b) = (rG, mG + rY). Either may be the identity."""

    a: Element
    b: Element

    def __add__(self, other: Ciphertext) -> Ciphertext:
        return Ciphertext(self.a + other.a, self.b + other.b)

    def __sub__(self, other: Ciphertext) -> Ciphertext:
        return Ciphertext(self.a - other.a, self.b - other.b)

    def __rmul__(self, scalar: int) -> Ciphertext:
        return Ciphertext(scalar * self.a, scalar * self.b)

    @property
    def raw(self) -> bytes:
        """The 64 bytes a || b."""
        return self.a.raw + self.b.raw

    @classmethod
    def from_bytes(cls, raw: bytes) -> Ciphertext:
        """The inverse of `raw`. Refused `wrong-length`, `bad-element`."""
        if len(raw) != CIPHERTEXT_SIZE:
            raise Refused("wrong-length", f"a ciphertext has {CIPHERTEXT_SIZE} bytes, not {len(raw)}")
        return cls(parse_element(raw[:ELEMENT_SIZE]), parse_element(raw[ELEMENT_SIZE:]))

    def to_json(self) -> list[str]:
        """[a, b], each base64url."""
        return [b64(self.a.raw), b64(self.b.raw)]

    @classmethod
    def from_json(cls, pair: Any, field: str = "") -> Ciphertext:
        """The inverse of `to_json`. Refused `wrong-type`, `wrong-length`, `bad-encoding` or `bad-element`, with the
        path from `field`."""
        if type(pair) is not list:
            raise Refused("wrong-type", "expected an array", field)
        if len(pair) != 2:
            raise Refused("wrong-length", f"a ciphertext is two elements, found {len(pair)}", field)
        return cls(_element(pair[0], f"{field}[0]"), _element(pair[1], f"{field}[1]"))


ZERO: Final = Ciphertext(IDENTITY, IDENTITY)
"""E(0; 0), with which every sum begins."""


def encrypt(m: int, Y: Element, r: int) -> Ciphertext:
    """E(m; r) = (rG, mG + rY). r: a scalar drawn for this ciphertext alone."""
    return Ciphertext(r * G, m * G + r * Y)


def _element(text: Any, path: str) -> Element:
    if type(text) is not str:
        raise Refused("wrong-type", "expected a string", path)
    try:
        return element_from(text)
    except Refused as refusal:
        raise refusal.at(path) from None
