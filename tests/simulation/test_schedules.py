"""A fault that is planted does not stay hidden for long, and a schedule is what its seed says."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from infra import failpoints
from tests.simulation.planted import (
    AckBeforeW,
    BelievesClaims,
    CosignsAnother,
    NoFsync,
    NoFsyncOfFiles,
    NoFsyncOfFolders,
    NoMark,
    NoSwap,
    NoSwapNoLock,
    OneWordEnds,
    Plant,
    RefusesSilently,
    SettlesAnybodys,
    SignBeforeStage,
    TellsNobody,
    WitnessesAnything,
)
from tests.simulation.schedule import run

ROOT = Path(__file__).parents[2]
FEW = 30
"""Within so many schedules a planted fault is found."""
MAY_LOSE = "custodian-[a-e] has cosigned [0-9]+ entries and may lose them"
CONTINUES_ANOTHER = "a stage continues [0-9]+ entries of a ledger that holds [0-9]+"
COSIGNED_TWICE = "two trees of [0-9]+ entries are cosigned, one by custodian-[a-e]"
NOT_SIMULATED = {
    *("outbox.renewing", "outbox.renewed", "outbox.learning", "outbox.restoring", "outbox.restored"),
    *("queue.restoring", "queue.restored"),
    *(name for name in failpoints.SELDOM if name.startswith(("pull.", "follower.", "rebuild.", "scrub."))),
}


TOLD = """
from hashlib import sha256
from tests.simulation.schedule import run
from tests.simulation.test_schedules import Plant, Votes
for plant in (Plant(), Votes()):
    for seed in (3, 7):
        print(sha256(repr(run(seed, plant)).encode()).hexdigest())
"""
"""What is printed of some schedules: of each the hash of all that it came to."""


class Votes(Plant):
    """No fault, and the whole vote."""

    votes = True


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        (SignBeforeStage(), "a tree of [0-9]+ entries is signed that is not staged"),
        (AckBeforeW(), "an entry is acknowledged to the queue that [0-9]+ custodians hold"),
        (NoFsync(), MAY_LOSE),
        (NoFsyncOfFiles(), MAY_LOSE),
        (NoFsyncOfFolders(), MAY_LOSE),
        (NoSwap(), CONTINUES_ANOTHER),
        (NoSwapNoLock(), CONTINUES_ANOTHER),
        (NoMark(), ".* (holds|shows) another tree of [0-9]+ entries, signed by this log's keys|" + COSIGNED_TWICE),
        (CosignsAnother(), "custodian-[a-e] has cosigned two trees of [0-9]+ entries"),
        (WitnessesAnything(), "the witness of custodian-[a-e] has signed two trees that do not continue each other"),
        (BelievesClaims(), "a ledger that was never restored is taken for an old copy: .*"),
        (OneWordEnds(), "tally [01] ends with Fork: .*"),
        (TellsNobody(), "a custodian shows another tree, and nobody is told"),
        (SettlesAnybodys(), "intake-[12] accounts for a ballot whose answer [0-9]+ custodians hold"),
        (RefusesSilently(), "an entry is acknowledged to the queue that [0-9]+ custodians hold"),
    ],
    ids=[
        "sign before stage",
        "acknowledge before W",
        "no fsync",
        "no fsync of a custodian's file",
        "no fsync of a custodian's folder",
        "no compare-and-swap",
        "no compare-and-swap and no lock",
        "no mark",
        "cosign another tree of one size",
        "witness a tree that does not continue the last",
        "believe a claim without entries",
        "end by one custodian's word",
        "tell nobody of a fork",
        "settle what came through another",
        "refuse without saying so",
    ],
)
def test_a_planted_fault_is_found_by_what_it_breaks(plant: Plant, found: str) -> None:
    """Whatever else it breaks in other schedules says nothing."""
    for seed in range(1, 1 + FEW):
        outcome = run(seed, plant)
        if any(re.fullmatch(found, text) for text in outcome.broken):
            assert f"python -m tests.simulation --seed {seed}" in outcome.report
            return
    pytest.fail(f"not found in {FEW} schedules")


def test_one_seed_is_one_schedule() -> None:
    """In any process: what a process draws for itself, as it does the order of its sets, changes nothing."""
    order = [{**os.environ, "PYTHONHASHSEED": seed} for seed in ("1", "2")]
    running = [Popen([sys.executable, "-c", TOLD], stdout=PIPE, env=env, cwd=ROOT) for env in order]
    first, second = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert first == second
    assert len(first.splitlines()) == 4


def test_every_failpoint_is_passed() -> None:
    """But the ones of what is not simulated: a copy is taken in, and what an older one does not know is learned."""
    passed = set[str]()

    class Noting(Votes):
        def failpoint(self, name: str) -> None:
            passed.add(name)

    simulated = {*failpoints.NAMES, *failpoints.SELDOM} - NOT_SIMULATED
    for seed in range(1, 1 + FEW):
        run(seed, Noting())
        if passed == simulated:
            return
    assert passed == simulated
