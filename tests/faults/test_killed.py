"""Every process failing at every step, and killed there, and killed at random, while entries come in."""

from __future__ import annotations

import random
import time

import pytest

from infra import failpoints
from tests.faults.client import PATIENCE, Client

PASSES = {
    "intake": ("outbox.", "mover."),
    "ingress": ("queue.stor",),
    "egress": ("queue.delet",),
    "tally": ("sequencer.",),
    "custodian-1": ("custodian.",),
}
"""By zone, how the failpoints begin that it comes to."""
FOLDER = "custodian-2"
RANDOM_SECONDS = 8.0


def points(zone: str) -> list[str]:
    return [name for name in failpoints.NAMES if name.startswith(PASSES[zone])]


def test_every_failpoint_is_some_zones() -> None:
    assert sorted(name for zone in PASSES for name in points(zone)) == sorted(failpoints.NAMES)


@pytest.mark.parametrize("zone", PASSES)
def test_two_storage_errors_in_a_row_at_every_failpoint_and_then_killed_there(client: Client, zone: str) -> None:
    zones = client.zones
    with client.load():
        zones.kill(zone)
        for name in points(zone):
            # Before a commit, what failed is lost; after it, it is stored and reported lost.
            zones.start(zone, at=name, fail=[1, 2], kill=[3])
            assert zones.process(zone).wait(PATIENCE), f"does not come to {name} three times"
            assert not zones.said(zone, "broke"), f"ends by itself at {name}"
        zones.start(zone)
        client.grows()
    client.check()
    client.check_ledger()


def test_a_folder_killed_at_every_failpoint_that_it_comes_to(client: Client) -> None:
    zones = client.zones
    with client.load():
        zones.kill(FOLDER)
        for name in points("custodian-1"):
            # There is no transaction in which it could be.
            if name != "custodian.committing":
                zones.start(FOLDER, at=name, kill=[1])
                assert zones.process(FOLDER).wait(PATIENCE), f"does not come to {name}"
        zones.start(FOLDER)
    client.check()


def test_killed_at_random(client: Client) -> None:
    zones, dice = client.zones, random.Random(1)
    end = time.monotonic() + RANDOM_SECONDS
    with client.load():
        while time.monotonic() < end:
            zones.kill(*dice.sample(zones.names, dice.choice([1, 1, 2, 7])))
            time.sleep(dice.uniform(0, 0.5))
            zones.start()
            time.sleep(dice.uniform(0.5, 2.0))
        client.grows()
    client.check()
    client.check_ledger()
