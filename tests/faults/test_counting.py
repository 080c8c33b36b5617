"""What every test of faults ends with finds what it looks for: an entry that is nowhere, a tile, head or stage that is
not of the log.
"""

from __future__ import annotations

import pytest

from audit.log.reader import ReadError
from tests.faults.client import Client
from tests.vault.damage import Damage


def damage(client: Client, zone: str) -> Damage:
    return Damage(client.zones.databases[zone], client.zones.meeting.origin)


def test_a_stage_with_another_root(founded: Client) -> None:
    founded.check_ledger()
    damage(founded, "tally").flip("stage", "root", "size = 1")
    with pytest.raises(AssertionError, match=r"tally notes other trees of \[1\] entries"):
        founded.check_ledger()


def test_a_head_with_another_root(founded: Client) -> None:
    founded.check()
    damage(founded, "custodian-0").flip("head", "root", "size = 1")
    with pytest.raises(AssertionError, match=r"custodian-0 notes other trees of \[1\] entries"):
        founded.check("custodian-1")


def test_a_tile_with_another_hash(founded: Client) -> None:
    damage(founded, "custodian-1").flip("entry", "leaf", "index = 0")
    with pytest.raises(ReadError) as error:
        founded.check("custodian-0")
    assert error.value.reason == "wrong-tile"


def test_an_entry_that_is_in_no_log(founded: Client) -> None:
    (entry,) = founded.entries(1)
    founded.acknowledged.add(entry)
    assert founded.count(patience=0.0) == 1
    assert (len(founded.checked), founded.lost) == (2, 1)
    with pytest.raises(AssertionError, match="1 of 2 not recorded"):
        founded.check(patience=0.0)
