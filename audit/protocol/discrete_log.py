"""From nG back to n: how a decrypted total becomes a number.

What the trustees open is nG, n the votes of one choice. n is small, below the number of votes there are, so baby-step
giant-step finds it (Shanks): a table of iG for i below m, then nG - mG, nG - 2mG, ... until one of them is in the
table. The table is built once and serves every total of an election; for one total m = ceil(sqrt(bound)) costs least,
for s of them sqrt(s bound). An entry takes one addition and some 150 bytes: a million entries at the largest bound,
2^40.
"""

from __future__ import annotations

from math import isqrt

from audit.protocol.group import IDENTITY, Element, G
from audit.protocol.refused import Refused

LARGEST_BOUND = 2**40
WIDENED_TABLE = 2**18
"""Entries up to which a table grows past the square root: 40 MB."""


class DiscreteLog:
    """Finds n in [0, bound); 1 <= bound <= 2^40, otherwise ValueError. `searches`: how many totals it is built for."""

    def __init__(self, bound: int, searches: int = 1) -> None:
        if not 1 <= bound <= LARGEST_BOUND:
            raise ValueError("totals are found below a bound from 1 to 2^40")
        self.bound = bound
        root = isqrt(bound - 1) + 1
        self._m = max(root, min(isqrt(bound * searches), bound, WIDENED_TABLE))
        self._table: dict[bytes, int] = {}
        step = IDENTITY
        for i in range(self._m):
            self._table[step.raw] = i
            step = step + G
        self._giant = step

    def find(self, element: Element) -> int:
        """n with nG == element. Refused `wrong-total` if no n below the bound fits; at most bound / m additions."""
        for k in range(-(-self.bound // self._m)):
            i = self._table.get(element.raw)
            if i is not None and k * self._m + i < self.bound:
                return k * self._m + i
            element = element - self._giant
        raise Refused(
            "wrong-total",
            f"what was decrypted is not n G for any number of votes n below {self.bound}: a share, a ciphertext or "
            "the bound is not that of this sum; this does not show which",
        )
