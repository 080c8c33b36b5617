"""Proofs of ballots, each checked by the real code once and never again: whether they hold depends on the ballot and
its row's weight alone, and what is simulated is not what they prove. Two thousand schedules would else spend their
time on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from audit.protocol.elgamal import Ciphertext
from audit.protocol.refused import Refused
from audit.record.checker import BallotChecker
from audit.record.entries import read_text

_verdicts: dict[tuple[bytes, bytes, bytes], Refused | None] = {}


class Pool:
    """As `infra.workers.CheckingPool`, in the caller's turn."""

    def __init__(self, checker: BallotChecker) -> None:
        self._checker = checker

    def check_texts(self, pairs: Sequence[tuple[bytes, Ciphertext]]) -> list[Refused | None]:
        return [self._verdict(*pair) for pair in pairs]

    def submit_text(self, text: bytes, weight: Ciphertext) -> Future[list[Refused | None]]:
        future: Future[list[Refused | None]] = Future()
        future.set_result([self._verdict(text, weight)])
        return future

    def close(self) -> None:
        pass

    def _verdict(self, text: bytes, weight: Ciphertext) -> Refused | None:
        key = self._checker.manifest, text, weight.raw
        if key not in _verdicts:
            _verdicts[key] = None
            try:
                self._checker.check_ballot(read_text(text), weight)
            except Refused as refusal:
                _verdicts[key] = refusal
        return _verdicts[key]
