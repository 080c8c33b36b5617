"""What a custodian and a follower tell of themselves to those who run them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from audit.protocol.refused import Refused
from infra.metrics import Metrics
from tests.infra.test_private import told
from tests.vault.conftest import NOW, Served
from tests.vault.fixed_keys import FixedKeys
from vault.custodian.alarms import CODES
from vault.custodian.custody import Custodian
from vault.custodian.figures import add_custody, add_following, follower_readiness, readiness, timed
from vault.custodian.storage import Damaged

MARK = "3fa5c1d2e4b60789"


def test_it_says_how_much_it_holds_and_how_much_it_serves(served: Served, tmp_path: Path) -> None:
    metrics, log = Metrics(), served.log
    add_custody(metrics, served.store(), [log.origin], tmp_path)
    served.fill(3)
    served.cosigned(log.append(log.grow(2)))
    figures = told(metrics)
    assert figures[f'log_size{{log="{log.origin}"}}'] == 5
    assert figures[f'published_size{{log="{log.origin}"}}'] == 3
    assert figures["disk_free_bytes"] > 1 << 20


def test_how_long_an_append_takes_is_noted_when_it_is_done_and_not_when_it_is_refused() -> None:
    metrics, now = Metrics(), [0.0]

    def append(origin: str, body: bytes) -> bytes:
        now[0] += 0.2
        if body == MARK.encode():
            raise Refused("wrong-proof", MARK)
        return b"lines"

    measured = timed(metrics, append, lambda: now[0])
    assert measured("vote.example", b"x") == b"lines"
    with pytest.raises(Refused):
        measured("vote.example", MARK.encode())
    assert told(metrics)["append_seconds_count"] == 1
    assert told(metrics)["append_seconds_sum"] == pytest.approx(0.2)
    assert MARK not in metrics.text().decode()


def test_it_is_ready_unless_it_may_not_sign(served: Served) -> None:
    log, refusals = served.log, [Refused("clock-leapt", "by a day"), Refused("examining", "still")]

    def clock() -> int:
        if refusals:
            raise refusals.pop()
        return NOW + 1_000_000

    custodian = Custodian(served.store(), {log.origin: FixedKeys(log.policy)}, (), clock)
    ready = readiness(custodian, [log.origin])
    assert [ready(), ready(), ready()] == ["examining", "clock-leapt", ""]

    def damaged(origin: str) -> None:
        raise Damaged(MARK)

    custodian.kept.newest = damaged  # type: ignore[method-assign, assignment]
    assert ready() == "damaged"


def test_a_followers_alarms_are_figures_and_the_worst_is_why_it_is_not_ready() -> None:
    metrics, raised = Metrics(), Counter({"shrunken": 2, MARK: 1})
    follower = SimpleNamespace(alarms=SimpleNamespace(raised=raised), compared=7, rounds=0, whole=False)
    add_following(metrics, follower)  # type: ignore[arg-type]
    ready = follower_readiness(follower)  # type: ignore[arg-type]
    assert ready() == "not-ready"
    follower.rounds, follower.whole = 3, True
    assert ready() == ""
    figures = told(metrics)
    assert figures['alarms_total{alarm="shrunken"}'] == 2
    assert (figures["compared_bundles_total"], figures["rounds_total"]) == (7, 3)
    assert all(f'alarms_total{{alarm="{kind}"}}' in metrics.text().decode() for kind in CODES)
    # They are counters, which a restart alone sets back: what has been told is not added again.
    raised["shrunken"], follower.rounds = 3, 4
    assert {'alarms_total{alarm="shrunken"}': 3.0, "compared_bundles_total": 7.0, "rounds_total": 4.0}.items() <= (
        told(metrics).items()
    )
    assert "# TYPE psephos_alarms_total counter" in metrics.text().decode()
    assert MARK not in metrics.text().decode()
    raised["fork"] += 1
    assert ready() == "fork"
