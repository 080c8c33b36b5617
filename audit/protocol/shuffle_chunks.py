"""What workers compute of a proof of shuffle, some rows at a time; the formulas are those of shuffle.py.

Prover and verifier compute the same t_hat_j, and the same parts of t3, t4 and t5, each from what it has; both put
c_hat_j || t_hat_j of every row in one hash, in the order of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from audit.protocol.group import ELEMENT_SIZE, IDENTITY, ORDER, SCALAR_SIZE, Element, G
from audit.protocol.numbered import numbered_element, numbered_scalar
from audit.protocol.shuffle_rows import MIXED_ROW_SIZE, ROW_SIZE, SHOWN_SIZE, cut, elements
from audit.protocol.shuffle_secret import Nonces, Witness

LINK_SIZE: Final = 2 * ELEMENT_SIZE
"""Bytes c_hat_j || t_hat_j."""
RESPONSES: Final = SHOWN_SIZE + ELEMENT_SIZE
"""Where, in the bytes of a mixed row, c_hat ends and s_hat begins."""


@dataclass(frozen=True, slots=True, repr=False)
class Prover:
    """What is the same for all rows of a mix. u, h: the keys of u_1..u_N and of the generators."""

    x: int
    u: bytes
    h: bytes
    witness: Witness
    nonces: Nonces


@dataclass(frozen=True, slots=True)
class Verifier:
    challenge: int
    s5: int
    u: bytes
    h: bytes


class Committed(NamedTuple):
    """Of some rows: c_hat_j || t_hat_j, their parts of t3, t4 and t5, and of r_bar, r_tilde and r'."""

    links: bytes
    t3: Element
    t4_a: Element
    t4_b: Element
    t5: Element
    r_bar: int
    r_tilde: int
    r_prime: int

    def plus(self, more: Committed) -> Committed:
        return Committed(
            b"",
            self.t3 + more.t3,
            self.t4_a + more.t4_a,
            self.t4_b + more.t4_b,
            self.t5 + more.t5,
            (self.r_bar + more.r_bar) % ORDER,
            (self.r_tilde + more.r_tilde) % ORDER,
            (self.r_prime + more.r_prime) % ORDER,
        )


class Checked(NamedTuple):
    """Of some rows: c_hat_j || t_hat_j, their parts of sum c_i - sum h_i, t3, t4 and t5, and the product of u_i."""

    links: bytes
    c_bar: Element
    t3: Element
    t4_a: Element
    t4_b: Element
    t5: Element
    u: int

    def plus(self, more: Checked) -> Checked:
        return Checked(
            b"",
            self.c_bar + more.c_bar,
            self.t3 + more.t3,
            self.t4_a + more.t4_a,
            self.t4_b + more.t4_b,
            self.t5 + more.t5,
            self.u * more.u % ORDER,
        )


def shuffle_chunk(
    Y: Element, x: int, witness: Witness, h: bytes, first: int, former: bytes, inverse: Sequence[int]
) -> bytes:
    """K'_j || E'_j || c_j for rows from `first`. former: the rows pi(j); inverse: where row j of the former list
    went."""
    shown = bytearray()
    for j, (row, went) in enumerate(zip(cut(former, ROW_SIZE), inverse, strict=True), first):
        K, a, b = elements(row)
        rho = witness.rho(j)
        c = witness.r(j) * G + numbered_element(h, went + 1)
        shown += (x * K).raw + (a + rho * G).raw + (b + rho * Y).raw + c.raw
    return bytes(shown)


def commit_chunk(
    prover: Prover, first: int, pi: Sequence[int], former: bytes, shown: bytes, R: int, U: int
) -> Committed:
    """t_hat_j = omega_hat_j G + omega'_j c_hat_{j-1}; sum omega'_j h_j; sum omega'_j E'_j; and sum omega'_j K'_j -
    omega_5 sum u_i K_i, which is sum (x omega'_j - omega_5 u'_j) K_pi(j).

    former: the rows pi(j); R, U: the c_hat of the row before is RG + Uh.
    """
    x, u, witness, nonces = prover.x, prover.u, prover.witness, prover.nonces
    h, w5 = numbered_element(prover.h, 0), nonces.omega(5)
    t3 = t4_a = t4_b = t5 = IDENTITY
    r_bar = r_tilde = r_prime = 0
    links = bytearray()
    for j, (k, old, new) in enumerate(zip(pi, cut(former, ROW_SIZE), cut(shown, SHOWN_SIZE), strict=True), first):
        K, _, _ = elements(old)
        _, a_prime, b_prime, _ = elements(new)
        u_prime, w_prime = numbered_scalar(u, k), nonces.omega_prime(j)
        t_hat = (nonces.omega_hat(j) + w_prime * R) * G + w_prime * U * h
        R, U = (nonces.r_hat(j) + u_prime * R) % ORDER, u_prime * U % ORDER
        links += (R * G + U * h).raw + t_hat.raw
        t3 += w_prime * numbered_element(prover.h, j + 1)
        t4_a += w_prime * a_prime
        t4_b += w_prime * b_prime
        t5 += (x * w_prime - w5 * u_prime) * K
        r = witness.r(k)
        r_bar, r_tilde, r_prime = r_bar + r, r_tilde + r * u_prime, r_prime + witness.rho(j) * u_prime
    return Committed(bytes(links), t3, t4_a, t4_b, t5, r_bar, r_tilde, r_prime)


def check_chunk(verifier: Verifier, first: int, former: bytes, mixed: bytes, last: Element) -> Checked:
    """t_hat_j = s_hat_j G + s'_j c_hat_{j-1} - challenge c_hat_j; the sums of s'_j h_j - challenge u_j c_j, of s'_j
    E'_j - challenge u_j E_j, and of s'_j K'_j - s_5 u_j K_j.

    last: the c_hat of the row before.
    """
    challenge, s5 = verifier.challenge, verifier.s5
    c_bar = t3 = t4_a = t4_b = t5 = IDENTITY
    product, links = 1, bytearray()
    for j, (old, new) in enumerate(zip(cut(former, ROW_SIZE), cut(mixed, MIXED_ROW_SIZE), strict=True), first):
        K, a, b = elements(old)
        K_prime, a_prime, b_prime, c, c_hat = elements(new[:RESPONSES])
        s_hat, s = (int.from_bytes(scalar, "little") for scalar in cut(new[RESPONSES:], SCALAR_SIZE))
        u, h = numbered_scalar(verifier.u, j), numbered_element(verifier.h, j + 1)
        u_c = challenge * u
        links += c_hat.raw + (s_hat * G + s * last - challenge * c_hat).raw
        c_bar += c - h
        t3 += s * h - u_c * c
        t4_a += s * a_prime - u_c * a
        t4_b += s * b_prime - u_c * b
        t5 += s * K_prime - s5 * u * K
        product, last = product * u % ORDER, c_hat
    return Checked(bytes(links), c_bar, t3, t4_a, t4_b, t5, product)
