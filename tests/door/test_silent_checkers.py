"""The processes that check ballots are stopped while a crowd hands in: others take their place, and nobody is told to
come again.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from audit.protocol.elgamal import ZERO
from audit.protocol.refused import Refused
from infra import workers
from infra.workers import CheckingPool
from intake.door.reception import Answer, Reception
from tests.door.conftest import Place
from tests.door.test_overtaken import Desk


@pytest.fixture
def pool(place: Place) -> Iterator[CheckingPool]:
    made = CheckingPool(place.meeting.election.checker(), 1)
    made.submit_text(b"", ZERO).result(30)
    yield made
    made.close()


def test_a_crowd_whose_checkers_are_stopped(place: Place, pool: CheckingPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """All at one moment, so that all have waited long enough at one moment, too."""
    replaced, replace = list[int](), pool.replace

    def patient(silent: Future[list[Refused | None]]) -> None:
        # Others may take as long as they need.
        monkeypatch.setattr(workers, "SILENT_SECONDS", 60.0)
        replaced.append(len(pool._executor._processes))
        replace(silent)

    monkeypatch.setattr(pool, "replace", patient)
    monkeypatch.setattr(workers, "SILENT_SECONDS", 0.5)
    (stopped,) = list(pool._executor._processes)
    os.kill(stopped, signal.SIGSTOP)
    ballots = [place.text(account, revision=revision) for revision in range(8) for account in range(3)]

    async def crowd(desk: Reception) -> list[Answer | BaseException]:
        return await asyncio.gather(*map(desk.hand_in, ballots), return_exceptions=True)

    answers = asyncio.run(crowd(Desk(place, pool).reception))
    assert [repr(one) for one in answers if not isinstance(one, Answer)] == []
    assert stopped not in pool._executor._processes and replaced[0] == 1
