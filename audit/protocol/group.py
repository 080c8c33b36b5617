"""The group: ristretto255 (RFC 9496), of prime order l, with generator G; computed by libsodium.

Scalars are integers mod l, written as 32 bytes little-endian; elements are held in their 32-byte canonical encoding,
which is what libsodium takes and gives. Every element from outside passes `parse_element` once. The identity is legal
unless said otherwise; libsodium reports it as an error, so the arithmetic here never asks it for one. In JSON both are
base64url without padding.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from typing import Final

import pysodium

from audit.protocol.refused import Refused

ORDER: Final = 2**252 + 27742317777372353535851937790883648493
SCALAR_SIZE: Final = 32
ELEMENT_SIZE: Final = 32

_IDENTITY = bytes(ELEMENT_SIZE)
_GENERATOR = bytes.fromhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76")


class Element:
    """An element of the group, by its encoding. `Element(raw)` does not check; bytes from outside go through
    `parse_element`."""

    __slots__ = ("raw",)

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    def __repr__(self) -> str:
        return f"Element({self.raw.hex()})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Element) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    @property
    def is_identity(self) -> bool:
        return self.raw == _IDENTITY

    def __add__(self, other: Element) -> Element:
        return Element(pysodium.crypto_core_ristretto255_add(self.raw, other.raw))

    def __sub__(self, other: Element) -> Element:
        return Element(pysodium.crypto_core_ristretto255_sub(self.raw, other.raw))

    def __neg__(self) -> Element:
        return IDENTITY - self

    def __rmul__(self, scalar: int) -> Element:
        """scalar times this element, in time that does not depend on either; the scalar may be any integer."""
        scalar %= ORDER
        raw = self.raw
        # The order is prime: only these two products are the identity.
        if scalar == 0 or raw == _IDENTITY:
            return IDENTITY
        n = scalar.to_bytes(SCALAR_SIZE, "little")
        if raw == _GENERATOR:
            return Element(pysodium.crypto_scalarmult_ristretto255_base(n))
        return Element(pysodium.crypto_scalarmult_ristretto255(n, raw))


IDENTITY: Final = Element(_IDENTITY)
G: Final = Element(_GENERATOR)


def sum_elements(elements: Iterable[Element]) -> Element:
    """The sum; the identity for none."""
    total = IDENTITY
    for element in elements:
        total = element if total.raw == _IDENTITY else total + element
    return total


def parse_element(raw: bytes, *, identity_ok: bool = True) -> Element:
    """The element with this encoding (RFC 9496, section 4.3.1).

    Refused `wrong-length` unless 32 bytes, `bad-element` if they are not the canonical encoding of an element,
    `identity` where that is not allowed.
    """
    if len(raw) != ELEMENT_SIZE:
        raise Refused("wrong-length", f"an element has {ELEMENT_SIZE} bytes, not {len(raw)}")
    if raw == _IDENTITY:
        if not identity_ok:
            raise Refused("identity", "the identity may not stand here")
        return IDENTITY
    # libsodium 1.0.18 passes over the highest bit: without this one element would have two encodings.
    if raw[31] >= 0x80 or not pysodium.crypto_core_ristretto255_is_valid_point(raw):
        raise Refused("bad-element", "not the canonical encoding of an element of ristretto255")
    return Element(raw)


def parse_scalar(raw: bytes) -> int:
    """The scalar in 32 bytes, little-endian. Refused `wrong-length`; `bad-scalar` unless it is below l."""
    if len(raw) != SCALAR_SIZE:
        raise Refused("wrong-length", f"a scalar has {SCALAR_SIZE} bytes, not {len(raw)}")
    scalar = int.from_bytes(raw, "little")
    if scalar >= ORDER:
        raise Refused("bad-scalar", "the scalar is not reduced modulo the order of the group")
    return scalar


def scalar_bytes(scalar: int) -> bytes:
    """The 32 bytes, little-endian, of the scalar reduced mod l."""
    return (scalar % ORDER).to_bytes(SCALAR_SIZE, "little")


def wide_scalar(wide: bytes) -> int:
    """The scalar of 64 bytes, little-endian, mod l: uniform if they are. How a random scalar is made. ValueError if not
    64."""
    if len(wide) != 64:
        raise ValueError("a scalar is reduced from 64 bytes")
    return int.from_bytes(wide, "little") % ORDER


def hash_to_element(wide: bytes) -> Element:
    """The element derived from a 64-byte digest (RFC 9496, section 4.3.4): nobody knows its logarithm. ValueError if
    not 64."""
    return Element(pysodium.crypto_core_ristretto255_from_hash(wide))


def b64(raw: bytes) -> str:
    """base64url without padding (RFC 4648, section 5)."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def unb64(text: str, length: int | None = None) -> bytes:
    """The bytes of canonical base64url without padding; exactly `length` of them if given. Refused `bad-encoding`,
    `wrong-length`."""
    try:
        raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except ValueError:
        raise Refused("bad-encoding", "not base64url without padding") from None
    # Python's decoder passes over foreign signs and set trailing bits; writing it again shows both.
    if b64(raw) != text:
        raise Refused("bad-encoding", "not canonical base64url without padding")
    if length is not None and len(raw) != length:
        raise Refused("wrong-length", f"expected {length} bytes, found {len(raw)}")
    return raw


def element_from(text: str, *, identity_ok: bool = True) -> Element:
    """The element in a JSON string. Refused as `unb64` and `parse_element`."""
    return parse_element(unb64(text, ELEMENT_SIZE), identity_ok=identity_ok)


def scalar_from(text: str) -> int:
    """The scalar in a JSON string. Refused as `unb64` and `parse_scalar`."""
    return parse_scalar(unb64(text, SCALAR_SIZE))
