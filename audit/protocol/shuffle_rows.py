"""What a mixer publishes: the rows of the new list, each with its part of the proof, and a small head.

All that the proof says of a row stands in the row, so that the list can be cut anywhere; there is no second list whose
length could differ. In the paper's terms a row j holds the j-th commitment to the permutation c_j, the j-th link of the
commitment chain c_hat_j, and the responses s_hat_j and s'_j; the head holds the challenge and s_1 to s_4, and s_5 for
the exponent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple

from audit.protocol.elgamal import CIPHERTEXT_SIZE, Ciphertext
from audit.protocol.group import ELEMENT_SIZE, SCALAR_SIZE, Element, b64, element_from, scalar_bytes
from audit.protocol.refused import Refused
from audit.protocol.sigma import scalar_at

ROW_SIZE: Final = ELEMENT_SIZE + CIPHERTEXT_SIZE
SHOWN_SIZE: Final = ROW_SIZE + ELEMENT_SIZE
"""Bytes K || E || c, what of a mixed row is fixed before the first challenge."""
MIXED_ROW_SIZE: Final = SHOWN_SIZE + ELEMENT_SIZE + 2 * SCALAR_SIZE


def cut(raw: bytes, size: int) -> Iterator[bytes]:
    """The pieces of `size` bytes that lie one after the other in `raw`."""
    return (raw[i : i + size] for i in range(0, len(raw), size))


def elements(raw: bytes) -> Iterator[Element]:
    """Elements whose encodings lie one after the other; all were decoded when the row was read."""
    return map(Element, cut(raw, ELEMENT_SIZE))


class Row(NamedTuple):
    """A row of a roll between two mixers: a key, under the generator that goes with the list, and an encrypted
    weight."""

    K: Element
    E: Ciphertext

    @property
    def raw(self) -> bytes:
        """The 96 bytes K || E."""
        return self.K.raw + self.E.raw


@dataclass(frozen=True, slots=True)
class MixedRow:
    """A row as a mixer publishes it. In JSON {"E", "K", "c", "c_hat", "s_hat", "s_prime"}."""

    K: Element
    E: Ciphertext
    c: Element  # the commitment to where the row of this number in the former list went
    c_hat: Element  # the link of the chain at this row
    s_hat: int
    s_prime: int

    @property
    def row(self) -> Row:
        """What the next mixer, or the voter, takes."""
        return Row(self.K, self.E)

    @property
    def raw(self) -> bytes:
        """The 224 bytes K || E || c || c_hat || s_hat || s_prime."""
        responses = scalar_bytes(self.s_hat) + scalar_bytes(self.s_prime)
        return self.K.raw + self.E.raw + self.c.raw + self.c_hat.raw + responses

    def to_json(self) -> dict[str, Any]:
        return {
            "E": self.E.to_json(),
            "K": b64(self.K.raw),
            "c": b64(self.c.raw),
            "c_hat": b64(self.c_hat.raw),
            "s_hat": b64(scalar_bytes(self.s_hat)),
            "s_prime": b64(scalar_bytes(self.s_prime)),
        }

    @classmethod
    def from_json(cls, value: Any, field: str = "") -> MixedRow:
        """The inverse of `to_json`. Refused, with the path from `field`: `wrong-type`, `unknown-field`,
        `missing-field`, `wrong-length`, `bad-encoding`, `bad-element`, `bad-scalar`, and `identity` for K."""
        _expect_fields(value, ("E", "K", "c", "c_hat", "s_hat", "s_prime"), field)
        return cls(
            _element(value, "K", field, identity_ok=False),
            Ciphertext.from_json(value["E"], _inside(field, "E")),
            _element(value, "c", field),
            _element(value, "c_hat", field),
            scalar_at(value["s_hat"], _inside(field, "s_hat")),
            scalar_at(value["s_prime"], _inside(field, "s_prime")),
        )


@dataclass(frozen=True, slots=True)
class ShuffleProof:
    """What the proof says of the list as a whole: the challenge, and the responses to it. In JSON one scalar each."""

    challenge: int
    s1: int  # the commitments commit to a matrix whose rows add up to one
    s2: int  # the product of all u' is that of all u
    s3: int  # u' is the committed matrix times u
    s4: int  # every weight is encrypted afresh
    s5: int  # every key is multiplied by the logarithm of the new generator to the former

    def to_json(self) -> dict[str, str]:
        return {name: b64(scalar_bytes(getattr(self, name))) for name in _AGGREGATES}

    @classmethod
    def from_json(cls, value: Any, field: str = "") -> ShuffleProof:
        """The inverse of `to_json`. Refused, with the path from `field`: `wrong-type`, `unknown-field`,
        `missing-field`, `wrong-length`, `bad-encoding`, `bad-scalar`."""
        _expect_fields(value, _AGGREGATES, field)
        return cls(*(scalar_at(value[name], _inside(field, name)) for name in _AGGREGATES))


_AGGREGATES: Final = tuple(part.name for part in fields(ShuffleProof))


def _expect_fields(value: Any, names: tuple[str, ...], field: str) -> None:
    if type(value) is not dict:
        raise Refused("wrong-type", "expected an object", field)
    for name in sorted(value):
        if name not in names:
            raise Refused("unknown-field", "no such field is expected here", _inside(field, name[:60]))
    for name in names:
        if name not in value:
            raise Refused("missing-field", "this field is required", _inside(field, name))


def _element(value: Mapping[str, Any], name: str, field: str, *, identity_ok: bool = True) -> Element:
    if type(value[name]) is not str:
        raise Refused("wrong-type", "expected a string", _inside(field, name))
    try:
        return element_from(value[name], identity_ok=identity_ok)
    except Refused as refusal:
        raise refusal.at(_inside(field, name)) from None


def _inside(field: str, name: str) -> str:
    return f"{field}.{name}" if field else name
