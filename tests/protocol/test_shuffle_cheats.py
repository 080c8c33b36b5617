"""Mixers that cheat: each lie in one place, told as well as it can be, and refused with the mixer's name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

import pytest

from audit.protocol.elgamal import Ciphertext, encrypt
from audit.protocol.group import ELEMENT_SIZE, IDENTITY, ORDER, Element, G
from audit.protocol.refused import Refused
from audit.protocol.shuffle_rows import SHOWN_SIZE, MixedRow, Row, ShuffleProof
from audit.protocol.shuffle_statement import CHUNK, Lists, Place, first_challenge, second_challenge
from audit.protocol.transcript import Context
from tests.protocol.plain_shuffle import MIXER, PlainMixer, Published, X, dual, permutation_matrix, place, roll
from tests.protocol.sample import MANIFEST, REHEARSAL, Y, element, refused

N = 3
PI = (2, 0, 1)
BEFORE = roll(N)
HONEST = PlainMixer(permutation_matrix(PI)).mix(place(N), BEFORE)
OTHERS = roll(N, "of nobody on the roll")
ONE = encrypt(1, Y, 0)


@contextmanager
def caught(reason: str, field: str) -> Iterator[None]:
    """Expects exactly this refusal, and that it names the mixer."""
    with pytest.raises(Refused) as refusal:
        yield
    assert (refusal.value.reason, refusal.value.field) == (reason, field), str(refusal.value)
    assert MIXER in refusal.value.detail


def mixed_by(M: Sequence[Sequence[int]] | None = None, **lies: Any) -> Published:
    return PlainMixer([list(row) for row in M or permutation_matrix(PI)], **lies).mix(place(N), BEFORE)


def test_the_honest_mixer_is_believed() -> None:
    mixed_by().check(place(N), BEFORE)


# Rows that are not the former ones, all else as it would be.


def changed(j: int, change: Callable[[Row], Row]) -> Callable[[list[Row]], list[Row]]:
    return lambda rows: [change(row) if i == j else row for i, row in enumerate(rows)]


def swapped_weights(rows: list[Row]) -> list[Row]:
    return [Row(rows[0].K, rows[1].E), Row(rows[1].K, rows[0].E), *rows[2:]]


def moved_weight(rows: list[Row]) -> list[Row]:
    """The sum of all weights stays."""
    more = encrypt(500, Y, 77)
    return [Row(rows[0].K, rows[0].E + more), Row(rows[1].K, rows[1].E - more), *rows[2:]]


def moved_key(rows: list[Row]) -> list[Row]:
    """The sum of all keys stays."""
    return [Row(rows[0].K + G, rows[0].E), Row(rows[1].K - G, rows[1].E), *rows[2:]]


LIES = {
    "another row instead": changed(1, lambda row: OTHERS[0]),
    "another key instead": changed(1, lambda row: Row(X * OTHERS[0].K, row.E)),
    "another weight instead": changed(1, lambda row: Row(row.K, OTHERS[0].E)),
    "a key altered": changed(0, lambda row: Row(row.K + G, row.E)),
    "a key negated": changed(0, lambda row: Row(-row.K, row.E)),
    "a weight altered": changed(2, lambda row: Row(row.K, row.E + ONE)),
    "a weight doubled": changed(2, lambda row: Row(row.K, 2 * row.E)),
    "no weight": changed(2, lambda row: Row(row.K, encrypt(0, Y, 5))),
    "half of a ciphertext altered": changed(2, lambda row: Row(row.K, Ciphertext(row.E.a + G, row.E.b))),
    "weight moved between rows": moved_weight,
    "key moved between rows": moved_key,
    "two weights exchanged": swapped_weights,
    "two keys exchanged": lambda rows: swapped_weights(rows)[1::-1] + rows[2:],
    "the list of another class": lambda rows: [Row(X * row.K, row.E) for row in OTHERS],
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_rows_that_are_not_the_former_ones(lie: Callable[[list[Row]], list[Row]]) -> None:
    published = mixed_by(afterwards=lie)
    with caught("bad-proof", "proof"):
        published.check(place(N), BEFORE)


def test_every_row_is_looked_at() -> None:
    """In a list of several chunks, wherever the row stands."""
    many, pi = roll(CHUNK + 2), range(CHUNK + 2)
    for j in (0, CHUNK - 1, CHUNK, CHUNK + 1):
        mixer = PlainMixer(permutation_matrix(pi), afterwards=changed(j, lambda row: Row(row.K, row.E + ONE)))
        published = mixer.mix(place(len(many)), many)
        with caught("bad-proof", "proof"):
            published.check(place(len(many)), many)


# Exponents.


@pytest.mark.parametrize("x", [X + 1, ORDER - X, 1])
@pytest.mark.parametrize("j", range(N))
def test_another_exponent_for_one_row(j: int, x: int) -> None:
    with caught("bad-proof", "proof"):
        mixed_by(x_rows={j: x}).check(place(N), BEFORE)


def test_two_exponents_for_two_halves_of_the_list() -> None:
    with caught("bad-proof", "proof"):
        mixed_by(x_rows={0: X + 1, 1: X - 1}).check(place(N), BEFORE)


def test_another_exponent_for_all_rows_than_for_the_generator() -> None:
    with caught("bad-proof", "proof"):
        mixed_by(x_rows=dict.fromkeys(range(N), X + 1)).check(place(N), BEFORE)
    with caught("bad-proof", "proof"):
        mixed_by(x_generator=X + 1).check(place(N), BEFORE)


def test_a_generator_chosen_after_the_challenge() -> None:
    """Were G_k not in the transcript, G_k = (s5 G_{k-1} - t6) / challenge would satisfy t6 for any t6."""
    published = mixed_by(t6=element("any"))
    G_k = pow(published.proof.challenge, -1, ORDER) * (published.proof.s5 * G - element("any"))
    with caught("bad-proof", "proof"):
        replace(published, generator=G_k).check(place(N), BEFORE)


def test_the_exponent_0() -> None:
    with caught("identity", "generator"):
        mixed_by(x=0).check(place(N), BEFORE)
    with caught("identity", "rows[0].K"):
        mixed_by(x=0, x_generator=X).check(place(N), BEFORE)


def test_the_exponent_1() -> None:
    with caught("not-mixed", "generator"):
        mixed_by(x=1).check(place(N), BEFORE)
    with caught("bad-proof", "proof"):
        mixed_by(x=1, x_generator=X).check(place(N), BEFORE)


def test_a_generator_that_is_the_identity_is_none_to_start_from() -> None:
    at = place(N, generator=IDENTITY)
    with refused("identity", "generator"):
        HONEST.check(at, BEFORE)


# Matrices that are not a permutation: each violates one line of the proof and satisfies the others.


def test_a_row_dropped_and_another_twice() -> None:
    """Under the same key, and under another key of the same holder."""
    twice = permutation_matrix((0, 0, 1))
    for x in (X, X + 1):
        with caught("bad-proof", "proof"):
            mixed_by(twice, x_rows={1: x}).check(place(N), BEFORE)


def test_all_rows_of_one_chunk_and_none_of_the_next_twice() -> None:
    many = roll(CHUNK + 1)
    published = PlainMixer(permutation_matrix([*range(CHUNK), 0])).mix(place(CHUNK + 1), many)
    with caught("bad-proof", "proof"):
        published.check(place(CHUNK + 1), many)


HALF = pow(2, -1, ORDER)
NOT_PERMUTATIONS = {
    # Rows add up to one, so that t1 holds; the product of u' is not that of u.
    "weights spread over other rows": [[2, ORDER - 1, 0], [ORDER - 1, 2, 0], [0, 0, 1]],
    "one weight given to another": [[1, 0, 0], [1, 1, ORDER - 1], [0, 0, 1]],
    # The product of u' is that of u, so that t2 holds; the rows do not add up to one.
    "one weight doubled and another halved": [[2, 0, 0], [0, HALF, 0], [0, 0, 1]],
    "two rows negated": [[ORDER - 1, 0, 0], [0, ORDER - 1, 0], [0, 0, 1]],
    # Neither.
    "a weight counted for all": [[1, 1, 1], [0, 1, 0], [0, 0, 1]],
}


@pytest.mark.parametrize("M", NOT_PERMUTATIONS.values(), ids=NOT_PERMUTATIONS.keys())
def test_matrices_that_are_no_permutation(M: list[list[int]]) -> None:
    """The lists are such that t3, t4 and t5 hold."""
    with caught("bad-proof", "proof"):
        mixed_by(M, M_keys=dual(M), M_weights=dual(M)).check(place(N), BEFORE)


def test_a_matrix_proven_that_was_not_committed_to() -> None:
    """Committed is a permutation, as t1 wants; the product of u' is that of u, as t2 wants; but u' is not the committed
    matrix times u, so that t3 fails alone."""
    M = NOT_PERMUTATIONS["one weight doubled and another halved"]
    with caught("bad-proof", "proof"):
        mixed_by(M, M_keys=dual(M), M_weights=dual(M), M_committed=permutation_matrix(PI)).check(place(N), BEFORE)


@pytest.mark.parametrize("M", NOT_PERMUTATIONS.values(), ids=NOT_PERMUTATIONS.keys())
def test_a_chain_over_other_scalars_than_the_matrix_gives(M: list[list[int]]) -> None:
    """The product in t2 is then right; but each link must fit the s' of its row."""
    with caught("bad-proof", "proof"):
        mixed_by(M, M_keys=dual(M), M_weights=dual(M), M_chain=permutation_matrix(PI)).check(place(N), BEFORE)


