"""The end of the vote: while its two intakes drain and give their accounts, and while the officials close it, every
process is killed at every step. Every ballot that was promised is in the log once, and the vote is closed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from infra import failpoints
from infra.postgres import Cluster
from tests.faults.client import PATIENCE, Client
from tests.faults.conftest import Counted, new_origin
from tests.faults.voting import Voting
from tests.faults.zones import Zones, zones

TALLY = [name for name in failpoints.NAMES if name.startswith("sequencer.")]
STORES = [f"custodian.{step}" for step in ("storing", "committing", "stored")]
COSIGNS = [f"custodian.{step}" for step in ("storing", "committing", "cosigned", "publishing", "published")]
"""What it has stored it need not be sent again: killed there, it does not come to cosigning it as new."""
SETTLES = ["outbox.settling", "outbox.settled"]
PASSES_ON = ["mover.offered", "mover.put", "mover.passed-on"]
DRAINS = ["outbox.draining", "outbox.drained"]


@pytest.fixture
def voting(cluster: Cluster, counted: Counted) -> Iterator[Voting]:
    """Two intakes, and voting is open."""
    with zones(cluster, new_origin(), intakes=2) as town:
        town.start()
        client = Client(town)
        counted(client)
        made = Voting(client)
        made.begin()
        yield made


def killed_at_each(town: Zones, name: str, points: Sequence[str]) -> None:
    """A zone that does not run, killed at one step after another, and running in the end."""
    for point in points:
        town.start(name, at=point, kill=[1])
        assert town.process(name).wait(PATIENCE), f"{name} does not come to {point}"
    town.start(name)


def all_at_once(town: Zones, points: dict[str, Sequence[str]]) -> None:
    with ThreadPoolExecutor(len(points)) as executor:
        for done in [executor.submit(killed_at_each, town, *one) for one in points.items()]:
            done.result()


def test_killed_at_every_step_of_closing(voting: Voting) -> None:
    client, town = voting.client, voting.client.zones
    town.kill("tally", "custodian-1")
    for account in voting.accounts(12):
        voting.vote(account, town.intakes[account % 2])
    closing = voting.act("closing", client.size("custodian-0"))
    assert client.hand_in(closing)
    client.wait(lambda: (voting.waiting("ballot"), voting.waiting("closing")) == (12, 1))

    # Ballots are still on their way when the closing is recorded, or after it.
    town.kill(*town.intakes)
    all_at_once(town, {"tally": TALLY, "custodian-1": STORES})
    client.wait(lambda: client.size("custodian-0") >= len(voting.meeting.entries) + 13)
    town.kill("tally", "custodian-1")
    all_at_once(town, dict.fromkeys(town.intakes, [*SETTLES, *DRAINS, *PASSES_ON]))

    voting.expect(*map(voting.account, town.intakes))
    client.wait(lambda: voting.waiting("reconcile") == 2)
    town.kill(*town.intakes)
    all_at_once(town, {"tally": TALLY, "custodian-1": COSIGNS} | dict.fromkeys(town.intakes, SETTLES))
    client.check()

    close = voting.act("close", client.size("custodian-0"), overruled=[])
    town.kill("tally", "custodian-1", "intake")
    town.start("intake")
    assert client.hand_in(close)
    town.kill("intake")
    all_at_once(town, {"tally": TALLY, "custodian-1": COSIGNS, "intake": PASSES_ON + SETTLES})
    client.check()
    client.check_ledger()
    election = voting.replayed()
    assert (election.phase, election.ballots, election.overruled) == ("closed", 12, ())
