"""A ledger that is lost while a custodian cannot answer: the log goes on only on the officials' word, and what that
custodian holds does not stop it any more.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest

from audit.log.notes import Note
from audit.log.treehead import Checkpoint, parse_checkpoint
from audit.record.election import Election
from audit.record.entries import Entry
from audit.record.restart import Restart
from tally.sequencer import adopt, reading
from tally.sequencer.custodian import Custodian, Rejected, Wire
from tally.sequencer.ledger import Ledger
from tests.loopback import wait_until
from tests.sequencer.house import TOKEN, House, Liar
from tests.sequencer.test_forks import another
from tests.sequencer.test_recovery import signed_and_sent_to_one

TIME = 1_800_000_000


def without(*names: str, least: int = 0) -> Restart:
    return Restart(frozenset(names), least, TIME)


def test_on_the_officials_word_it_goes_on(open_house: House, other_ledger: Ledger) -> None:
    before, ballot = [entry.raw for entry in open_house.vault.entries()], open_house.ballot()
    open_house.vault.down(2)
    after = replace(open_house, ledger=other_ledger)
    after.queue.put(ballot)
    with after.sequencer(word=without("custodian-c", least=len(before))) as sequencer:
        sequencer.open()
        while sequencer.step():
            pass
    assert [entry.raw for entry in after.vault.entries(0)] == [*before, ballot]


@pytest.mark.parametrize("word", [without("custodian-c"), without("custodian-a"), without()])
def test_all_others_must_answer(open_house: House, other_ledger: Ledger, word: Restart) -> None:
    for custodian in (1, 2):
        open_house.vault.down(custodian)
    with pytest.raises(TimeoutError), replace(open_house, ledger=other_ledger).sequencer(word=word):
        pass
    assert other_ledger.newest().size == 0


def test_a_log_shorter_than_the_officials_know_is_not_gone_on_with(open_house: House, other_ledger: Ledger) -> None:
    open_house.vault.down(2)
    word = without("custodian-c", least=open_house.ledger.newest().size + 1)
    with pytest.raises(TimeoutError), replace(open_house, ledger=other_ledger).sequencer(word=word):
        pass
    assert other_ledger.newest().size == 0


def test_one_left_out_that_answers_is_heard(open_house: House, other_ledger: Ledger) -> None:
    before, ballot = [entry.raw for entry in open_house.vault.entries()], open_house.ballot()
    signed_and_sent_to_one(open_house, ballot)
    after = replace(open_house, ledger=other_ledger)
    with after.sequencer(word=without("custodian-c")) as sequencer:
        sequencer.open()
    assert list(other_ledger.all_entries()) == [*before, ballot]


def test_one_left_out_that_shows_the_longest_tree_and_gives_no_entry_is_passed_over(
    open_house: House, other_ledger: Ledger
) -> None:
    before = [entry.raw for entry in open_house.vault.entries()]
    signed_and_sent_to_one(open_house, open_house.ballot())
    open_house.vault.lies(2, 503, where="/held/")
    with replace(open_house, ledger=other_ledger).sequencer(word=without("custodian-c")) as sequencer:
        sequencer.open()
    assert list(other_ledger.all_entries()) == before


def test_what_one_left_out_holds_beyond_does_not_stop_the_log(open_house: House, other_ledger: Ledger) -> None:
    before, lost, ballot = open_house.vault.entries(), open_house.ballot(0), open_house.ballot(1)
    signed_and_sent_to_one(open_house, lost)
    open_house.queue.rows.clear()
    open_house.vault.down(2)
    after = replace(open_house, ledger=other_ledger)
    with after.sequencer(word=without("custodian-c")) as sequencer:
        sequencer.open()
        after.vault.up(2)
        after.queue.put(ballot)
        while sequencer.step():
            pass
        wait_until(lambda: after.vault.size(0) == after.vault.size(1) == len(before) + 1)
        # What was handed in and is lost with it comes again, for nobody has seen it published.
        after.queue.put(lost)
        while sequencer.step():
            pass
    assert [entry.raw for entry in after.vault.entries(0)][-2:] == [ballot, lost]
    assert after.vault.size(2) == len(before)


def test_what_one_left_out_shows_and_does_not_give_makes_no_shorter_log_long_enough(
    open_house: House, other_ledger: Ledger
) -> None:
    before = len(open_house.vault.entries())
    signed_and_sent_to_one(open_house, open_house.ballot())
    open_house.vault.lies(2, 503, where="/held/")
    word = without("custodian-c", least=before + 1)
    with pytest.raises(TimeoutError), replace(open_house, ledger=other_ledger).sequencer(word=word):
        pass
    assert other_ledger.newest().size == 0


@pytest.mark.parametrize("beyond", [0, 1])
def test_what_one_left_out_publishes_is_not_w_custodians_word(
    open_house: House, other_ledger: Ledger, beyond: int
) -> None:
    before, custodians = list(open_house.ledger.all_entries()), open_house.meeting.parties.custodians
    shown = [
        another(open_house, len(before) + beyond, *keys) for keys in (custodians[2], custodians[1] + custodians[2])
    ]
    for where, note in zip(("/held", "/checkpoint"), shown, strict=True):
        open_house.vault.apps[2] = Liar(open_house.vault.apps[2], 200, [note], where=where, exactly=True)
    after = replace(open_house, ledger=other_ledger)
    with pytest.raises(TimeoutError), after.sequencer():
        pass
    with after.sequencer(word=without("custodian-c")) as sequencer:
        sequencer.open()
    assert list(other_ledger.all_entries()) == before


def repeats_what_the_second_says(house: House) -> None:
    note = Custodian("custodian-b", Wire(house.vault.urls[1], house.meeting.origin, TOKEN)).held()
    assert note is not None
    house.vault.lies(2, 200, note.raw, where="/held", exactly=True)


def test_one_left_out_that_repeats_what_another_says_stops_nobody(open_house: House, other_ledger: Ledger) -> None:
    before = [entry.raw for entry in open_house.vault.entries()]
    repeats_what_the_second_says(open_house)
    with replace(open_house, ledger=other_ledger).sequencer(word=without("custodian-c")) as sequencer:
        sequencer.open()
    assert list(other_ledger.all_entries()) == before


def test_one_that_repeats_what_another_says_is_waited_for(
    open_house: House, other_ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    repeats_what_the_second_says(open_house)
    with pytest.raises(TimeoutError), replace(open_house, ledger=other_ledger).sequencer():
        pass
    assert '"answering": "custodian-b", "expected": "custodian-c"' in capsys.readouterr().err
    assert other_ledger.newest().size == 0


def test_one_left_out_that_shows_another_log_and_not_who_it_is_does_not_stop_it(open_house: House) -> None:
    text = Checkpoint(open_house.meeting.origin, open_house.ledger.newest().size, bytes(32)).text
    note = Note(text, tuple(key.sign(text, TIME) for key in open_house.meeting.parties.log))
    open_house.vault.lies(2, 200, note.raw, where="/held", exactly=True)
    with open_house.opened() as sequencer, pytest.raises(Rejected, match="another-tree"):
        sequencer._push._couriers[2]._find(0)
    with open_house.sequencer(word=without("custodian-c")) as sequencer:
        sequencer.open()
        open_house.queue.put(open_house.ballot())
        sequencer.step()
        with pytest.raises(Rejected, match="left-out"):
            sequencer._push._couriers[2]._find(0)
    assert open_house.replay(0).ballots == 1


def test_custodians_stand_in_the_manifests_order(
    open_house: House, other_ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    open_house.vault.urls.reverse()
    with pytest.raises(TimeoutError), replace(open_house, ledger=other_ledger).sequencer():
        pass
    assert '"answering": "custodian-c", "expected": "custodian-a"' in capsys.readouterr().err


@pytest.mark.parametrize("left_out", [False, True], ids=["the only one left", "left out itself"])
def test_what_the_only_one_left_has_not_published_may_take_as_long_as_its_checking_takes(
    open_house: House, other_ledger: Ledger, monkeypatch: pytest.MonkeyPatch, left_out: bool
) -> None:
    """It was too slow to publish while votes came, and W that did are lost."""
    now, take, in_time = [0.0], Election.take, reading.in_time

    def dear(election: Election, entry: Entry, seen: Any) -> None:
        now[0] += 1000.0
        take(election, entry, seen)

    before, ballots = list(open_house.ledger.all_entries()), [open_house.ballot(0, revision) for revision in range(4)]
    open_house.vault.lies(2, 503, where="/publish")
    with open_house.opened() as sequencer:
        for ballot in ballots:
            open_house.queue.put(ballot)
            assert sequencer.step()
        wait_until(lambda: held(open_house, 2) == len(before) + len(ballots))
    for custodian in (0, 1):
        open_house.vault.down(custodian)
    open_house.vault.up(2)
    monkeypatch.setattr(Election, "take", dear)
    monkeypatch.setattr(adopt, "in_time", lambda *these: in_time(*these, clock=lambda: now[0]))
    for module in (adopt, reading):
        monkeypatch.setattr(module, "PAGE", 1)
    word = without("custodian-a", "custodian-b", *(["custodian-c"] if left_out else []))
    refused = pytest.raises(TimeoutError) if left_out else nullcontext()
    with refused, replace(open_house, ledger=other_ledger).sequencer(word=word):
        pass
    assert list(other_ledger.all_entries()) == ([] if left_out else [*before, *ballots])


def held(house: House, i: int) -> int:
    """How many entries custodian i stores."""
    note = Custodian("custodian", Wire(house.vault.urls[i], house.meeting.origin, TOKEN)).held()
    assert note is not None
    return parse_checkpoint(note.text).size
