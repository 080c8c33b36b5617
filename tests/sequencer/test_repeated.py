"""Every entry comes three times through the real queue, in random order and random bundles, and acknowledgements are
lost: each stands in the log exactly once.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable

import pytest

from audit.record.entries import parse_entry, seal
from infra.postgres import Cluster
from infra.queue import schema as queue_schema
from infra.queue.egress import LEASE_SECONDS, Outlet
from infra.queue.frames import Row
from infra.queue.ingress import Inlet
from tests.databases import make_database
from tests.sequencer.house import House

TIMES = 3


class Forgetful:
    """The real queue's way out, as tally meets it: of its acknowledgements one in three is lost, and every lease ends
    before the next take.
    """

    def __init__(self, outlet: Outlet, dice: random.Random) -> None:
        self.outlet, self.dice = outlet, dice

    def begin(self) -> None:
        pass

    def take(self, most: int) -> list[Row]:
        return self.outlet.take(self.dice.randint(1, most))

    def ack(self, keys: Iterable[bytes]) -> None:
        kept = [key for key in keys if self.dice.randrange(3)]
        self.outlet.ack(kept)


@pytest.mark.parametrize("seed", range(2))
def test_three_times_in_random_order_is_once_in_the_log(open_house: House, cluster: Cluster, seed: int) -> None:
    house, dice = open_house, random.Random(seed)
    made = make_database(cluster, "queue", lambda connection, role: queue_schema.install(connection, role, role))
    moments = iter(range(0, 10**9, int(LEASE_SECONDS) + 1))
    house.queue = Forgetful(Outlet(made.engine, lambda: float(next(moments))), dice)
    ballots = [raw for account in range(len(house.meeting.accounts)) for raw in cast(house, account)]
    again = ballots * TIMES
    dice.shuffle(again)
    inlet, before = Inlet(made.engine, dice.randbytes), len(house.vault.entries())
    try:
        with house.opened() as sequencer:
            end = time.monotonic() + 60
            while again:
                size = dice.randint(1, 7)
                inlet.store(again[:size])
                del again[:size]
                sequencer.step()
            while sequencer.step():
                assert time.monotonic() < end, "acknowledged entries come again and again"
    finally:
        made.close()
    log = house.vault.entries()[before:]
    identities = [entry.identity for entry in log if entry.kind == "ballot"]
    refused = [(entry.fields["identity"], entry.fields["intake"]) for entry in log if entry.kind == "refusal"]
    assert len(set(identities)) == len(identities) and len(set(refused)) == len(refused)
    # Each is answered once as each intake handed it in: recorded, or refused since it stands there already, or since a
    # higher revision does.
    answered = {(entry.identity, entry.signatures[0].name) for entry in log if entry.kind == "ballot"} | set(refused)
    assert answered == {(parse_entry(raw).identity, parse_entry(raw).signatures[0].name) for raw in ballots}
    highest = {entry.fields["pseudonym"]: entry.fields["revision"] for entry in log if entry.kind == "ballot"}
    assert set(highest.values()) == {1}
    assert house.replay().size == len(house.vault.entries())


def cast(house: House, account: int) -> list[bytes]:
    """What comes of one account: two revisions, and the second, in the same words, through the other intake too."""
    first, second = house.ballot(account, 0), house.ballot(account, 1)
    return [first, second, seal(parse_entry(second).text, [house.meeting.parties.intakes[1]])]
