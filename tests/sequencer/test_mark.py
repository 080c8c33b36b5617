"""What a host has marked outside of its ledger: an old copy of the ledger is known by it, though no custodian that
answers holds more.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from audit.log.treehead import Checkpoint
from audit.record.entries import parse_entry
from tally.sequencer import push
from tally.sequencer.courier import LedgerBehind
from tally.sequencer.ledger import EMPTY, Damaged, Ledger, Stage
from tally.sequencer.mark import NotMarked, mark_at
from tests.loopback import PATIENCE
from tests.sequencer.house import HostDisk, House
from tests.sequencer.test_recovery import signed_and_sent_to_one
from tests.sequencer.test_staged import another_frontier, notice, stage_by_hand


@pytest.fixture
def copy(open_house: House, other_ledger: Ledger) -> House:
    """An old copy of the ledger, on the same host: a ballot is marked, signed and with custodian 2 alone."""
    replace(open_house, ledger=other_ledger, mark=HostDisk()).record()
    signed_and_sent_to_one(open_house, open_house.ballot(0))
    stage = open_house.ledger.newest()
    open_house.mark.of(open_house.ledger).set(stage)
    open_house.queue.rows.clear()
    return replace(open_house, ledger=other_ledger)


def goes_on(house: House) -> list[bytes]:
    """The log, once a sequencer that knows its ledger for an old copy has asked all."""
    with house.sequencer(behind=True) as sequencer:
        sequencer.open()
        while sequencer.step():
            pass
    return list(house.ledger.all_entries())


def test_an_old_copy_is_known_while_the_only_one_that_is_ahead_is_away(open_house: House, copy: House) -> None:
    before, ballot = list(copy.ledger.all_entries()), open_house.ballot(1)
    lost = list(open_house.ledger.all_entries())[-1]
    copy.vault.down(2)
    copy.queue.put(ballot)
    with pytest.raises(LedgerBehind, match="has marked"), copy.opened():
        pass
    with pytest.raises(TimeoutError):
        goes_on(copy)
    assert list(copy.ledger.all_entries()) == before
    copy.vault.up(2)
    assert goes_on(copy) == [*before, lost, ballot]
    assert not copy.mark.of(copy.ledger).lacking()


def test_what_is_marked_and_nobody_holds_does_not_stop_the_log(open_house: House, other_ledger: Ledger) -> None:
    after, ballot = replace(open_house, ledger=other_ledger), open_house.ballot(1)
    before = list(open_house.ledger.all_entries())
    replace(after, mark=HostDisk()).record()
    # It was staged and marked; then the host went down.
    newest = open_house.ledger.newest()
    open_house.mark.of(open_house.ledger).set(Stage(newest.size, newest.size + 1, b"r" * 32, b""))
    after.queue.put(ballot)
    with pytest.raises(LedgerBehind), after.opened():
        pass
    assert goes_on(after) == [*before, ballot]
    assert after.record() == after.vault.entries()


@pytest.mark.parametrize("text", [b"", b"vote.example/other\n1\n" + b"A" * 43 + b"=\n", b"\xff" * 100])
def test_a_mark_that_says_nothing_of_this_log_has_all_asked(open_house: House, text: bytes) -> None:
    open_house.mark.text = text
    with pytest.raises(LedgerBehind), open_house.opened():
        pass
    goes_on(open_house)
    assert open_house.mark.of(open_house.ledger).there and not open_house.mark.of(open_house.ledger).lacking()


def test_the_mark_of_another_log_fits_no_ledger_though_its_tree_be_the_same(open_house: House) -> None:
    newest = open_house.ledger.newest()
    open_house.mark.text = newest.checkpoint("vote.example/other").text
    assert open_house.mark.of(open_house.ledger).lacking()


def test_another_tree_of_the_marked_size_is_an_old_copy_gone_on_with(open_house: House) -> None:
    newest = open_house.ledger.newest()
    open_house.mark.text = Checkpoint(open_house.meeting.origin, newest.size - 1, b"r" * 32).text
    assert open_house.mark.of(open_house.ledger).lacking()


def test_a_ledger_with_a_damaged_stage_is_no_old_copy(open_house: House) -> None:
    """It would be read back, found to lack nothing, and taken for an old copy again, without an end."""
    ledger, raw = open_house.ledger, notice(open_house)
    stage = stage_by_hand(ledger, [raw], frontier=another_frontier(ledger.newest().size + 1))
    note = open_house.term().sequencer.signed_note(stage, open_house.meeting.manifest)
    ledger.sign(stage.size, note, [parse_entry(raw)])
    open_house.mark.of(ledger).set(stage)
    with pytest.raises(Damaged, match="frontier"), open_house.opened():
        pass


def test_a_ledger_read_back_in_other_stages_is_the_one_that_was_marked(open_house: House, other_ledger: Ledger) -> None:
    size = open_house.ledger.newest().size
    open_house.record(open_house.ballot(0))
    open_house.mark.of(open_house.ledger).set(open_house.ledger.stage_up_to(size))
    replace(open_house, ledger=other_ledger, mark=HostDisk()).record()
    assert other_ledger.stage_up_to(size) == EMPTY
    assert not open_house.mark.of(other_ledger).lacking()


def test_without_room_for_the_mark_nothing_is_signed(open_house: House) -> None:
    size = open_house.ledger.newest().size
    open_house.queue.put(open_house.ballot())
    with open_house.opened() as sequencer:
        open_house.mark.full = True
        with pytest.raises(NotMarked, match="no space"):
            sequencer.step()
        assert open_house.ledger.newest().size == size + 1 and open_house.ledger.signed(size + 1) is None
        open_house.mark.full = False
        sequencer.open()
    assert len(open_house.vault.entries()) == size + 1


def test_who_stands_by_marks_what_it_reads_and_nothing_over_what_is_missing(
    open_house: House, other_ledger: Ledger
) -> None:
    ours, theirs = open_house.ledger.newest(), HostDisk()
    theirs.of(open_house.ledger).set(ours)
    replace(open_house, ledger=other_ledger, mark=HostDisk()).record()
    open_house.record(open_house.ballot(0))
    newest = open_house.ledger.newest()
    theirs.of(open_house.ledger).follow(newest)
    assert theirs.text == newest.checkpoint(open_house.meeting.origin).text
    marked = theirs.text
    theirs.of(other_ledger).follow(other_ledger.newest())
    theirs.of(open_house.ledger).follow(ours)
    assert theirs.text == marked and theirs.of(other_ledger).lacking()


def test_who_stands_by_without_a_mark_takes_none_from_what_was_there_before_it(open_house: House) -> None:
    """The ledger that it looks at may be the old copy."""
    theirs = HostDisk()
    mark = theirs.of(open_house.ledger)
    for size in range(open_house.ledger.newest().size + 1):
        mark.follow(open_house.ledger.stage_up_to(size))
    assert not mark.there
    open_house.record(open_house.ballot(0))
    newest = open_house.ledger.newest()
    mark.follow(newest)
    assert theirs.text == newest.checkpoint(open_house.meeting.origin).text


def test_a_host_without_a_mark_has_one_when_all_are_heard(open_house: House) -> None:
    open_house.mark.text = None
    with open_house.opened():
        assert open_house.mark.text == open_house.ledger.newest().checkpoint(open_house.meeting.origin).text


def test_without_a_mark_none_is_set_before_all_are_heard(
    open_house: House, other_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old copy on a new host, while the one that is ahead gives none of its entries."""
    monkeypatch.setattr(push, "HEAR_SECONDS", PATIENCE)
    copy = replace(open_house, ledger=other_ledger, mark=HostDisk())
    copy.record()
    signed_and_sent_to_one(open_house, open_house.ballot(0))
    copy.mark.text, copied = None, other_ledger.newest()
    copy.queue.rows.clear()
    copy.vault.lies(2, 503, where="/held/")
    with pytest.raises(LedgerBehind, match="claims"), copy.opened():
        pass
    # All are asked, and its ledger is not passed off as the one that it has marked.
    with pytest.raises(TimeoutError):
        goes_on(copy)
    assert copy.mark.text is None and other_ledger.newest() == copied
    copy.vault.up(2)
    assert goes_on(copy) == list(open_house.ledger.all_entries())
    assert copy.mark.of(other_ledger).there


