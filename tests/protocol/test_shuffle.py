"""A mixed roll is the former roll, and its proof is complete, bound to its place, and the same for any executor."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.protocol.elgamal import Ciphertext
from audit.protocol.group import ORDER, Element, G
from audit.protocol.numbered import generators_key, numbered_element, numbered_scalar
from audit.protocol.shuffle import mix, verify_shuffle
from audit.protocol.shuffle_rows import Row
from audit.protocol.shuffle_secret import MixSecret, Nonces, new_secret, order_of_keys
from audit.protocol.shuffle_statement import CHUNK, IN_FLIGHT, Place, in_order
from tests.protocol.plain_shuffle import HERE, PlainMixer, Published, X, permutation_matrix, place, roll
from tests.protocol.sample import MANIFEST, REHEARSAL, opened, scalars

SEED = bytes(range(32))


def mixed(at: Place, before: list[Row], secret: MixSecret, executor: Executor = HERE) -> Published:
    made = mix(at, before, secret, executor)
    return Published(made.generator, made.proof, list(made.rows()))


def secret_for(N: int, seed: str = "secret") -> MixSecret:
    return new_secret(roll(N), scalars(seed), HERE)


@settings(max_examples=25)
@given(st.permutations(range(5)).map(tuple) | st.permutations(range(2)).map(tuple), st.integers(2, ORDER - 1))
def test_whoever_mixes_proves_it(pi: tuple[int, ...], x: int) -> None:
    N, before = len(pi), roll(len(pi))
    published = mixed(place(N), before, MixSecret(pi, x, SEED))
    published.check(place(N), before)
    assert published.generator == x * G
    assert [row.K for row in published.rows] == [x * before[k].K for k in pi]
    assert [opened(row.E) for row in published.rows] == [opened(before[k].E) for k in pi]
    assert not {row.E for row in published.rows} & {row.E for row in before}


@settings(max_examples=10)
@given(st.permutations(range(4)), st.integers(2, ORDER - 1))
def test_the_plain_formulas_prove_the_same(pi: list[int], x: int) -> None:
    PlainMixer(permutation_matrix(pi), x).mix(place(4), roll(4)).check(place(4), roll(4))


@pytest.mark.parametrize("N", [1, CHUNK - 1, CHUNK, CHUNK + 1])
def test_lists_of_any_length(N: int) -> None:
    before = roll(N)
    mixed(place(N), before, secret_for(N)).check(place(N), before)


def test_three_mixers_one_after_the_other() -> None:
    rows, generator = roll(4), G
    for k in (1, 2, 3):
        at = place(4, k=k, mixer=f"mixer-{k}.vote.example", generator=generator)
        published = mixed(at, rows, secret_for(4, f"mixer {k}"))
        published.check(at, rows)
        rows, generator = [row.row for row in published.rows], published.generator
    draw = scalars("roll")
    credentials = [(draw(), draw())[0] for _ in range(4)]
    assert {row.K for row in rows} == {s * generator for s in credentials}
    assert sorted(opened(row.E).raw for row in rows) == sorted((w * G).raw for w in range(1000, 1004))


def test_the_same_arguments_give_the_same_bytes() -> None:
    before, secret = roll(3), secret_for(3)
    assert mixed(place(3), before, secret) == mixed(place(3), before, secret)


def hidden(published: Published) -> set[int | Element | Ciphertext]:
    """Everything in it that randomness hides."""
    rows = published.rows
    responses = {s for row in rows for s in (row.s_hat, row.s_prime)}
    return {part for row in rows for part in (row.E, row.c, row.c_hat)} | responses


@pytest.mark.parametrize(
    ("at", "before", "secret"),
    [
        (place(3), roll(3, "another"), secret_for(3)),
        (place(3, roll="preferred"), roll(3), secret_for(3)),
        (place(3, k=2), roll(3), secret_for(3)),
        (place(3), roll(3), MixSecret(secret_for(3).pi, 77, secret_for(3).seed)),
        (place(3), roll(3), MixSecret(list(reversed(secret_for(3).pi)), secret_for(3).x, secret_for(3).seed)),
    ],
)
def test_a_seed_used_twice_gives_nothing_away(at: Place, before: list[Row], secret: MixSecret) -> None:
    """The same rho under two permutations, or the same nonces for two challenges, would show the permutation."""
    other, first = mixed(at, before, secret), mixed(place(3), roll(3), secret_for(3))
    assert not hidden(first) & hidden(other)
    afresh = [
        {new.E - rows[k].E for new, k in zip(of.rows, pi, strict=True)}
        for of, rows, pi in ((first, roll(3), secret_for(3).pi), (other, before, secret.pi))
    ]
    assert not afresh[0] & afresh[1]


def test_nonces_depend_on_the_first_challenge_and_on_their_number() -> None:
    drawn = [
        {draw(i) for draw in (nonces.r_hat, nonces.omega_hat, nonces.omega_prime, nonces.omega) for i in range(3)}
        for nonces in (Nonces(SEED, bytes(32)), Nonces(SEED, bytes(31) + b"1"), Nonces(SEED[::-1], bytes(32)))
    ]
    assert len(set.union(*drawn)) == 3 * 12


@pytest.mark.parametrize(
    "make", [lambda: ThreadPoolExecutor(3), lambda: ProcessPoolExecutor(1, get_context("forkserver"))]
)
def test_any_executor_does(make: Callable[[], Executor]) -> None:
    N = CHUNK + 2
    before, secret = roll(N), secret_for(N)
    with make() as executor:
        published = mixed(place(N), before, secret, executor)
        verify_shuffle(place(N), published.generator, published.proof, before, published.rows, executor)
    assert published == mixed(place(N), before, secret)


class Stalled(Executor):
    """Finishes nothing until somebody waits for it; counts what is on its way."""

    def __init__(self) -> None:
        self.waiting = self.most = 0

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        executor = self

        class Awaited(Future[Any]):
            def result(self, timeout: float | None = None) -> Any:
                executor.waiting -= 1
                return work(*arguments, **named)

        self.waiting += 1
        self.most = max(self.most, self.waiting)
        return Awaited()


def test_chunks_are_read_no_faster_than_they_are_done() -> None:
    executor, read = Stalled(), []

    def tasks() -> Iterator[tuple[Callable[..., int], tuple[object, ...]]]:
        for n in range(5 * IN_FLIGHT):
            read.append(n)
            yield int, (n,)

    for n, result in enumerate(in_order(executor, tasks())):
        assert result == n
        assert len(read) <= n + IN_FLIGHT
    assert executor.most == IN_FLIGHT


def test_what_no_worker_has_begun_is_given_up() -> None:
    gate, done = threading.Event(), []

    def work(n: int) -> int:
        if n:
            gate.wait()
        done.append(n)
        return n

    with ThreadPoolExecutor(1) as executor:
        for n in in_order(executor, ((work, (n,)) for n in range(3 * IN_FLIGHT))):
            assert n == 0
            break
        gate.set()
    assert done in ([0], [0, 1])


class TwoReadings:
    """A list that is another when read again."""

    def __init__(self, *readings: list[Any]) -> None:
        self.readings = iter(readings)

    def __iter__(self) -> Iterator[Any]:
        return iter(next(self.readings))


def test_both_readings_must_agree() -> None:
    before = roll(3)
    published = mixed(place(3), before, secret_for(3))
    rows, other = published.rows, mixed(place(3), before, secret_for(3, "other")).rows
    given = (place(3), published.generator, published.proof)
    verify_shuffle(*given, TwoReadings(before, before), TwoReadings(rows, rows), HERE)
    for later in (other, rows[:2], [*rows, rows[0]], []):
        with pytest.raises(ValueError, match="second time"):
            verify_shuffle(*given, before, TwoReadings(rows, later), HERE)
    with pytest.raises(ValueError, match="second time"):
        verify_shuffle(*given, TwoReadings(before, roll(3, "another")), rows, HERE)
    with pytest.raises(ValueError, match="second time"):
        verify_shuffle(*given, before, iter(rows), HERE)


@pytest.mark.parametrize("N", [0, 2, 4])
def test_place_list_and_permutation_have_one_length(N: int) -> None:
    published = mixed(place(3), roll(3), secret_for(3))
    with pytest.raises(ValueError, match="a list of"):
        mixed(place(N), roll(3), secret_for(3))
    with pytest.raises(ValueError, match="a list of"):
        mixed(place(3), roll(3), secret_for(N))
    if N:
        with pytest.raises(ValueError, match="the former list has"):
            published.check(place(3), roll(N))


@settings(max_examples=10)
@given(st.integers(2, ORDER - 1))
def test_new_keys_stand_in_their_order(x: int) -> None:
    N = CHUNK + 1
    pi = order_of_keys(roll(N), x, HERE)
    new = [(x * roll(N)[k].K).raw for k in pi]
    assert new == sorted(new) and sorted(pi) == list(range(N))
    inverse = MixSecret(pi, x, SEED).inverse()
    assert [inverse[k] for k in pi] == list(range(N))


def test_every_permutation_comes_up() -> None:
    draw, before = scalars("permutations"), roll(3)
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(1200):
        pi = tuple(new_secret(before, draw, HERE).pi)
        counts[pi] = counts.get(pi, 0) + 1
    assert len(counts) == 6
    assert all(140 < count < 260 for count in counts.values()), counts


def test_a_secret_is_a_permutation_an_exponent_and_a_seed() -> None:
    for x in (0, 1, ORDER, ORDER + 1):
        with pytest.raises(ValueError, match="neither 0 nor 1"):
            MixSecret((0, 1), x, SEED)
    with pytest.raises(ValueError, match="32 bytes"):
        MixSecret((0, 1), X, SEED[:31])
    for pi in ((0, 0), (1, 2), (-1, 0), (0, 2, 2)):
        with pytest.raises(ValueError, match="not a permutation"):
            MixSecret(pi, X, SEED)
    drawn = iter([7, 0, 1, 5])
    assert new_secret(roll(2), drawn.__next__, HERE).x == 5


def test_no_secret_is_shown() -> None:
    secret, before = secret_for(3), roll(3)
    shown = repr(secret) + repr(mix(place(3), before, secret, HERE))
    for hidden_value in (secret.seed.hex(), repr(secret.seed), str(secret.x), str(list(secret.pi))):
        assert hidden_value not in shown
    assert pickle.loads(pickle.dumps(secret)) == secret


def test_generators_are_of_one_election_and_all_different() -> None:
    key = generators_key(MANIFEST)
    elements = [numbered_element(key, i).raw for i in range(200)]
    assert len({*elements, G.raw, bytes(32)}) == 202
    assert numbered_element(generators_key(REHEARSAL), 0).raw not in elements
    assert len({numbered_scalar(key, i) for i in range(200)}) == 200
