"""Randomness from a seed, so that a simulated election can be had again, byte for byte."""

from __future__ import annotations

import random

from audit.log.keys import COSIGNATURE, ED25519, ML_DSA_44, Signer
from audit.protocol.control_number import new_control_number, parse_control_number
from audit.protocol.group import wide_scalar


class Dice:
    """Draws keys, scalars and control numbers. Good for tests only."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def octets(self, length: int) -> bytes:
        return self._random.randbytes(length)

    def scalar(self) -> int:
        return wide_scalar(self.octets(64))

    def code(self) -> str:
        return parse_control_number(new_control_number(self.octets(16)))

    def signer(self, name: str, kind: int = ED25519) -> Signer:
        return Signer(name, kind, self.octets(32))

    def signers(self, *names: str) -> tuple[Signer, ...]:
        return tuple(self.signer(name) for name in names)

    def log_keys(self, name: str) -> tuple[Signer, ...]:
        return self.signer(name), self.signer(name, ML_DSA_44)

    def custodian_keys(self, name: str) -> tuple[Signer, ...]:
        return self.signer(name, COSIGNATURE), self.signer(name, ML_DSA_44)
