"""The processes that check ballots are killed at random, those of intake and those of tally, while ballots come in:
every ballot is taken and recorded, once, and refused are those alone that are false.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from audit.record.entries import parse_entry
from infra.postgres import Cluster
from infra.queue.ingress import Inlet
from tests.bench.processes import descendants
from tests.faults.client import Client
from tests.faults.conftest import Counted, new_origin
from tests.faults.power import command_of
from tests.faults.voting import Voting
from tests.faults.zones import HOLDERS, Zones, zones

VOTERS, FALSE = 4, 6
"""Who hand in at once, and ballots with a broken signature."""
PAUSE = 0.3
"""Seconds from one worker that is killed to the next."""
LEAST, MOST = 2, 8
"""How many of each zone are killed before the false ballots come, and at most before and after that: a machine on which
they die sooner than they can begin would never come to an end.
"""
ZONES = ("intake", "tally")


@pytest.fixture
def voting(cluster: Cluster, counted: Counted) -> Iterator[Voting]:
    with zones(cluster, new_origin(), workers=2) as town:
        town.start()
        client = Client(town)
        counted(client)
        made = Voting(client)
        made.begin()
        yield made


def workers(town: Zones, name: str) -> list[int]:
    """The processes that check ballots for a zone."""
    return sorted(pid for pid in descendants(town.process(name).pid) if "spawn_main" in command_of(pid))


@contextmanager
def killing(town: Zones) -> Iterator[dict[str, int]]:
    """Until the block ends, one worker after another, in turn of each zone, MOST at most; how many of each. A service
    that has ended, because those it started anew died as well, is started by its service manager.
    """
    dice, over, killed = random.Random(1), threading.Event(), dict.fromkeys(ZONES, 0)

    def kill() -> None:
        while not over.wait(dice.uniform(0, 2 * PAUSE)):
            for name in ZONES:
                if not town.zones[name].alive:
                    town.start(name)
            name = min(ZONES, key=killed.__getitem__)
            alive = workers(town, name)
            if killed[name] == MOST or not alive:
                continue
            with suppress(ProcessLookupError):
                os.kill(dice.choice(alive), signal.SIGKILL)
            killed[name] += 1
            town.faults += 1

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def test_workers_killed_at_random_lose_no_ballot_and_refuse_none_that_is_true(voting: Voting) -> None:
    client, town = voting.client, voting.client.zones
    true, false = voting.accounts(HOLDERS - FALSE), voting.accounts(FALSE)
    spoiled = [voting.spoiled(account, "intake") for account in false]
    with killing(town) as killed, ThreadPoolExecutor(VOTERS) as voters:
        list(voters.map(lambda account: voting.vote(account, "intake"), true))
        client.wait(lambda: min(killed.values()) >= LEAST)
    with killing(town):
        Inlet(town.databases["queue"].engine).store(spoiled)
        client.wait(lambda: len(voting.recorded("refusal")) >= FALSE)
    town.start()
    refusals = voting.recorded("refusal")
    voting.expect(*refusals)
    client.check()
    client.check_ledger()
    assert voting.replayed().ballots == len(true)
    refused = [parse_entry(raw).fields for raw in refusals]
    assert {fields["reason"] for fields in refused} == {"bad-signature"}
    assert sorted(fields["leaf"] for fields in refused) == sorted(parse_entry(raw).leaf for raw in spoiled)
