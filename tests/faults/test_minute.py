"""Machines that hang for a real minute, with everybody waiting as long as in production: a custodian, and, in the midst
of staging, the tally that sequences while another stands by.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from infra.postgres import Cluster
from tests.faults.client import Client
from tests.faults.conftest import Counted, new_origin
from tests.faults.zones import zones

MINUTE = 60.0
ROUND = 8
"""Of the first tally, in which it hangs: its transaction is open, and the next step would be to sign."""
SIGNS = ["sequencer.signed", "sequencer.signature-stored"]


@pytest.fixture
def client(cluster: Cluster, counted: Counted) -> Iterator[Client]:
    """Two tallies on one ledger, of which `tally` sequences."""
    with zones(cluster, new_origin(), sequencers=2, patient=True) as town:
        made = Client(town)
        counted(made)
        town.start("tally", at="sequencer.staging", stop=[ROUND], tells=SIGNS)
        made.wait(lambda: bool(town.said("tally", "leading")))
        town.start()
        made.wait(lambda: bool(town.said("tally-1", "standing-by")))
        made.found()
        yield made


def test_a_custodian_and_the_tally_that_sequences_hang_for_a_minute(client: Client) -> None:
    town = client.zones
    with client.load():
        client.wait(lambda: town.process("tally").hangs)
        hangs_until = time.monotonic() + MINUTE
        town.stop("custodian-1")
        before, signed = client.size("custodian-0"), len(town.said("tally", "came-to"))
        client.grows()
        assert town.said("tally-1", "leading"), "nobody has taken over"
        client.grows(by=50)
        time.sleep(max(0.0, hangs_until - time.monotonic()))
        during = client.size("custodian-0")
        town.go_on("custodian-1", "tally")
        client.wait(lambda: bool(town.said("tally", "leading-lost")))
        client.wait(lambda: client.size("custodian-1") >= during > before + 50)
        client.grows()
    client.check()
    client.check_ledger()
    assert len(town.said("tally", "came-to")) == signed > 0, "it has signed on after another took over"
    assert all(town.zones[name].alive for name in town.names)
    # It stands by, and sequences again when it is its turn.
    town.kill("tally-1")
    with client.load():
        client.grows()
    client.check()
    client.check_ledger()
