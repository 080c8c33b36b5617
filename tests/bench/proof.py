"""Verifying one choose-one contest of three choices: how many group operations it takes, and its time beside theirs."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pysodium

from audit.protocol.contest import ContestForm, prove_contest, verify_contest
from audit.protocol.elgamal import encrypt
from audit.protocol.group import G, wide_scalar
from audit.protocol.transcript import Context, Transcript
from tests.bench.figure import Figure, at_most

OPERATIONS = {
    "crypto_scalarmult_ristretto255": "variable-base multiplications",
    "crypto_scalarmult_ristretto255_base": "fixed-base multiplications",
    "crypto_core_ristretto255_add": "additions",
    "crypto_core_ristretto255_sub": "additions",
}
FORM = ContestForm("nominee-1", "choose-one", 3, 1)
ROUNDS, REPEATS = 9, 60


def draw() -> int:
    return wide_scalar(os.urandom(64))


def measure() -> list[Figure]:
    """The figures of the proof."""
    Y, w = draw() * G, 119_067
    E = encrypt(w, Y, draw())
    context = Context(bytes(32), Y, bytes(32))
    vote = prove_contest(Transcript("bench", context), FORM, Y, E, (0, 1, 0), draw)

    def verify() -> None:
        verify_contest(Transcript("bench", context), FORM, Y, E, vote)

    with counted() as counts:
        verify()
    n, P, Q = draw().to_bytes(32, "little"), (draw() * G).raw, (draw() * G).raw
    cost = dict.fromkeys(OPERATIONS.values(), float("inf"))
    took = float("inf")
    # In turns, each the least of several rounds, so that a machine that is busy for a while slows all of them or none.
    for _ in range(ROUNDS):
        took = min(took, seconds(verify, REPEATS))
        for name, call in (
            ("variable-base multiplications", lambda: pysodium.crypto_scalarmult_ristretto255(n, P)),
            ("fixed-base multiplications", lambda: pysodium.crypto_scalarmult_ristretto255_base(n)),
            ("additions", lambda: pysodium.crypto_core_ristretto255_add(P, Q)),
        ):
            cost[name] = min(cost[name], seconds(call, REPEATS * 4))
    ideal = sum(counts[name] * cost[name] for name in cost)
    return [
        *(Figure(name, str(counts[name]), f"{each * 1e6:.1f} us each") for name, each in cost.items()),
        Figure("one verification", f"{took * 1e6:.0f} us", f"{ideal * 1e6:.0f} us by its operations"),
        at_most("time divided by that of its group operations", took / ideal, 1.25),
    ]


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Counts the group operations that happen within."""
    counts: Counter[str] = Counter()
    before = {name: getattr(pysodium, name) for name in OPERATIONS}

    def counting(name: str) -> Callable[..., bytes]:
        def call(*arguments: bytes) -> bytes:
            counts[OPERATIONS[name]] += 1
            return before[name](*arguments)  # type: ignore[no-any-return]

        return call

    for name in OPERATIONS:
        setattr(pysodium, name, counting(name))
    try:
        yield counts
    finally:
        for name, function in before.items():
            setattr(pysodium, name, function)


def seconds(call: Callable[[], object], repeats: int) -> float:
    """CPU seconds that one call takes."""
    start = time.process_time()
    for _ in range(repeats):
        call()
    return (time.process_time() - start) / repeats