def test_weights_permuted_otherwise_than_keys() -> None:
    other = permutation_matrix((0, 2, 1))
    for lie in ({"M_weights": other}, {"M_keys": other}, {"M_weights": other, "M_keys": other}):
        with caught("bad-proof", "proof"):
            mixed_by(**lie).check(place(N), BEFORE)


def test_a_chain_of_another_permutation() -> None:
    with caught("bad-proof", "proof"):
        mixed_by(M_chain=permutation_matrix((0, 1, 2))).check(place(N), BEFORE)


# Lists that are too long or too short.


def test_a_row_missing() -> None:
    for j in range(N):
        with caught("wrong-length", "rows"):
            replace(HONEST, rows=HONEST.rows[:j] + HONEST.rows[j + 1 :]).check(place(N), BEFORE)


def test_no_row() -> None:
    with caught("wrong-length", "rows"):
        replace(HONEST, rows=[]).check(place(N), BEFORE)
    with refused("wrong-length", "rows"):
        replace(HONEST, rows=[]).check(place(0), [])


@pytest.mark.parametrize("j", range(N + 1))
def test_a_surplus_row_and_with_it_a_link_and_a_commitment(j: int) -> None:
    surplus = replace(HONEST.rows[0], K=OTHERS[0].K)
    with caught("wrong-length", "rows"):
        replace(HONEST, rows=[*HONEST.rows[:j], surplus, *HONEST.rows[j:]]).check(place(N), BEFORE)


