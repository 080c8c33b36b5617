"""Every process killed at every step, and at random, and every write failing twice, while entries come in."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

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
RANDOM_SECONDS = 12.0


def points(zone: str) -> list[str]:
    return [name for name in failpoints.NAMES if name.startswith(PASSES[zone])]


def test_every_failpoint_is_some_zones() -> None:
    assert sorted(name for zone in PASSES for name in points(zone)) == sorted(failpoints.NAMES)


@pytest.mark.parametrize("zone", PASSES)
def test_killed_at_every_failpoint(client: Client, zone: str) -> None:
    zones = client.zones
    with client.load():
        zones.kill(zone)
        for number, name in enumerate(points(zone)):
            zones.start(zone, at=name, times=[1 + number % 2], how="kill")
            assert zones.process(zone).wait(PATIENCE), f"does not come to {name}"
        zones.start(zone)
        client.grows()
    client.check()
    client.check_ledger()


@pytest.mark.parametrize("zone", PASSES)
def test_two_storage_errors_in_a_row_at_every_failpoint_and_then_a_reload(client: Client, zone: str) -> None:
    zones = client.zones
    with client.load():
        for name in points(zone):
            before = struck(client, zone, name)
            zones.restart(zone, at=name, times=[1, 2], how="fail")
            client.wait(lambda name=name, before=before: struck(client, zone, name) == before + 2)
            assert zones.zones[zone].alive, f"ends at {name}"
        zones.restart(zone)
        client.grows()
    client.check()
    client.check_ledger()


def struck(client: Client, zone: str, name: str) -> int:
    return client.zones.log(zone).read_text().count(f'{{"struck": "{name}"}}')


def test_a_folder_killed_at_every_failpoint_that_it_comes_to(client: Client) -> None:
    zones = client.zones
    names = [name for name in points("custodian-1") if name not in ("custodian.storing", "custodian.committing")]
    with client.load():
        zones.kill(FOLDER)
        for name in names:
            zones.start(FOLDER, at=name, times=[1], how="kill")
            assert zones.process(FOLDER).wait(PATIENCE), f"does not come to {name}"
        zones.start(FOLDER)
    client.check()


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random(client: Client, seed: int) -> None:
    zones, dice = client.zones, random.Random(seed)
    end = time.monotonic() + RANDOM_SECONDS
    strikes: list[Callable[[], object]] = [lambda name=name: zones.kill(name) for name in zones.names]
    with client.load():
        while time.monotonic() < end:
            for strike in dice.sample(strikes, dice.choice([1, 1, 2, 7])):
                strike()
            time.sleep(dice.uniform(0, 0.5))
            zones.start()
            time.sleep(dice.uniform(0.5, 2.5))
        client.grows()
    client.check()
    client.check_ledger()
