"""The proof that a mixed roll is the former roll: every key to one power, every weight encrypted afresh, rows permuted.

Terelius and Wikstroem's proof of shuffle, in the form and with the names of Haenni, Locher, Koenig and Dubuis,
"Pseudo-code algorithms for verifiable re-encryption mix-nets" (2017), written additively, and widened by a column of
keys. The protocol page calls the exponent of the keys c; here it is x, since c are the paper's commitments.

Statement, for lists (K_i, E_i) and (K'_j, E'_j) of N rows: there are a permutation pi, an x and rho_j with

    K'_j = x K_pi(j),   E'_j = E_pi(j) + E(0; rho_j),   G_k = x G_{k-1},   x other than 0 and 1.

Proof. The mixer commits to pi: c_pi(j) = r_pi(j) G + h_j. The first challenge gives every row i of the former list a
scalar u_i. With u'_j = u_pi(j), and the chain c_hat_j = r_hat_j G + u'_j c_hat_{j-1}, c_hat_0 = h, it proves that it
knows r_bar, r_hat, r_tilde, r', x and all u'_j, r_hat_j with

    t1     sum c_i - sum h_i         = r_bar G                          each row of the committed matrix adds up to one
    t2     c_hat_N - (prod u_i) h    = r_hat G                          prod u'_j = prod u_i
    t_hat  c_hat_j                   = r_hat_j G + u'_j c_hat_{j-1}     (what makes t2 speak of these u'_j)
    t3     sum u_i c_i               = r_tilde G + sum u'_j h_j         u' is the committed matrix times u
    t4     sum u_i E_i               = sum u'_j E'_j - E(0; r')         the weights
    t5     0                         = sum u'_j K'_j - x sum u_i K_i    the keys
    t6     G_k                       = x G_{k-1}

Why a true proof leaves no other list. From the answers to two challenges the secrets of all seven lines are extracted,
one s'_j and so one u'_j for t_hat, t3, t4 and t5 alike. t1 and t3, for N independent vectors u, open the c_i to one
matrix M with u' = Mu, unless somebody knows a relation among G, h, h_1..h_N; t1 and t2 hold for random u only if M is a
permutation matrix (Terelius and Wikstroem 2010, theorem 1). The M is fixed by c before u is drawn, and so are both
lists and G_k. t6 fixes x, for G_{k-1} is not the identity. Then t5 says sum_i u_i (K'_j(i) - x K_i) = 0, where j(i) is
where M sends row i: were one bracket not 0, a random u would satisfy it with probability 1/l. So every key has the one
exponent and the place that M gives it, t4 says the same of every weight with the same M, and no weight can part from
its key. docs/adr/0007 says more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Final

from audit.protocol.elgamal import Ciphertext
from audit.protocol.group import ELEMENT_SIZE, IDENTITY, ORDER, Element, G
from audit.protocol.numbered import generators_key, numbered_element, numbered_scalar
from audit.protocol.refused import Refused
from audit.protocol.roll import anonymous_roll_hash
from audit.protocol.shuffle_chunks import (
    LINK_SIZE,
    RESPONSES,
    Checked,
    Committed,
    Prover,
    Verifier,
    check_chunk,
    commit_chunk,
    shuffle_chunk,
)
from audit.protocol.shuffle_rows import MIXED_ROW_SIZE, SHOWN_SIZE, MixedRow, Row, ShuffleProof, cut, elements
from audit.protocol.shuffle_secret import MixSecret, Nonces, Witness
from audit.protocol.shuffle_statement import (
    CHUNK,
    Lists,
    Pair,
    Place,
    Task,
    first_challenge,
    in_order,
    paired,
    second_challenge,
)
from audit.protocol.transcript import labelled_hash

_CHANGED: Final = "the lists read differently the second time"


@dataclass(frozen=True)
class Shuffled:
    """A new list before it is proven: its generator G_k, and for each row the 128 bytes K' || E' || c."""

    generator: Element
    shown: bytes = field(repr=False)


@dataclass(frozen=True)
class Mix:
    """A new list with its proof. It still holds the secret, from which `rows` makes the responses one by one."""

    generator: Element
    proof: ShuffleProof
    _shown: bytes = field(repr=False)
    _c_hat: bytes = field(repr=False)
    _pi: Sequence[int] = field(repr=False)
    _u: bytes = field(repr=False)
    _nonces: Nonces = field(repr=False)

    def rows(self) -> Iterator[MixedRow]:
        """s_hat_j = omega_hat_j + challenge r_hat_j and s'_j = omega'_j + challenge u'_j, beside what was shown."""
        challenge = self.proof.challenge
        parts = zip(self._pi, cut(self._shown, SHOWN_SIZE), elements(self._c_hat), strict=True)
        for j, (k, shown, c_hat) in enumerate(parts):
            K, a, b, c = elements(shown)
            s_hat = (self._nonces.omega_hat(j) + challenge * self._nonces.r_hat(j)) % ORDER
            s_prime = (self._nonces.omega_prime(j) + challenge * numbered_scalar(self._u, k)) % ORDER
            yield MixedRow(K, Ciphertext(a, b), c, c_hat, s_hat, s_prime)


