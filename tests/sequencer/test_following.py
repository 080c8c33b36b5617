"""Who stands by reads the ledger ahead: when its turn comes it reads the rest, and believes no more than one that
begins anew.
"""

from __future__ import annotations

import pytest
from sqlalchemy import text

from audit.log.keys import Signer
from audit.log.notes import Note
from audit.record.entries import parse_entry
from tally.sequencer.courier import LedgerBehind
from tally.sequencer.ledger import EMPTY, Damaged, Ledger, Stage
from tally.sequencer.sequence import Sequencer
from tests.databases import Database
from tests.sequencer.house import House
from tests.sequencer.test_staged import by_no_official, stage_by_hand


def follow(sequencer: Sequencer) -> Stage | None:
    """Reads all there is; the last stage, None if there was nothing to read."""
    reached = None
    while (stage := sequencer.follow()) is not None:
        reached = stage
    return reached


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the entries that are read from a ledger."""
    numbers, entries = list[int](), Ledger.entries

    def noting(ledger: Ledger, start: int, end: int) -> list[bytes]:
        numbers.extend(range(start, end))
        return entries(ledger, start, end)

    monkeypatch.setattr(Ledger, "entries", noting)
    return numbers


def test_when_its_turn_comes_only_the_rest_is_read(
    open_house: House, read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    size = open_house.ledger.newest().size
    following = open_house.term()
    assert follow(following.sequencer) == open_house.ledger.newest()
    open_house.record(open_house.ballot(0))
    assert follow(following.sequencer) == open_house.ledger.newest()
    open_house.record(open_house.ballot(1))
    compared = list[str]()
    monkeypatch.setattr(Ledger, "differing", lambda *_: compared.append("index"))
    read.clear()
    try:
        following.push.start()
        following.sequencer.open()
        assert set(read) == {size + 1} and not compared
        assert following.sequencer.election.ballots == 2
        open_house.queue.put(open_house.ballot(2))
        following.sequencer.step()
    finally:
        following.push.close()
        open_house.hang_up(following)
    assert open_house.replay().ballots == 3


def test_an_index_that_differs_is_put_right_when_its_turn_comes(
    open_house: House, ledger_databases: list[Database], capsys: pytest.CaptureFixture[str]
) -> None:
    ballot = open_house.ballot()
    open_house.record(ballot)
    with ledger_databases[0].owner.begin() as connection:
        of_log = {"origin": open_house.meeting.origin}
        connection.execute(text("DELETE FROM seen_recorded WHERE origin = :origin"), of_log)
    with open_house.sequencer() as sequencer:
        follow(sequencer)
        assert '"index-differs", "tables": 1' in capsys.readouterr().err
        sequencer.open()
        open_house.queue.put(ballot)
        sequencer.step()
        assert sequencer.figures.repeated == 1


def test_a_ledger_that_shrinks_while_it_is_followed_is_an_old_copy(
    open_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequencer = open_house.term().sequencer
    follow(sequencer)
    monkeypatch.setattr(open_house.ledger, "stage_up_to", lambda size: EMPTY)
    with pytest.raises(LedgerBehind):
        sequencer.follow()


def test_an_act_under_a_note_that_the_log_has_not_signed_is_not_published(open_house: House) -> None:
    ledger, raw = open_house.ledger, by_no_official(open_house)
    stage = stage_by_hand(ledger, [raw])
    text = stage.checkpoint(open_house.meeting.origin).text
    lines = [Signer(key.name, key.verifier.type, b"s" * 32).sign(text, 1) for key in open_house.meeting.parties.log]
    ledger.sign(stage.size, Note(text, tuple(lines)).raw, [parse_entry(raw)])
    said = f"note over {stage.size} entries is not as it was signed"
    with open_house.sequencer() as sequencer, pytest.raises(Damaged, match=said):
        sequencer.open()
    assert open_house.vault.size(0) == stage.old_size


def test_the_logs_note_is_over_the_tree_that_was_staged(open_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = open_house.ledger
    open_house.record(open_house.ballot())
    newest = ledger.newest()
    earlier = ledger.signed(newest.old_size)
    assert earlier is not None
    signed = Ledger.signed
    monkeypatch.setattr(ledger, "signed", lambda size: earlier if size == newest.size else signed(ledger, size))
    with open_house.sequencer() as sequencer, pytest.raises(Damaged, match="is over another tree"):
        sequencer.open()
    broken = earlier[:-10] + b"AAAAAAAA=\n"
    monkeypatch.setattr(ledger, "signed", lambda size: broken if size == newest.size else signed(ledger, size))
    with open_house.sequencer() as sequencer, pytest.raises(Damaged, match="is not as it was signed"):
        sequencer.open()
