"""A ledger that ends in a stage which was never signed, and which is not what custodians show: an old copy, or a false
row. Nobody is accused of that, and the log's keys sign no second tree of its size on a host that has no mark.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tally.sequencer import push
from tally.sequencer.courier import Fork, LedgerBehind
from tally.sequencer.ledger import Ledger
from tests.loopback import PATIENCE, wait_until
from tests.sequencer.house import HostDisk, House
from tests.sequencer.test_rekeying import made_up
from tests.sequencer.test_staged import stage_by_hand


@pytest.fixture
def apart(open_house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """A ballot is staged; custodian 2 holds another in its place, signed with the log's keys."""
    monkeypatch.setattr(push, "HEAR_SECONDS", PATIENCE)
    with open_house.opened():
        pass
    before = list(open_house.ledger.all_entries())
    stage_by_hand(open_house.ledger, [open_house.ballot(0)])
    made_up(open_house, tmp_path, [*before, open_house.ballot(1)], open_house.meeting.parties.log)
    return open_house


def test_without_a_mark_it_is_not_signed_beside_a_signed_tree_of_its_size(apart: House, other_ledger: Ledger) -> None:
    size, unmarked = apart.ledger.newest().size, replace(apart, mark=HostDisk())
    with pytest.raises(LedgerBehind), unmarked.opened():
        pass
    said = f"stage of {size} entries that was never signed .* empty database"
    with pytest.raises(Fork, match=said), unmarked.sequencer(behind=True):
        pass
    assert apart.ledger.signed(size) is None
    # As it says.
    with replace(unmarked, ledger=other_ledger).sequencer():
        mine, other = list(apart.ledger.all_entries()), list(other_ledger.all_entries())
        assert (len(mine), mine[:-1]) == (len(other), other[:-1]) and mine != other


def test_with_a_mark_that_it_fits_it_goes_on_also_if_that_was_claimed_before(
    apart: House, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who has stolen the log's keys may have made the other. It may be signed here: the mark says that this host was
    about to.
    """
    apart.mark.of(apart.ledger).set(apart.ledger.newest())
    with pytest.raises(LedgerBehind) as behind, replace(apart, mark=HostDisk()).opened():
        pass
    with apart.sequencer(behind=True, claim=behind.value.claim) as sequencer:
        sequencer.open()
        wait_until(lambda: sequencer._push._couriers[2].apart)
    assert apart.vault.size(0) == apart.ledger.newest().size
    assert '"event": "fork"' in capsys.readouterr().err


def test_what_w_have_published_against_it_accuses_none_of_them(
    open_house: House, other_ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = replace(open_house, ledger=other_ledger, mark=HostDisk())
    copy.sequence()
    stage = stage_by_hand(other_ledger, [open_house.ballot(2)])
    for ballots in ((0,), (1,)):
        # Of its very size first, and then longer.
        open_house.sequence(*map(open_house.ballot, ballots))
        said = f"stage of {stage.size} entries that was never signed"
        with pytest.raises(Fork, match=said), copy.sequencer(behind=True):
            pass
    said = capsys.readouterr().err
    assert '"event": "fork"' not in said
    assert '"event": "not-adopted"' not in said


@pytest.mark.parametrize("marked", [True, False])
def test_all_are_asked_of_a_ledger_of_which_nothing_is_signed(house: House, marked: bool) -> None:
    stage = stage_by_hand(house.ledger, house.meeting.entries[:1])
    house.vault.down(2)
    if marked:
        house.mark.of(house.ledger).set(stage)
        with house.opened():
            assert house.vault.size(0) == stage.size
        return
    with pytest.raises(TimeoutError), house.sequencer():
        pass
    assert house.ledger.signed(stage.size) is None