def test_a_row_once_more() -> None:
    with caught("wrong-length", "rows"):
        replace(HONEST, rows=[*HONEST.rows, HONEST.rows[0]]).check(place(N), BEFORE)
    with caught("wrong-length", "rows"):
        replace(HONEST, rows=[HONEST.rows[0], *HONEST.rows]).check(place(N), BEFORE)


def test_a_longer_mix_of_a_longer_list_is_not_one_of_this() -> None:
    longer = [*BEFORE, OTHERS[0]]
    published = PlainMixer(permutation_matrix((3, *PI))).mix(place(N + 1), longer)
    published.check(place(N + 1), longer)
    with caught("wrong-length", "rows"):
        published.check(place(N), BEFORE)


# A proof used elsewhere.


ELSEWHERE: list[dict[str, Any]] = [
    {"context": Context(REHEARSAL, Y)},
    {"context": Context(MANIFEST, Y + G)},
    {"context": Context(MANIFEST, Y, bytes(32))},
    {"roll": "preferred"},
    {"mixer": f"{MIXER}.example"},
    {"k": 2},
    {"generator": G + G},
    {"generator": element("another")},
]


@pytest.mark.parametrize("other", ELSEWHERE, ids=lambda other: next(iter(other)))
def test_a_proof_holds_in_its_place_only(other: dict[str, Any]) -> None:
    with caught("bad-proof", "proof"):
        HONEST.check(place(N, **other), BEFORE)


