"""No way between two zones, for a while: neither way, or only for the answers. Everything that was acknowledged is
recorded once all the same.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.client import Client
from tests.faults.network import HERE
from tests.faults.spawner import SHORTER

OUTLASTS = SHORTER["tally.sequencer.custodian.TIMEOUT"] + 1.0
"""Seconds; longer than any of the zones waits for an answer."""

# Who asks, whom, and whether the log grows all the same.
PAIRS = {
    "intake and queue": ("intake", ["ingress"], True),
    "queue and tally": ("tally", ["egress"], False),
    "tally and a custodian": ("tally", ["custodian-0"], True),
    "tally and two custodians": ("tally", ["custodian-0", "custodian-1"], False),
    "intake and all custodians": ("intake", ["custodian-0", "custodian-1", "custodian-2"], True),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_no_way_between(client: Client, pair: str) -> None:
    zones, (asks, others, goes_on) = client.zones, PAIRS[pair]
    with client.load():
        client.grows("custodian-2")
        for direction in ("both", "answers"):
            for other in others:
                zones.cut(other, asks)
                if direction == "both":
                    zones.cut(asks, other)
            if goes_on:
                client.grows("custodian-2")
                time.sleep(OUTLASTS)
            else:
                client.stands_still("custodian-2", OUTLASTS)
            zones.network.heal()
            client.grows("custodian-2")
    client.check()
    client.check_ledger()


def test_no_way_between_a_reader_and_a_custodian(client: Client) -> None:
    """Others serve the same log meanwhile."""
    with client.load():
        client.zones.cut("custodian-0", HERE)
        client.grows("custodian-1")
        assert client.size("custodian-0") == 0
        client.zones.network.heal()
        client.wait(lambda: client.size("custodian-0") > 0)
    client.check()


def test_no_way_between_a_client_and_intake(client: Client) -> None:
    """It does not know whether its entry was accepted, and hands it in again: it is recorded once."""
    zones = client.zones
    entries = client.entries(5)
    zones.cut("intake", HERE)
    with ThreadPoolExecutor(len(entries)) as holders:
        assert not any(holders.map(lambda entry: client.hand_in(entry, patience=0), entries))
    zones.network.heal()
    for entry in entries:
        assert client.hand_in(entry)
    client.check()


def test_a_custodian_that_is_stopped_for_a_while_is_behind_and_catches_up(client: Client) -> None:
    zones = client.zones
    with client.load():
        zones.stop("custodian-1")
        client.grows()
        before = client.size("custodian-0")
        time.sleep(2 * OUTLASTS)
        client.grows()
        zones.go_on("custodian-1")
        client.wait(lambda: client.size("custodian-1") > before)
    client.check()


@pytest.mark.parametrize("name", ["tally", "egress", "ingress", "intake"])
def test_a_zone_that_is_stopped_for_a_while_goes_on_where_it_was(client: Client, name: str) -> None:
    zones = client.zones
    with client.load():
        client.grows()
        zones.stop(name)
        time.sleep(OUTLASTS)
        zones.go_on(name)
        client.grows()
    client.check()
    client.check_ledger()
