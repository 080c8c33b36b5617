"""What a proof of shuffle is about: the place of a mix, both lists, and the two challenges that depend on all of it."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar

from audit.protocol.group import Element, scalar_bytes
from audit.protocol.refused import Refused
from audit.protocol.shuffle_rows import MIXED_ROW_SIZE, ROW_SIZE, SHOWN_SIZE, MixedRow, Row, cut
from audit.protocol.transcript import Context, Transcript

CHUNK: Final = 64
"""Rows sent to a worker at once: some hundreds of multiplications, beside which sending costs nothing."""
IN_FLIGHT: Final = 64
"""Chunks sent ahead of the one whose result is due: what bounds memory, and how many cores can be busy."""

Result = TypeVar("Result")
Task = tuple[Callable[..., Result], tuple[object, ...]]
Pair = tuple[int, bytes, bytes]  # first row, rows of the former list (96 bytes each), mixed rows (224 bytes each)


@dataclass(frozen=True, slots=True)
class Place:
    """Which mix it is, as known before: the election, the class, who mixes as the how manieth, and the former list.

    Its rows, and the generator G_{k-1} that goes with them, are the output of the mix before, or for k = 1 the issuers'
    roll and G; all keys are distinct there and none is the identity.
    """

    context: Context  # manifest and Y
    roll: str  # the class
    mixer: str
    k: int  # from 1
    generator: Element  # G_{k-1}
    N: int  # rows

    @property
    def Y(self) -> Element:
        assert self.context.Y is not None, "rolls are mixed when there is a joint key"
        return self.context.Y

    def transcript(self) -> Transcript:
        """A transcript that has absorbed the place; every generator h_i is a function of the manifest's hash in it."""
        transcript = Transcript("shuffle", self.context)
        transcript.absorb("class", self.roll)
        transcript.absorb("mixer", self.mixer)
        transcript.absorb("k", self.k)
        transcript.absorb("G_k-1", self.generator)
        transcript.absorb("N", self.N)
        return transcript


class Lists:
    """A running hash of both lists and the commitments, row by row; every row has the same length."""

    def __init__(self) -> None:
        self._hash = hashlib.sha512()

    def take(self, before: bytes, after: bytes, stride: int) -> None:
        """Rows of the former list, and as many of the new one, `stride` bytes each, that begin with K || E || c."""
        for old, new in zip(cut(before, ROW_SIZE), cut(after, stride), strict=True):
            self._hash.update(old + new[:SHOWN_SIZE])

    def digest(self) -> bytes:
        return self._hash.digest()


def first_challenge(place: Place, G_k: Element, lists: bytes) -> tuple[Transcript, bytes]:
    """The transcript after the first challenge, and the key from which u_1..u_N are derived."""
    transcript = place.transcript()
    transcript.absorb("G_k", G_k)
    transcript.absorb("lists", lists)
    return transcript, scalar_bytes(transcript.challenge("u"))


def second_challenge(transcript: Transcript, chain: bytes, t: Iterable[Element]) -> int:
    """The challenge to all commitments. chain: SHA-512 over c_hat_j || t_hat_j of every row; t: t1 to t6."""
    transcript.absorb("chain", chain)
    for element in t:
        transcript.absorb("t", element)
    return transcript.challenge("challenge")


def paired(place: Place, before: Iterable[Row], after: Iterable[MixedRow]) -> Iterator[Pair]:
    """Both lists in chunks of bytes, rows of the same numbers together.

    Refused `wrong-length` unless the mixer publishes one row for each; ValueError if the former list has not N rows,
    for that is no mixer's doing.
    """
    old, new = iter(before), iter(after)
    for first in range(0, place.N, CHUNK):
        m = min(CHUNK, place.N - first)
        former = b"".join(row.raw for row in islice(old, m))
        mixed = b"".join(row.raw for row in islice(new, m))
        if len(former) != m * ROW_SIZE:
            raise ValueError(f"the former list has fewer than {place.N} rows")
        if len(mixed) != m * MIXED_ROW_SIZE:
            found = first + len(mixed) // MIXED_ROW_SIZE
            raise Refused("wrong-length", f"{place.mixer} publishes {found} rows for {place.N}", "rows")
        yield first, former, mixed
    if next(old, None) is not None:
        raise ValueError(f"the former list has more than {place.N} rows")
    if next(new, None) is not None:
        raise Refused("wrong-length", f"{place.mixer} publishes more than {place.N} rows", "rows")


def in_order(executor: Executor, tasks: Iterable[Task[Result]]) -> Iterator[Result]:
    """The results of the tasks in their order, computed by any executor; tasks are taken no faster than results are."""
    sent: deque[Future[Result]] = deque()
    try:
        for work, arguments in tasks:
            sent.append(executor.submit(work, *arguments))
            if len(sent) >= IN_FLIGHT:
                yield sent.popleft().result()
        while sent:
            yield sent.popleft().result()
    finally:
        for future in sent:
            future.cancel()
