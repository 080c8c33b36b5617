"""Mixing a roll and verifying the mix: the cost of a row beside that of one scalar multiplication, and the memory.

On one core, in CPU seconds, multiplications measured between the chunks.
"""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from audit.protocol.elgamal import Ciphertext
from audit.protocol.group import G, hash_to_element, wide_scalar
from audit.protocol.shuffle import mix, verify_shuffle
from audit.protocol.shuffle_rows import MixedRow, Row, ShuffleProof
from audit.protocol.shuffle_secret import new_secret
from audit.protocol.shuffle_statement import Place
from audit.protocol.transcript import Context
from tests.bench.figure import Figure, at_most

SIZES = (1_000, 5_000)
LARGE = (1_000, 100_000)
BOUND = 16
"""Scalar multiplications a row, for mixing and proving and for verifying."""


class OneCore(Executor):
    """Does the work where it is submitted, and some multiplications after each chunk: what else the machine does then
    slows down both alike."""

    ROUNDS = 100

    def __init__(self) -> None:
        self.element, self.scalar = hash_to_element(os.urandom(64)), draw()
        self.spent, self.count = 0.0, 0

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(work(*arguments, **named))
        start = time.process_time()
        for _ in range(self.ROUNDS):
            self.scalar * self.element
        self.spent += time.process_time() - start
        self.count += self.ROUNDS
        return done

    def measure(self, work: Callable[[], Any]) -> tuple[float, float]:
        """CPU seconds of one multiplication, and of the work without the multiplications measured."""
        self.spent, self.count = 0.0, 0
        start = time.process_time()
        work()
        return self.spent / self.count, time.process_time() - start - self.spent


def draw() -> int:
    return wide_scalar(os.urandom(64))


def measure(sizes: tuple[int, ...] = SIZES) -> list[Figure]:
    """The figures for lists of these sizes."""
    return [figure for N in sizes for figure in measure_list(N)]


def measure_list(N: int) -> list[Figure]:
    Y, before = draw() * G, roll(N)
    place = Place(Context(os.urandom(32), Y), "common", "mixer", 1, G, N)
    core = OneCore()

    rows: list[MixedRow] = []
    generator, proof = G, ShuffleProof(0, 0, 0, 0, 0, 0)

    def prove() -> None:
        nonlocal generator, proof
        mixed = mix(place, before, new_secret(before, draw, core), core)
        generator, proof = mixed.generator, mixed.proof
        rows.extend(mixed.rows())

    one, proving = core.measure(prove)
    another, verifying = core.measure(lambda: verify_shuffle(place, generator, proof, before, rows, core))
    written = [row.to_json() for row in rows]
    start = time.process_time()
    for row in written:
        MixedRow.from_json(row)
    reading = time.process_time() - start

    tracemalloc.start()
    verify_shuffle(place, generator, proof, before, rows, core)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return [
        Figure(f"{N:,} rows: one scalar multiplication", f"{one * 1e6:.1f} us"),
        at_most(f"{N:,} rows: mixing and proving, multiplications a row", proving / N / one, BOUND, "{:.1f}"),
        at_most(f"{N:,} rows: verifying, multiplications a row", verifying / N / another, BOUND, "{:.1f}"),
        Figure(f"{N:,} rows: reading a row from JSON, multiplications", f"{reading / N / another:.1f}"),
        Figure(f"{N:,} rows: memory taken while verifying", f"{peak / 1e6:.1f} MB"),
    ]


def roll(N: int) -> list[Row]:
    """N different keys and ciphertexts, by additions alone: what they hold makes no difference to the cost."""
    step = [hash_to_element(os.urandom(64)) for _ in range(3)]
    rows, last = [], step
    for _ in range(N):
        last = [element + by for element, by in zip(last, step, strict=True)]
        rows.append(Row(last[0], Ciphertext(last[1], last[2])))
    return rows