def test_every_public_input_is_in_both_challenges() -> None:
    def challenges(at: Place, G_k: Element, old: bytes, new: bytes, chain: bytes, t: Sequence[Element]) -> list[Any]:
        lists = Lists()
        lists.take(old, new, SHOWN_SIZE)
        transcript, u = first_challenge(at, G_k, lists.digest())
        return [u, second_challenge(transcript, chain, t)]

    old, new, chain, t = BEFORE[0].raw + BEFORE[1].raw, bytes(2 * SHOWN_SIZE), bytes(64), [G] * 7
    here = place(2)
    same = challenges(here, G, old, new, chain, t)
    for i in range(0, len(old), ELEMENT_SIZE):
        other = challenges(here, G, old[:i] + bytes(ELEMENT_SIZE) + old[i + ELEMENT_SIZE :], new, chain, t)
        assert not set(other) & set(same)
    for i in range(0, len(new), ELEMENT_SIZE):
        other = challenges(here, G, old, new[:i] + G.raw + new[i + ELEMENT_SIZE :], chain, t)
        assert not set(other) & set(same)
    for at in (*(place(2, **other) for other in ELSEWHERE), place(3)):
        assert not set(challenges(at, G, old, new, chain, t)) & set(same)
    assert not set(challenges(here, G + G, old, new, chain, t)) & set(same)
    assert challenges(here, G, old, new, bytes(63) + b"1", t)[1] != same[1]
    for i in range(7):
        assert challenges(here, G, old, new, chain, [*t[:i], G + G, *t[i + 1 :]])[1] != same[1]


def test_another_mixers_proof() -> None:
    """Two mixers of the same list: neither proof is good for the other's rows, nor in the other's name."""
    theirs = PlainMixer(permutation_matrix((1, 2, 0)), X + 5).mix(place(N, mixer="mixer-2.vote.example"), BEFORE, "2")
    theirs.check(place(N, mixer="mixer-2.vote.example"), BEFORE)
    for published in (theirs, replace(HONEST, proof=theirs.proof), replace(theirs, proof=HONEST.proof)):
        with caught("bad-proof", "proof"):
            published.check(place(N), BEFORE)


def test_mixing_the_issuers_list_again_instead_of_the_last() -> None:
    last = [row.row for row in HONEST.rows]
    at = place(N, k=2, generator=HONEST.generator)
    PlainMixer(permutation_matrix(PI)).mix(at, last).check(at, last)
    with caught("bad-proof", "proof"):
        PlainMixer(permutation_matrix(PI)).mix(at, BEFORE).check(at, last)
    with caught("not-mixed", "generator"):
        HONEST.check(at, last)


def test_another_list() -> None:
    others = PlainMixer(permutation_matrix(PI)).mix(place(N), OTHERS)
    others.check(place(N), OTHERS)
    with caught("bad-proof", "proof"):
        others.check(place(N), BEFORE)


