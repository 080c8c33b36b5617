"""Signatures that cost nothing, for what is simulated is not what they prove: every key signs by a hash that anybody
could compute. And seals that hide nothing, but are the same each time, where the true ones draw a key of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import shake_256
from unittest.mock import patch

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from audit.log import keys
from audit.protocol import trustee
from audit.protocol.group import SCALAR_SIZE
from audit.protocol.trustee_messages import SEALED_SHARE


class Cheap:
    def __init__(self, type: int, public: bytes) -> None:
        self._type, self._public = type, public

    def public_key(self) -> Cheap:
        return self

    def public_bytes_raw(self) -> bytes:
        return self._public

    def sign(self, message: bytes) -> bytes:
        length = keys.SIGNATURE_SIZES[self._type] - (0 if self._type == keys.ED25519 else 8)
        return shake_256(self._public + message).digest(length)

    def verify(self, sig: bytes, message: bytes) -> None:
        if sig != self.sign(message):
            raise InvalidSignature


def private(type: int, seed: bytes) -> Cheap:
    return Cheap(type, shake_256(seed).digest(keys.PUBLIC_SIZES[type]))


class Open:
    """As the suite by which shares are sealed, but the share stands open, before a hash of what it is bound to."""

    def encrypt(self, share: bytes, key: X25519PublicKey, info: bytes) -> bytes:
        return share + shake_256(share + key.public_bytes_raw() + info).digest(SEALED_SHARE - len(share))

    def decrypt(self, sealed: bytes, key: X25519PrivateKey, info: bytes) -> bytes:
        share = sealed[:SCALAR_SIZE]
        if sealed != self.encrypt(share, key.public_key(), info):
            raise InvalidTag
        return share


@contextmanager
def cheap_signatures() -> Iterator[None]:
    """Within the block every signature is a hash, and shares are sealed without randomness."""
    with (
        patch.object(keys, "_private_key", private),
        patch.object(keys, "_public_key", Cheap),
        patch.object(trustee, "SUITE", Open()),
    ):
        yield