def mix(place: Place, before: Sequence[Row], secret: MixSecret, executor: Executor) -> Mix:
    """Mixes the former list and proves it; the same arguments give the same bytes. ValueError if the lengths of list,
    permutation and place are not the same, or zero.

    before: read at random places; held besides it are 160 bytes a row and the permutation.
    """
    return gen_shuffle_proof(place, before, gen_shuffle(place, before, secret, executor), secret, executor)


def gen_shuffle(place: Place, before: Sequence[Row], secret: MixSecret, executor: Executor) -> Shuffled:
    """GenShuffle and GenPermutationCommitment: K'_j = x K_pi(j), E'_j = E_pi(j) + E(0; rho_j), c_pi(j) = r_pi(j) G +
    h_j."""
    if not 0 < place.N == len(before) == len(secret.pi):
        raise ValueError(f"a list of {len(before)} rows, a permutation of {len(secret.pi)}, and a place for {place.N}")
    witness, h = _witness(place, before, secret), generators_key(place.context.manifest)
    inverse = secret.inverse()

    def tasks() -> Iterator[Task[bytes]]:
        for first in range(0, place.N, CHUNK):
            part = slice(first, first + CHUNK)
            former = _gathered(before, secret.pi[part])
            yield shuffle_chunk, (place.Y, secret.x, witness, h, first, former, inverse[part])

    return Shuffled(secret.x * place.generator, b"".join(in_order(executor, tasks())))


def gen_shuffle_proof(
    place: Place, before: Sequence[Row], shuffled: Shuffled, secret: MixSecret, executor: Executor
) -> Mix:
    """GenShuffleProof, for what `gen_shuffle` gives for the same arguments."""
    pi, x = secret.pi, secret.x
    lists = Lists()
    for first in range(0, place.N, CHUNK):
        part = range(first, min(first + CHUNK, place.N))
        shown = shuffled.shown[SHOWN_SIZE * part.start : SHOWN_SIZE * part.stop]
        lists.take(_gathered(before, part), shown, SHOWN_SIZE)
    transcript, u = first_challenge(place, shuffled.generator, lists.digest())
    nonces = Nonces(secret.seed, u)
    prover = Prover(x, u, generators_key(place.context.manifest), _witness(place, before, secret), nonces)
    R, U = 0, 1  # c_hat_j = R_j G + U_j h, so that no link waits for the one before

    def tasks() -> Iterator[Task[Committed]]:
        nonlocal R, U
        for first in range(0, place.N, CHUNK):
            part = pi[first : first + CHUNK]
            shown = shuffled.shown[SHOWN_SIZE * first : SHOWN_SIZE * (first + CHUNK)]
            yield commit_chunk, (prover, first, part, _gathered(before, part), shown, R, U)
            for j, k in enumerate(part, first):
                u_prime = numbered_scalar(u, k)
                R, U = (nonces.r_hat(j) + u_prime * R) % ORDER, u_prime * U % ORDER

    links, c_hat, sums = hashlib.sha512(), bytearray(), Committed(b"", IDENTITY, IDENTITY, IDENTITY, IDENTITY, 0, 0, 0)
    for committed in in_order(executor, tasks()):
        links.update(committed.links)
        c_hat += b"".join(link[:ELEMENT_SIZE] for link in cut(committed.links, LINK_SIZE))
        sums = sums.plus(committed)

    w1, w2, w3, w4, w5 = (nonces.omega(number) for number in range(1, 6))
    t = (
        w1 * G,
        w2 * G,
        w3 * G + sums.t3,
        sums.t4_a - w4 * G,
        sums.t4_b - w4 * place.Y,
        sums.t5,
        w5 * place.generator,
    )
    challenge = second_challenge(transcript, links.digest(), t)
    secrets = ((w1, sums.r_bar), (w2, R), (w3, sums.r_tilde), (w4, sums.r_prime), (w5, x))
    proof = ShuffleProof(challenge, *((w + challenge * secret) % ORDER for w, secret in secrets))
    return Mix(shuffled.generator, proof, shuffled.shown, bytes(c_hat), pi, u, nonces)


