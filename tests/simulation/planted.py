"""Faults planted in the code under test, one each: what a schedule must find."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tally.sequencer.decide import Decision
from tally.sequencer.ledger import Stage
from tally.sequencer.sequence import Checked, Sequencer


class Plant:
    """What a schedule is run with: as it is, or with a fault planted, which a schedule must find."""

    Sequencer: type[Sequencer] = Sequencer
    lazy_disks = False
    compares = True
    marks = True

    def failpoint(self, name: str) -> None:
        """Is told of every failpoint that is passed."""


class Eager:
    """A ledger whose transactions have a tree signed while it is being staged."""

    def __init__(self, ledger: Any, sign: Any) -> None:
        self._ledger, self._sign = ledger, sign

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    @contextmanager
    def begin(self) -> Iterator[Any]:
        with self._ledger.begin() as transaction:
            yield transaction
            for stage, _ in transaction.stages:
                self._sign(stage)


class SignsFirst(Sequencer):
    """Signs a tree before it is staged."""

    def _stage(self, checked: Checked) -> tuple[Decision, Stage | None]:
        ledger: Any = self._ledger
        self._ledger = Eager(ledger, lambda stage: self.signed_note(stage, self.election.manifest))
        try:
            return super()._stage(checked)
        finally:
            self._ledger = ledger


class DoesNotWait(Sequencer):
    """Acknowledges to the queue what is sent to the custodians, before W of them have it."""

    def finish(self, stage: Stage) -> None:
        self._mark.set(stage)
        note = self._ledger.signed(stage.size) or self._sign(stage)
        self._push.send(stage, note, self.election.manifest)


class SignBeforeStage(Plant):
    Sequencer = SignsFirst


class AckBeforeW(Plant):
    Sequencer = DoesNotWait


class NoFsync(Plant):
    lazy_disks = True


class NoMark(Plant):
    """An old copy of the ledger that lacks what is not published yet is gone on with."""

    marks = False


class NoSwap(Plant):
    """Two sequencers on one ledger that does not compare."""

    compares = False
