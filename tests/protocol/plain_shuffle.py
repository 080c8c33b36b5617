"""The proof of shuffle a second time: the paper's formulas one after the other, over lists, for witnesses that may lie.

Beside audit/protocol/shuffle.py it shares the statement's hash and the derived vectors, and nothing of the arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from hashlib import sha512
from typing import Any

from audit.protocol.elgamal import Ciphertext, encrypt
from audit.protocol.group import ORDER, Element, G, sum_elements
from audit.protocol.numbered import generators_key, numbered_element, numbered_scalar
from audit.protocol.shuffle import verify_shuffle
from audit.protocol.shuffle_rows import MixedRow, Row, ShuffleProof
from audit.protocol.shuffle_statement import Lists, Place, first_challenge, second_challenge
from audit.protocol.transcript import Context
from tests.protocol.sample import MANIFEST, Y, scalars


class Here(Executor):
    """Does the work at once, where it is submitted."""

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(work(*arguments, **named))
        return done


HERE = Here()
MIXER = "mixer-1.vote.example"
X = 0xE4907E7  # the exponent of the mixer


def roll(N: int, seed: str = "roll") -> list[Row]:
    """N rows with weights 1000, 1001, ..."""
    draw = scalars(seed)
    return [Row(draw() * G, encrypt(1000 + i, Y, draw())) for i in range(N)]


def place(N: int, **other: Any) -> Place:
    return replace(Place(Context(MANIFEST, Y), "common", MIXER, 1, G, N), **other)


@dataclass(frozen=True)
class Published:
    """What a mixer hands in."""

    generator: Element
    proof: ShuffleProof
    rows: list[MixedRow]

    def check(self, at: Place, before: Sequence[Row]) -> None:
        verify_shuffle(at, self.generator, self.proof, before, self.rows, HERE)


def permutation_matrix(pi: Sequence[int]) -> list[list[int]]:
    return [[int(pi[j] == i) for i in range(len(pi))] for j in range(len(pi))]


def applied(M: Sequence[Sequence[int]], elements: Sequence[Element]) -> list[Element]:
    return [sum_elements(m * X for m, X in zip(row, elements, strict=True)) for row in M]


def dual(M: Sequence[Sequence[int]]) -> list[list[int]]:
    """The inverse of the transpose mod l, which a permutation matrix is itself: what must be applied to the lists for
    sum u'_j E'_j = sum u_i E_i to hold with u' = Mu."""
    N = len(M)
    rows = [[M[i][j] for i in range(N)] + [int(i == j) for i in range(N)] for j in range(N)]
    for n in range(N):
        pivot = next(i for i in range(n, N) if rows[i][n] % ORDER)
        rows[n], rows[pivot] = rows[pivot], rows[n]
        inverse = pow(rows[n][n], -1, ORDER)
        rows[n] = [x * inverse % ORDER for x in rows[n]]
        for i in range(N):
            if i != n:
                rows[i] = [(x - rows[i][n] * y) % ORDER for x, y in zip(rows[i], rows[n], strict=True)]
    return [row[N:] for row in rows]


@dataclass
class PlainMixer:
    """A mixer that applies the matrix M to the rows, and proves as if all was well.

    Every part of what it does can be replaced by a lie: the matrix it commits to, proves, or applies to keys or to
    weights; the exponent of a row or of the generator; the u' in its chain; t6; and the list as a whole.
    """

    M: list[list[int]]
    x: int = X
    M_keys: list[list[int]] | None = None
    M_weights: list[list[int]] | None = None
    x_rows: dict[int, int] = field(default_factory=dict)
    x_generator: int | None = None
    M_chain: list[list[int]] | None = None
    M_committed: list[list[int]] | None = None
    t6: Element | None = None
    afterwards: Callable[[list[Row]], list[Row]] = list

    def mix(self, at: Place, before: Sequence[Row], seed: str = "mix") -> Published:
        N, draw = len(before), scalars(seed)
        rho, r = [draw() for _ in range(N)], [draw() for _ in range(N)]
        r_hat, omega_hat, omega_prime = ([draw() for _ in range(N)] for _ in range(3))
        w1, w2, w3, w4, w5 = (draw() for _ in range(5))
        key = generators_key(at.context.manifest)
        h, hs = numbered_element(key, 0), [numbered_element(key, j + 1) for j in range(N)]

        # GenShuffle
        keys = applied(self.M_keys or self.M, [row.K for row in before])
        a, b = (applied(self.M_weights or self.M, part) for part in _parts(before))
        rows = [
            Row(self.x_rows.get(j, self.x) * keys[j], Ciphertext(a[j], b[j]) + encrypt(0, Y, rho[j])) for j in range(N)
        ]
        rows = self.afterwards(rows)
        G_k = (self.x if self.x_generator is None else self.x_generator) * at.generator

        # GenPermutationCommitment
        committed = self.M_committed or self.M
        c = [r[k] * G + sum_elements(committed[j][k] * hs[j] for j in range(N)) for k in range(N)]

        # GenShuffleProof
        lists = Lists()
        for old, new, c_j in zip(before, rows, c, strict=True):
            lists.take(old.raw, new.raw + c_j.raw, 128)
        transcript, u_key = first_challenge(at, G_k, lists.digest())
        u = [numbered_scalar(u_key, i) for i in range(N)]
        u_prime, u_chain = ([_dot(row, u) for row in M] for M in (self.M, self.M_chain or self.M))
        c_hat, last = [], h
        for j in range(N):
            last = r_hat[j] * G + u_chain[j] * last
            c_hat.append(last)
        v = [1] * N
        for j in reversed(range(N - 1)):
            v[j] = v[j + 1] * u_chain[j + 1] % ORDER
        t_hat = [omega_hat[j] * G + omega_prime[j] * before_j for j, before_j in enumerate([h, *c_hat[:-1]])]
        a_prime, b_prime = _parts(rows)
        t = (
            w1 * G,
            w2 * G,
            w3 * G + _product(omega_prime, hs),
            _product(omega_prime, a_prime) - w4 * G,
            _product(omega_prime, b_prime) - w4 * Y,
            _product(omega_prime, [row.K for row in rows]) - w5 * _product(u, [row.K for row in before]),
            self.t6 or w5 * at.generator,
        )
        links = sha512(b"".join(link.raw + t_j.raw for link, t_j in zip(c_hat, t_hat, strict=True)))
        challenge = second_challenge(transcript, links.digest(), t)
        s1 = w1 + challenge * sum(r)
        s2 = w2 + challenge * _dot(r_hat, v)
        s3 = w3 + challenge * _dot(r, u)
        s4 = w4 + challenge * _dot(rho, u_prime)
        s5 = w5 + challenge * self.x
        proof = ShuffleProof(challenge, *(s % ORDER for s in (s1, s2, s3, s4, s5)))
        mixed = [
            MixedRow(
                *rows[j],
                c[j],
                c_hat[j],
                (omega_hat[j] + challenge * r_hat[j]) % ORDER,
                (omega_prime[j] + challenge * u_prime[j]) % ORDER,
            )
            for j in range(N)
        ]
        return Published(G_k, proof, mixed)


def _parts(rows: Sequence[Row]) -> tuple[list[Element], list[Element]]:
    return [row.E.a for row in rows], [row.E.b for row in rows]


def _dot(one: Sequence[int], other: Sequence[int]) -> int:
    return sum(x * y for x, y in zip(one, other, strict=True)) % ORDER


def _product(scalars: Sequence[int], elements: Sequence[Element]) -> Element:
    return sum_elements(s * X for s, X in zip(scalars, elements, strict=True))
