"""One issuer's half of a roll while its chunks are collected: rows are kept as bytes, for a roll has many.

A row is K || c || z, and of the first issuer K || c || z || E: 96 or 160 bytes, where parsed JSON takes about a
thousand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, Self

from audit.protocol.canonical import canonical
from audit.protocol.elgamal import CIPHERTEXT_SIZE, Ciphertext
from audit.protocol.group import ELEMENT_SIZE, SCALAR_SIZE, Element, b64, parse_element, unb64
from audit.protocol.refused import Refused
from audit.protocol.shuffle_rows import cut
from audit.record.chunks import Assembly

HALF_SIZE: Final = ELEMENT_SIZE + 2 * SCALAR_SIZE
"""Bytes K || c || z."""


class HalfAssembly(Assembly):
    """Collects the chunks of one issuer's half; kept of their rows are the bytes."""

    @property
    def row_size(self) -> int:
        """The first issuer's rows carry the weights, and its head their total."""
        assert self.head is not None
        return HALF_SIZE + CIPHERTEXT_SIZE if "total" in self.head else HALF_SIZE

    def with_half(self, body: dict[str, Any]) -> Self:
        """As `with_chunk`, of a chunk whose rows have their shape."""
        return self.with_chunk(body, b"".join(map(packed, body["rows"])))

    def raws(self) -> Iterator[bytes]:
        """The bytes of every row in order; refuses chunks that do not join."""
        size = self.row_size
        return (row for part in self.in_order(lambda part: len(part) // size) for row in cut(part, size))

    def decoded(self) -> tuple[list[Element], list[Ciphertext]]:
        """All keys, and of the first issuer all weights. Refuses chunks that do not join or do not have the hash they
        name, and what encodes no element."""
        self.expect_hash(canonical(unpacked(raw)) for raw in self.raws())
        keys, weights = [], []
        for i, raw in enumerate(self.raws()):
            keys.append(element_at(raw[:ELEMENT_SIZE], f"rows[{i}].K"))
            if raw[HALF_SIZE:]:
                a, b = cut(raw[HALF_SIZE:], ELEMENT_SIZE)
                weights.append(Ciphertext(element_at(a, f"rows[{i}].E[0]"), element_at(b, f"rows[{i}].E[1]")))
        return keys, weights


def packed(row: dict[str, Any]) -> bytes:
    """The bytes of a row in JSON whose values have their lengths."""
    values = (row["K"], row["proof"]["c"], row["proof"]["z"], *row.get("E", ()))
    return b"".join(map(unb64, values))


def unpacked(raw: bytes) -> dict[str, Any]:
    """The row in JSON."""
    K, c, z, *E = map(b64, cut(raw, ELEMENT_SIZE))
    row: dict[str, Any] = {"K": K, "proof": {"c": c, "z": z}}
    return {**row, "E": E} if E else row


def key_in(raw: bytes) -> Element:
    """The key of a row that was decoded before."""
    return Element(raw[:ELEMENT_SIZE])


def sum_of_keys(rows: Iterable[bytes]) -> Element:
    """K_i, the sum over the issuers of K_ik, of rows that were decoded before."""
    first, *others = map(key_in, rows)
    for key in others:
        first = first + key
    return first


def element_at(raw: bytes, path: str) -> Element:
    try:
        return parse_element(raw)
    except Refused as refusal:
        raise refusal.at(path) from None
