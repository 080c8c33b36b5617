"""Fiat-Shamir: a transcript absorbs the whole statement of a proof, labelled and framed, and yields its challenges.

SHA-512 over `psephos/v1`, then for every item u32 length, label, u32 length, data (big-endian). A challenge is the
digest reduced mod l; it is absorbed before the next is drawn. Every transcript begins with the proof's name and the
election it belongs to, so that no proof is good in another place or another election.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from audit.protocol.group import Element, scalar_bytes, wide_scalar

DOMAIN: Final = b"psephos/v1"

Item = bytes | str | int | Element


@dataclass(frozen=True)
class Context:
    """What every transcript of an election begins with, as far as it exists: the manifest's hash (32 bytes), the
    trustees' joint key Y, and the hash of the anonymous roll (32 bytes)."""

    manifest: bytes
    Y: Element | None = None
    roll: bytes | None = None


class Transcript:
    """What prover and verifier both feed with the statement, in the same order, before either draws a challenge."""

    __slots__ = ("_hash",)

    def __init__(self, proof: str, context: Context) -> None:
        self._hash = hashlib.sha512(DOMAIN)
        self.absorb("proof", proof)
        self.absorb("manifest", context.manifest)
        if context.Y is not None:
            self.absorb("Y", context.Y)
        if context.roll is not None:
            self.absorb("roll", context.roll)

    def absorb(self, label: str, item: Item) -> None:
        """Takes in one item: bytes as they are, text as UTF-8, an element's encoding, an integer from 0 as u64
        big-endian."""
        self._hash.update(_framed(label.encode(), _item(item)))

    def challenge(self, label: str) -> int:
        """A scalar that depends on everything absorbed so far; absorbed itself."""
        c = wide_scalar(self._hash.digest())
        self.absorb(label, scalar_bytes(c))
        return c

    def short_challenge(self, label: str) -> int:
        """An integer below 2^128, the first 16 bytes of the digest, little-endian; absorbed itself."""
        short = self._hash.digest()[:16]
        self.absorb(label, short)
        return int.from_bytes(short, "little")


def labelled_hash(label: str, *items: Item) -> bytes:
    """SHA-256 over the domain, the label and the framed items, 32 bytes."""
    return hashlib.sha256(_labelled(label, items)).digest()


def labelled_scalar(label: str, *items: Item) -> int:
    """SHA-512 over the same, reduced mod l: scalar("credential", ...) and the like of the protocol."""
    return wide_scalar(hashlib.sha512(_labelled(label, items)).digest())


def _labelled(label: str, items: tuple[Item, ...]) -> bytes:
    return DOMAIN + b"".join(_framed(label.encode(), _item(item)) for item in (len(items), *items))


def _framed(label: bytes, data: bytes) -> bytes:
    return len(label).to_bytes(4, "big") + label + len(data).to_bytes(4, "big") + data


def _item(item: Item) -> bytes:
    if isinstance(item, Element):
        return item.raw
    if isinstance(item, str):
        return item.encode()
    if isinstance(item, int):
        return item.to_bytes(8, "big")
    return item