def verify_shuffle(
    place: Place,
    G_k: Element,
    proof: ShuffleProof,
    before: Iterable[Row],
    after: Iterable[MixedRow],
    executor: Executor,
) -> None:
    """CheckShuffleProof. Refused, naming the mixer:

    `wrong-length` (rows) unless there is one row for each of the former list; `identity` or `not-mixed` (generator) for
    x = 0 or 1; `identity` (rows[j].K) for a key that cannot be anybody's; `bad-proof` (proof) unless the proof shows
    the statement, and with it that all new keys are distinct, as the former are. Nothing is multiplied before the first
    three are known to hold.

    before, after: read twice, from the beginning each time, so that memory holds no list; ValueError if they do not
    read the same both times.
    """
    _expect_exponent(place, G_k)
    lists = Lists()
    for _, former, mixed in _possible_keys(place, before, after):
        lists.take(former, mixed, MIXED_ROW_SIZE)
    transcript, u = first_challenge(place, G_k, lists.digest())
    verifier = Verifier(proof.challenge, proof.s5, u, generators_key(place.context.manifest))
    h = last = numbered_element(verifier.h, 0)
    again = Lists()

    def tasks() -> Iterator[Task[Checked]]:
        nonlocal last
        for first, former, mixed in _read_again(place, before, after):
            again.take(former, mixed, MIXED_ROW_SIZE)
            yield check_chunk, (verifier, first, former, mixed, last)
            last = Element(mixed[-MIXED_ROW_SIZE:][SHOWN_SIZE:RESPONSES])

    links, sums = hashlib.sha512(), Checked(b"", IDENTITY, IDENTITY, IDENTITY, IDENTITY, IDENTITY, 1)
    for checked in in_order(executor, tasks()):
        links.update(checked.links)
        sums = sums.plus(checked)
    if again.digest() != lists.digest():
        raise ValueError(_CHANGED)

    challenge = proof.challenge
    t = (
        proof.s1 * G - challenge * sums.c_bar,
        proof.s2 * G - challenge * (last - sums.u * h),
        proof.s3 * G + sums.t3,
        sums.t4_a - proof.s4 * G,
        sums.t4_b - proof.s4 * place.Y,
        sums.t5,
        proof.s5 * place.generator - challenge * G_k,
    )
    if second_challenge(transcript, links.digest(), t) != challenge:
        text = f"{place.mixer} does not prove that this list is the former one, mixed"
        raise Refused("bad-proof", text, "proof")


def _expect_exponent(place: Place, G_k: Element) -> None:
    if place.N == 0:
        raise Refused("wrong-length", "there is no row to mix", "rows")
    if place.generator.is_identity or G_k.is_identity:
        raise Refused("identity", f"{place.mixer} gives the identity as generator: every key would be it", "generator")
    if G_k == place.generator:
        raise Refused("not-mixed", f"{place.mixer} leaves generator and keys as they were", "generator")


def _possible_keys(place: Place, before: Iterable[Row], after: Iterable[MixedRow]) -> Iterator[Pair]:
    """The paired chunks, refused where a key is the identity. The proof implies it, since no former key is; but this is
    seen without arithmetic, and names the row."""
    for first, former, mixed in paired(place, before, after):
        for j, row in enumerate(cut(mixed, MIXED_ROW_SIZE), first):
            if Element(row[:ELEMENT_SIZE]).is_identity:
                raise Refused("identity", f"{place.mixer} gives a row the identity as key", f"rows[{j}].K")
        yield first, former, mixed


def _read_again(place: Place, before: Iterable[Row], after: Iterable[MixedRow]) -> Iterator[Pair]:
    """The paired chunks; what goes wrong at this reading is no mixer's doing."""
    try:
        yield from paired(place, before, after)
    except Refused:
        raise ValueError(_CHANGED) from None


def _witness(place: Place, before: Sequence[Row], secret: MixSecret) -> Witness:
    former = anonymous_roll_hash(place.generator, before)
    here = (place.context.manifest, place.Y, place.roll, place.mixer, place.k)
    return Witness(secret, labelled_hash("shuffle place", *here, former))


def _gathered(rows: Sequence[Row], numbers: Iterable[int]) -> bytes:
    return b"".join(rows[k].raw for k in numbers)