@pytest.mark.parametrize("change", range(4))
def test_the_former_list_is_bound_row_by_row_and_in_order(change: int) -> None:
    lists = (
        [BEFORE[1], BEFORE[0], BEFORE[2]],
        [BEFORE[0], BEFORE[1], OTHERS[2]],
        [BEFORE[0], BEFORE[1], Row(BEFORE[2].K, OTHERS[2].E)],
        [Row(BEFORE[1].K, BEFORE[0].E), Row(BEFORE[0].K, BEFORE[1].E), BEFORE[2]],
    )
    with caught("bad-proof", "proof"):
        HONEST.check(place(N), lists[change])


def test_the_new_list_is_bound_in_its_order() -> None:
    for order in ((1, 0, 2), (2, 1, 0), (1, 2, 0)):
        with caught("bad-proof", "proof"):
            replace(HONEST, rows=[HONEST.rows[j] for j in order]).check(place(N), BEFORE)


# Every field of the proof.


def other_value(value: Any) -> Iterator[Any]:
    if isinstance(value, int):
        yield from ((value + 1) % ORDER, (value - 1) % ORDER, -value % ORDER, 0)
    elif isinstance(value, Element):
        yield from (value + G, -value, G)
    else:
        yield from (Ciphertext(value.a + G, value.b), Ciphertext(value.a, value.b + G), Ciphertext(value.b, value.a))


@pytest.mark.parametrize("name", [part.name for part in fields(MixedRow)])
@pytest.mark.parametrize("j", range(N))
def test_each_field_of_each_row_counts(j: int, name: str) -> None:
    for value in other_value(getattr(HONEST.rows[j], name)):
        rows = [*HONEST.rows[:j], replace(HONEST.rows[j], **{name: value}), *HONEST.rows[j + 1 :]]
        with caught("bad-proof", "proof"):
            replace(HONEST, rows=rows).check(place(N), BEFORE)


@pytest.mark.parametrize("name", [part.name for part in fields(ShuffleProof)])
def test_each_field_of_the_head_counts(name: str) -> None:
    for value in other_value(getattr(HONEST.proof, name)):
        with caught("bad-proof", "proof"):
            replace(HONEST, proof=replace(HONEST.proof, **{name: value})).check(place(N), BEFORE)
    for generator in (HONEST.generator + G, -HONEST.generator, G + G):
        with caught("bad-proof", "proof"):
            replace(HONEST, generator=generator).check(place(N), BEFORE)


@pytest.mark.parametrize("name", ["K", "E", "c", "c_hat", "s_hat", "s_prime"])
def test_fields_of_two_rows_exchanged(name: str) -> None:
    first, second, third = HONEST.rows
    rows = [
        replace(first, **{name: getattr(second, name)}),
        replace(second, **{name: getattr(first, name)}),
        third,
    ]
    with caught("bad-proof", "proof"):
        replace(HONEST, rows=rows).check(place(N), BEFORE)


def test_a_key_twice() -> None:
    rows = [HONEST.rows[0], replace(HONEST.rows[1], K=HONEST.rows[0].K), HONEST.rows[2]]
    with caught("bad-proof", "proof"):
        replace(HONEST, rows=rows).check(place(N), BEFORE)


def test_the_identity_is_nobodys_key() -> None:
    rows = [*HONEST.rows[:2], replace(HONEST.rows[2], K=IDENTITY)]
    with caught("identity", "rows[2].K"):
        replace(HONEST, rows=rows).check(place(N), BEFORE)


def test_nothing_but_zeros_proves_nothing() -> None:
    """Commitments and responses for which many equations hold of themselves."""
    empty = [replace(row, c=IDENTITY, c_hat=IDENTITY, s_hat=0, s_prime=0) for row in HONEST.rows]
    with caught("bad-proof", "proof"):
        Published(HONEST.generator, ShuffleProof(0, 0, 0, 0, 0, 0), empty).check(place(N), BEFORE)
