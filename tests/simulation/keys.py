"""Signatures that cost nothing, for what is simulated is not what they prove: every key signs by a hash that anybody
could compute.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import shake_256
from unittest.mock import patch

from cryptography.exceptions import InvalidSignature

from audit.log import keys


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


@contextmanager
def cheap_signatures() -> Iterator[None]:
    """Within the block every signature is a hash."""
    with patch.object(keys, "_private_key", private), patch.object(keys, "_public_key", Cheap):
        yield