def test_without_a_mark_what_is_staged_is_neither_marked_nor_signed_before_all_are_heard(
    open_house: House, other_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old copy that was taken between staging and signing, on a new host."""
    monkeypatch.setattr(push, "HEAR_SECONDS", PATIENCE)
    copy, ballots = replace(open_house, ledger=other_ledger, mark=HostDisk()), [open_house.ballot(i) for i in range(3)]
    with copy.sequencer() as sequencer:
        sequencer.open()
        copy.queue.put(ballots[0])
        sequencer.stage(copy.queue.take(256))
    copy.queue.rows.clear()
    open_house.queue.put(ballots[1])
    signed_and_sent_to_one(open_house, ballots[2])
    copy.mark.text = None
    with pytest.raises(LedgerBehind, match="old copy"), copy.opened():
        pass
    assert copy.mark.text is None and other_ledger.signed(other_ledger.newest().size) is None


@pytest.mark.parametrize("tree", [True, False])
def test_who_stands_by_leaves_a_mark_that_its_ledger_does_not_fit(open_house: House, tree: bool) -> None:
    """Of another tree at a size that the ledger has passed, or of nothing: who takes over has all custodians asked."""
    newest, theirs = open_house.ledger.newest(), HostDisk()
    other = Checkpoint(open_house.meeting.origin, newest.size - 1, b"r" * 32).text
    theirs.text = marked = other if tree else b"\xff" * 100
    mark = theirs.of(open_house.ledger)
    mark.follow(newest)
    open_house.record(open_house.ballot(0))
    mark.follow(open_house.ledger.newest())
    assert theirs.text == marked and mark.lacking()


def test_the_file_is_the_old_mark_or_the_new_one(open_house: House, tmp_path: Path) -> None:
    path, stage = tmp_path / "status.mark", open_house.ledger.newest()
    mark = mark_at(path, open_house.ledger)
    assert not mark.there and not mark.lacking()
    mark.set(stage)
    # A crash while the next is written leaves this.
    (tmp_path / ".status.mark.part").write_bytes(b"half a ma")
    again = mark_at(path, open_house.ledger)
    assert again.there and not again.lacking()
    again.set(EMPTY)
    assert path.read_bytes() == EMPTY.checkpoint(open_house.meeting.origin).text
    assert [file.name for file in tmp_path.iterdir()] == ["status.mark"]
    path.unlink()
    tmp_path.joinpath("status.mark").mkdir()
    with pytest.raises(NotMarked):
        again.lacking()
