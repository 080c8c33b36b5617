"""A tree that the log's stolen keys have signed, and in which the rules refuse something: a custodian that holds it is
not followed, and stops nobody.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from audit.log.tiles import frame
from audit.record.restart import Restart
from tally.sequencer import adopt
from tally.sequencer.courier import LedgerBehind
from tally.sequencer.custodian import NOTHING_HELD, Rejected, Unavailable
from tally.sequencer.ledger import EMPTY, Ledger
from tally.sequencer.reading import in_time
from tally.sequencer.survey import NOBODY
from tests.loopback import wait_until
from tests.sequencer.house import House, Liar
from tests.sequencer.test_forks import shown, told
from tests.sequencer.test_recovery import signed_and_sent_to_one
from tests.sequencer.test_rekeying import made_up
from tests.sequencer.test_staged import by_a_stranger, without_proofs


@pytest.fixture
def poisoned(open_house: House, tmp_path: Path) -> House:
    """The third custodian holds, beyond the log, a ballot that no voter has signed."""
    true = [entry.raw for entry in open_house.vault.entries()]
    made_up(open_house, tmp_path, [*true, without_proofs(open_house)], open_house.meeting.parties.log)
    return open_house


def test_it_is_not_followed_and_the_log_goes_on(poisoned: House, capsys: pytest.CaptureFixture[str]) -> None:
    before, ballots = list(poisoned.ledger.all_entries()), [poisoned.ballot(i) for i in range(3)]
    with pytest.raises(LedgerBehind), poisoned.opened() as sequencer:
        wait_until(lambda: sequencer._push._failure is not None)
        sequencer._push.witness()
    with poisoned.sequencer(behind=True) as sequencer:
        sequencer.open()
        for ballot in ballots:
            poisoned.queue.put(ballot)
            sequencer.step()
        with pytest.raises(Rejected, match="another-tree"):
            sequencer._push._couriers[2]._find(0)
    assert [entry.raw for entry in poisoned.vault.entries(0)] == [*before, *ballots]
    assert poisoned.replay(0).ballots == 3
    assert f'"inadmissible", "custodian": "{poisoned.vault.urls[2].removeprefix("http://")}' in capsys.readouterr().err


def test_a_lost_ledger_is_read_back_without_it(poisoned: House, other_ledger: Ledger) -> None:
    before = list(poisoned.ledger.all_entries())
    with replace(poisoned, ledger=other_ledger).sequencer() as sequencer:
        sequencer.open()
    assert list(other_ledger.all_entries()) == before


@pytest.mark.parametrize("marked", [False, True])
def test_where_all_others_hold_nothing_the_log_begins_beside_it(house: House, tmp_path: Path, marked: bool) -> None:
    if marked:
        house.mark.of(house.ledger).set(EMPTY)
    made_up(house, tmp_path, [*house.meeting.entries[:1], without_proofs(house)], house.meeting.parties.log)
    assert told(house) == {shown(house, 2)}
    house.sequence(*house.meeting.entries)
    assert house.replay(0).phase == "open"


@pytest.mark.parametrize("known", ["published", "silent", "least"])
def test_it_does_not_where_something_may_have_been_published(poisoned: House, other_ledger: Ledger, known: str) -> None:
    """The two others have lost what they held."""
    vault, word = poisoned.vault, NOBODY
    served = vault.reader(0).checkpoint() or b""
    for i in (0, 1):
        vault.lies(i, NOTHING_HELD, where="/held", exactly=True)
    if known == "published":
        vault.apps[2] = Liar(vault.apps[2], 200, [served], where="/checkpoint", exactly=True)
    elif known == "silent":
        vault.down(1)
        word = Restart(frozenset({"custodian-b"}), 0, 1_800_000_000)
    else:
        word = Restart(frozenset(), 1, 1_800_000_000)
    with pytest.raises(TimeoutError), replace(poisoned, ledger=other_ledger).sequencer(word=word):
        pass


def test_what_w_custodians_have_cosigned_is_believed(
    open_house: House, other_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_house.record(open_house.ballot(0))
    ballot = open_house.ballot(1)
    signed_and_sent_to_one(open_house, ballot)
    taken = list[bytes]()
    take = adopt.Election.take
    monkeypatch.setattr(adopt.Election, "take", lambda e, entry, seen: (taken.append(entry.raw), take(e, entry, seen)))
    replace(open_house, ledger=other_ledger).record()
    assert taken == [ballot]


def test_entries_that_are_not_those_of_the_tree_say_nothing_of_it(open_house: House, other_ledger: Ledger) -> None:
    before, ballot = list(open_house.ledger.all_entries()), open_house.ballot(0)
    signed_and_sent_to_one(open_house, ballot)
    honest = open_house.vault.apps[2]
    open_house.vault.lies(2, 200, frame([*before, by_a_stranger(open_house)]), where="/held/")
    after = replace(open_house, ledger=other_ledger)
    with pytest.raises(TimeoutError), after.sequencer():
        pass
    assert other_ledger.newest().size == 0
    open_house.vault.apps[2] = honest
    with after.sequencer():
        assert list(other_ledger.all_entries()) == [*before, ballot]


def test_what_was_staged_before_the_ledger_was_copied_is_signed_with_the_rest(
    open_house: House, other_ledger: Ledger
) -> None:
    copy = replace(open_house, ledger=other_ledger)
    copy.record()
    first, second = open_house.ballot(0), open_house.ballot(1)
    for ledger in (other_ledger, open_house.ledger):
        half = replace(open_house, ledger=ledger)
        with half.opened() as sequencer:
            half.queue.put(first)
            sequencer.stage(half.queue.take(256))
        half.queue.rows.clear()
    staged = other_ledger.newest()
    open_house.record()
    open_house.record(second)
    with copy.sequencer(behind=True) as sequencer:
        assert other_ledger.signed(staged.size) is not None
        sequencer.open()
        assert sequencer.election.ballots == 2
    copy.queue.put(first)
    with copy.opened() as sequencer:
        sequencer.step()
        assert sequencer.figures.repeated == 1


def test_entries_that_come_too_slowly_are_given_up() -> None:
    now = iter(range(0, 10_000, 20))
    got = list[bytes]()
    with pytest.raises(Unavailable):
        for raw in in_time(iter([b"entry"] * 100), 100, clock=lambda: float(next(now))):
            got.append(raw)
    assert len(got) == 3
