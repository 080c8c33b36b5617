"""Trees that custodians show and nobody publishes: what more than one says is weighed, and a claim to hold more than
the ledger is looked at before anything new is staged, but not for ever.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from audit.log.tiles import WIDTH, frame
from tally.sequencer import courier, push
from tally.sequencer.courier import LedgerBehind
from tally.sequencer.ledger import Ledger
from tally.sequencer.push import Push, Stopped
from tests.loopback import PATIENCE
from tests.sequencer.house import HostDisk, House, Liar
from tests.sequencer.test_forks import another, counts, shows
from tests.sequencer.test_recovery import signed_and_sent_to_one
from tests.sequencer.test_rekeying import made_up


def cosigned_and_not_published(house: House, ballot: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sequencer stages a ballot, has it cosigned by custodians 0 and 1, and is gone."""

    def gone(*_: object) -> None:
        raise Stopped

    house.vault.down(2)
    house.queue.put(ballot)
    with house.opened() as sequencer, monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(Push, "publish", gone)
        sequencer.step()


def test_a_lost_ledger_is_read_back_from_w_that_show_one_tree_though_nobody_publishes_it(
    open_house: House,
    other_ledger: Ledger,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    true, ballot = list(open_house.ledger.all_entries()), open_house.ballot(0)
    cosigned_and_not_published(open_house, ballot, monkeypatch)
    assert open_house.vault.size(0) == open_house.vault.size(1) == len(true)
    forged = [*true, open_house.ballot(1), open_house.ballot(2)]
    made_up(open_house, tmp_path, forged, open_house.meeting.parties.log)
    with replace(open_house, ledger=other_ledger).sequencer():
        assert list(other_ledger.all_entries()) == [*true, ballot]
    assert '"event": "fork"' in capsys.readouterr().err


def test_more_longer_trees_than_can_be_spared_are_waited_for_though_the_mark_fits(open_house: House) -> None:
    size = open_house.ledger.newest().size
    for i in (1, 2):
        shows(open_house, i, another(open_house, size + i))
    with pytest.raises(TimeoutError), open_house.sequencer(behind=True):
        pass
    assert open_house.ledger.newest().size == size


def test_who_claims_more_is_waited_for_until_it_has_given_it(
    open_house: House, other_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "HEAR_MARKED_SECONDS", PATIENCE)
    copy, ballot = replace(open_house, ledger=other_ledger, mark=HostDisk()), open_house.ballot(0)
    copy.record()
    signed_and_sent_to_one(open_house, ballot)
    copy.vault.lies(2, 200, frame([ballot]), where="/held/", pause=0.5)
    with pytest.raises(LedgerBehind, match="holds"), copy.opened():
        pass


def test_who_claims_more_and_gives_entries_without_end_is_not_read_for_ever(
    open_house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (courier, push):
        monkeypatch.setattr(module, "CLAIM_SECONDS", 0.3)
    shows(open_house, 2, another(open_house, 1 << 40))
    open_house.vault.apps[2] = Liar(open_house.vault.apps[2], 200, [frame([b"x"] * WIDTH)], where="/held/")
    assert counts(open_house) == 3
    assert f'"size": {1 << 40}' in capsys.readouterr().err


def test_entries_that_do_not_lead_to_the_tree_are_no_claim(open_house: House) -> None:
    shows(open_house, 2, another(open_house, open_house.ledger.newest().size + 1))
    open_house.vault.apps[2] = Liar(open_house.vault.apps[2], 200, [frame([b"junk"])], where="/held/")
    assert counts(open_house) == 3
