"""What a mixer draws, keeps until its list is in the log, and then deletes: permutation, exponent, and a seed.

All other scalars of a mix are derived from the seed, so that they need no memory and any worker makes its own. Those
that blind the output depend on the place and the list that is mixed; those that blind the responses depend also on the
first challenge, hence on all that is published before it. So a mixer that runs again after a crash publishes the same
bytes, and one that is made to mix something else with the same secret never answers two challenges with the same
nonces.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from audit.protocol.group import ELEMENT_SIZE, ORDER, scalar_bytes
from audit.protocol.numbered import numbered_scalar
from audit.protocol.shuffle_rows import Row, cut, elements
from audit.protocol.shuffle_statement import CHUNK, in_order
from audit.protocol.transcript import labelled_hash


@dataclass(frozen=True)
class MixSecret:
    """Row j of the new list is row pi[j] of the former. x: the exponent of all keys, never 0 or 1. seed: 32 bytes.

    Drawn for one mix of one roll. Whoever learns it links every pseudonym to its row; its repr shows none of it.
    """

    pi: Sequence[int] = field(repr=False)
    x: int = field(repr=False)
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if self.x % ORDER in (0, 1):
            raise ValueError("the exponent of a mix is neither 0 nor 1")
        if len(self.seed) != 32:
            raise ValueError("the seed of a mix has 32 bytes")
        seen = bytearray(len(self.pi))
        for k in self.pi:
            if not 0 <= k < len(seen) or seen[k]:
                raise ValueError("this is not a permutation")
            seen[k] = 1

    def inverse(self) -> array[int]:
        """Where each row of the former list went: inverse[pi[j]] = j."""
        inverse = array("I", bytes(array("I").itemsize * len(self.pi)))
        for j, k in enumerate(self.pi):
            inverse[k] = j
        return inverse


def new_secret(before: Sequence[Row], draw: Callable[[], int], executor: Executor) -> MixSecret:
    """The secret of one mix of this list, whose permutation is the order of the new keys. draw: gives uniform scalars;
    two, and more if 0 or 1 comes up."""
    seed = scalar_bytes(draw())
    x = draw()
    while x in (0, 1):
        x = draw()
    return MixSecret(order_of_keys(before, x, executor), x, seed)


def order_of_keys(before: Sequence[Row], x: int, executor: Executor) -> array[int]:
    """The permutation that puts the keys x K_i in ascending order of their 32 bytes; it stands where the paper has
    GenPermutation.

    What is published is then a set, and its order tells nothing that the set does not: docs/adr/0013.
    """
    N = len(before)
    parts = (range(first, min(first + CHUNK, N)) for first in range(0, N, CHUNK))
    tasks = ((_new_keys, (x, b"".join(before[i].K.raw for i in part))) for part in parts)
    keys = [key for new in in_order(executor, tasks) for key in cut(new, ELEMENT_SIZE)]
    return array("I", sorted(range(N), key=keys.__getitem__))


def _new_keys(x: int, keys: bytes) -> bytes:
    return b"".join((x * K).raw for K in elements(keys))


class Witness:
    """The scalars that hide the permutation: rho_j of row j's weight and r_k of the k-th commitment."""

    def __init__(self, secret: MixSecret, statement: bytes) -> None:
        """statement: the 32 bytes that bind place and former list. The other secrets are in the keys as well: the same
        rho under two permutations would show their difference."""
        pi = hashlib.sha256(b"".join(k.to_bytes(4, "big") for k in secret.pi)).digest()
        drawn = (secret.seed, scalar_bytes(secret.x), pi)
        self._rho = labelled_hash("shuffle rho", *drawn, statement)
        self._r = labelled_hash("shuffle r", *drawn, statement)

    def rho(self, j: int) -> int:
        return numbered_scalar(self._rho, j)

    def r(self, k: int) -> int:
        return numbered_scalar(self._r, k)


class Nonces:
    """The scalars of the proof proper: r_hat_j of the chain, omega_hat_j and omega'_j of row j, omega_1 to omega_5."""

    def __init__(self, seed: bytes, u: bytes) -> None:
        """u: the key of the first challenge, which everything published before it decides."""
        self._r_hat = labelled_hash("shuffle r_hat", seed, u)
        self._omega_hat = labelled_hash("shuffle omega_hat", seed, u)
        self._omega_prime = labelled_hash("shuffle omega_prime", seed, u)
        self._omega = labelled_hash("shuffle omega", seed, u)

    def r_hat(self, j: int) -> int:
        return numbered_scalar(self._r_hat, j)

    def omega_hat(self, j: int) -> int:
        return numbered_scalar(self._omega_hat, j)

    def omega_prime(self, j: int) -> int:
        return numbered_scalar(self._omega_prime, j)

    def omega(self, number: int) -> int:
        """omega_1 to omega_5."""
        return numbered_scalar(self._omega, number)
