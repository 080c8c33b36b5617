"""Long vectors that nobody stores: the i-th scalar or element is derived from a key and the number i.

So any worker makes any part of one, and a list of any length needs no memory. The key is a `labelled_hash` or a
challenge; where the vector is secret, so is the key. The derivation is SHA-512 over the 32 bytes of the key and the
number as u64 big-endian, mapped to the group as `wide_scalar` and `hash_to_element` do.
"""

from __future__ import annotations

import hashlib

from audit.protocol.group import Element, hash_to_element, wide_scalar
from audit.protocol.transcript import labelled_hash


def numbered_scalar(key: bytes, i: int) -> int:
    """The i-th scalar under this key (32 bytes), i from 0."""
    return wide_scalar(_numbered(key, i))


def numbered_element(key: bytes, i: int) -> Element:
    """The i-th element under this key (32 bytes), i from 0. Nobody knows its logarithm, to G or to any other."""
    return hash_to_element(_numbered(key, i))


def generators_key(manifest: bytes) -> bytes:
    """The key of h, h_1, h_2, ... (numbers 0, 1, 2, ...), the generators of permutation commitments in this election.

    They are a function of the manifest's hash, which nobody can choose freely after the fact, and of nothing else:
    binding needs only that no relation between them and G is known, so all rolls and mixers share them.
    """
    return labelled_hash("shuffle generators", manifest)


def _numbered(key: bytes, i: int) -> bytes:
    return hashlib.sha512(key + i.to_bytes(8, "big")).digest()
