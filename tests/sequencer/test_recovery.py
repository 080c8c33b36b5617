"""A ledger that is lost, or an old copy of it, and keys that signed elsewhere: the log is never forked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from audit.log.notes import Note
from tally.sequencer import adopt, push, reading
from tally.sequencer.courier import LedgerBehind
from tally.sequencer.custodian import Custodian, Wire, label_of
from tally.sequencer.ledger import EMPTY, Ledger
from tally.sequencer.push import Push
from tally.sequencer.sequence import Sequencer
from tests.loopback import PATIENCE, wait_until
from tests.sequencer.house import TOKEN, HostDisk, House, until_it_ends


def test_a_lost_ledger_is_read_back_from_the_custodians(open_house: House, other_ledger: Ledger) -> None:
    before = [entry.raw for entry in open_house.vault.entries()]
    after = replace(open_house, ledger=other_ledger)
    ballot = open_house.ballot()
    assert [entry.raw for entry in after.record(ballot)] == [*before, ballot]
    assert open_house.replay(1).phase == "open"
    # What was recorded before the loss is known to the new ledger, too.
    assert len(after.record(before[-1], ballot)) == len(before) + 1


def test_what_w_have_cosigned_is_read_back_over_a_slow_line(
    open_house: House, other_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, entries, in_time = [0.0], Custodian.entries, reading.in_time

    def slowly(custodian: Custodian, size: int, first: int = 0) -> Iterator[bytes]:
        for raw in entries(custodian, size, first):
            now[0] += reading.PAGE_SECONDS - 1
            yield raw

    monkeypatch.setattr(Custodian, "entries", slowly)
    monkeypatch.setattr(reading, "PAGE", 1)
    monkeypatch.setattr(adopt, "in_time", lambda *these: in_time(*these, clock=lambda: now[0]))
    with replace(open_house, ledger=other_ledger).sequencer():
        assert now[0] > reading.GRACE_SECONDS + reading.PAGE_SECONDS
    assert other_ledger.newest() == open_house.ledger.newest()


@pytest.mark.parametrize("marked", [False, True])
def test_an_empty_ledger_asks_all_though_this_host_has_a_mark_of_nothing(house: House, marked: bool) -> None:
    if marked:
        house.mark.of(house.ledger).set(EMPTY)
    house.vault.down(2)
    with pytest.raises(TimeoutError), house.sequencer():
        pass


def test_a_tree_that_only_one_custodian_holds_is_adopted(open_house: House, other_ledger: Ledger) -> None:
    before, ballot = [entry.raw for entry in open_house.vault.entries()], open_house.ballot()
    open_house.vault.down(0)
    open_house.vault.down(1)
    signed_and_sent_to_one(open_house, ballot)
    open_house.vault.up(0)
    open_house.vault.up(1)
    after = replace(open_house, ledger=other_ledger)
    assert [entry.raw for entry in after.record(ballot)] == [*before, ballot]
    # Two of the three publish it, whichever come first.
    published = [[entry.raw for entry in open_house.vault.entries(i)] for i in range(3)]
    assert published.count([*before, ballot]) >= 2


def signed_and_sent_to_one(house: House, ballot: bytes) -> None:
    """The sequencer stages a ballot, signs, brings it to custodian 2, and is gone."""
    house.queue.put(ballot)
    parties, manifest = house.meeting.parties, house.meeting.manifest
    custodian = Custodian("custodian-2", Wire(house.vault.urls[2], house.meeting.origin, TOKEN))
    courier = Push(house.ledger, manifest, [custodian])
    clock, mark = lambda: 1_800_000_000, house.mark.of(house.ledger)
    sequencer = Sequencer(house.ledger, manifest, parties.log, courier, house.queue, house.pool, clock, mark)
    for raw in house.ledger.all_entries():
        sequencer.election.apply_recorded(house.parsed(raw))
    staged = sequencer.stage(house.queue.take(256)).entries
    stage = house.ledger.newest()
    note = house.ledger.sign(stage.size, sequencer.signed_note(stage, manifest), staged)
    size, append = courier._missing.after(stage.old_size, stage.size)
    assert (size, append.note) == (stage.size, note)
    custodian.append(append)


def test_with_one_custodian_unreachable_an_empty_ledger_signs_nothing(open_house: House, other_ledger: Ledger) -> None:
    open_house.vault.down(1)
    after = replace(open_house, ledger=other_ledger)
    with pytest.raises(TimeoutError), after.sequencer():
        pass
    assert other_ledger.newest().size == 0


@pytest.mark.parametrize("status", [404, 200])
def test_an_address_that_knows_no_log_is_no_word_that_nothing_is_held(
    open_house: House, other_ledger: Ledger, status: int
) -> None:
    open_house.vault.lies(1, status)
    with pytest.raises(TimeoutError), replace(open_house, ledger=other_ledger).sequencer():
        pass
    assert other_ledger.newest().size == 0


def test_an_old_copy_of_the_ledger_is_recognised(open_house: House, other_ledger: Ledger) -> None:
    copy = replace(open_house, ledger=other_ledger)
    copy.record()
    open_house.record(open_house.ballot(0))
    size = other_ledger.newest().size
    with pytest.raises(LedgerBehind), copy.opened() as sequencer:
        copy.queue.put(open_house.ballot(1))
        sequencer.step()
    assert other_ledger.signed(size + 1) is None
    assert open_house.replay().ballots == 1


@pytest.mark.parametrize("marked", [True, False])
def test_an_old_copy_without_what_one_custodian_alone_holds_is_filled_up_before_anything_is_staged(
    open_house: House, other_ledger: Ledger, monkeypatch: pytest.MonkeyPatch, marked: bool
) -> None:
    """Without a mark, longer is listened."""
    held, slow = Custodian.held, label_of(open_house.vault.urls[2])

    def late(custodian: Custodian) -> Note | None:
        if custodian.label == slow:
            time.sleep(0.5)
        return held(custodian)

    monkeypatch.setattr(Custodian, "held", late)
    monkeypatch.setattr(push, "HEAR_MARKED_SECONDS" if marked else "HEAR_SECONDS", PATIENCE)
    copy = replace(open_house, ledger=other_ledger, mark=HostDisk())
    before, ballots = [e.raw for e in copy.record()], [open_house.ballot(0), open_house.ballot(1)]
    copy.mark.text = copy.mark.text if marked else None
    signed_and_sent_to_one(open_house, ballots[0])
    copy.queue.put(ballots[1])
    with pytest.raises(LedgerBehind), copy.opened():
        pass
    assert other_ledger.newest().size == len(before)
    with copy.sequencer(behind=True) as sequencer:
        sequencer.open()
        while sequencer.step():
            pass
    assert list(other_ledger.all_entries()) == [*before, *ballots]


def test_of_two_trees_of_one_size_that_the_log_signed_the_one_that_w_cosign_goes_on(
    open_house: House, other_ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    copy, before = replace(open_house, ledger=other_ledger), open_house.ledger.newest().size
    copy.record()
    signed_and_sent_to_one(open_house, open_house.ballot(0))
    copy.queue.rows.clear()
    copy.queue.put(open_house.ballot(1))
    # The one that holds the other is away when the copy begins.
    copy.vault.down(2)
    with copy.opened() as sequencer:
        sequencer.step()
        copy.vault.up(2)
        copy.queue.put(open_house.ballot(0), open_house.ballot(2))
        wait_until(lambda: sequencer._push._couriers[2].apart)
        sequencer.step()
    assert '"event": "fork"' in capsys.readouterr().err
    assert (copy.replay(0).ballots, copy.vault.size(2)) == (3, before)
    # And the other sequencer, on its own host, stops: W custodians have cosigned against it.
    there = replace(open_house, mark=HostDisk())
    with pytest.raises(LedgerBehind), there.opened() as sequencer:
        until_it_ends(sequencer)
    with pytest.raises(TimeoutError), there.sequencer(behind=True):
        pass
