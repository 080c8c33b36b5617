"""Trees that the log's stolen keys have signed, shown by a custodian that lies: it is told, and the vote goes on for as
long as W custodians can hold what the ledger holds. What W cosign against it ends the sequencer.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from audit.log.keys import Signer
from audit.log.notes import Note, parse_note
from audit.log.treehead import Checkpoint
from tally.sequencer import push
from tally.sequencer.courier import Fork, LedgerBehind
from tally.sequencer.custodian import Custodian, Rejected, Wire, label_of
from tally.sequencer.ledger import Ledger
from tests.loopback import PATIENCE, wait_until
from tests.sequencer.house import TOKEN, HostDisk, House, Liar, until_it_ends
from tests.sequencer.test_recovery import signed_and_sent_to_one
from tests.sequencer.test_rekeying import made_up

TIME = 1_800_000_000
OTHER = b"r" * 32


def another(house: House, size: int, *signers: Signer) -> bytes:
    """A note by the log's keys, and by these, over a tree that is not the log's."""
    text = Checkpoint(house.meeting.origin, size, OTHER).text
    return Note(text, tuple(key.sign(text, TIME) for key in (*house.meeting.parties.log, *signers))).raw


def shows(house: House, i: int, note: bytes) -> None:
    """Custodian i says that it holds the tree of this note; in all else it is honest."""
    house.vault.lies(i, 200, note, where="/held", exactly=True)


def counts(house: House, behind: bool = False, most: int = 3) -> int:
    """Of so many ballots more, those that are recorded while custodians 0 and 1 are honest."""
    before = house.replay().ballots
    with house.sequencer(behind) as sequencer:
        sequencer.open()
        wait_until(lambda: sequencer._push._couriers[2].heard)
        for account in range(most):
            house.queue.put(house.ballot(account, before + account))
            assert sequencer.step()
    return house.replay().ballots - before


@pytest.mark.parametrize("beyond", [-1, 0, 1, 1000])
def test_one_custodian_that_shows_another_tree_is_told_and_stops_nobody(
    open_house: House, beyond: int, capsys: pytest.CaptureFixture[str]
) -> None:
    size = open_house.ledger.newest().size + beyond
    shows(open_house, 2, another(open_house, size))
    assert counts(open_house) == 3
    label = open_house.vault.urls[2].removeprefix("http://")
    assert f'"event": "fork", "custodian": "{label}", "size": {size}' in capsys.readouterr().err


def test_one_that_begins_to_lie_while_it_is_pushed_to_stops_nobody(open_house: House) -> None:
    told = list[tuple[str, bytes]]()
    with open_house.opened() as sequencer:
        push = sequencer._push
        push.told = lambda label, note: told.append((label, note))
        open_house.queue.put(open_house.ballot(0))
        sequencer.step()
        wait_until(lambda: push._couriers[2].size == sequencer.election.size)
        for account in (1, 2):
            # It takes nothing any more, and shows a tree of the size that it was just sent.
            lie = another(open_house, sequencer.election.size + 1)
            shown = Liar(open_house.vault.app(2), 200, [lie], where="/held", exactly=True)
            open_house.vault.apps[2] = Liar(shown, 403, [], where="/append")
            open_house.queue.put(open_house.ballot(account))
            assert sequencer.step()
            wait_until(lambda lie=lie: (push._couriers[2].label, lie) in told)
    assert open_house.replay(0).ballots == 3


def test_more_than_w_can_spare_end_it(open_house: House) -> None:
    size = open_house.ledger.newest().size
    for i in (1, 2):
        shows(open_house, i, another(open_house, size))
    with pytest.raises(Fork), open_house.opened() as sequencer:
        until_it_ends(sequencer)


def test_what_is_found_while_nothing_comes_is_heeded_before_anything_is_signed(open_house: House) -> None:
    before = open_house.ledger.newest()
    with open_house.opened() as sequencer:
        sequencer._push.fail(LedgerBehind("a custodian holds more"))
        with pytest.raises(LedgerBehind):
            sequencer.step()
        open_house.queue.put(open_house.ballot(0))
        with pytest.raises(LedgerBehind):
            sequencer.step()
    assert open_house.ledger.newest() == before


@pytest.mark.parametrize(("beyond", "means"), [(0, Fork), (1, LedgerBehind)])
def test_another_tree_that_w_custodians_have_cosigned_ends_it(
    open_house: House, beyond: int, means: type[Exception]
) -> None:
    custodians = open_house.meeting.parties.custodians
    size = open_house.ledger.newest().size + beyond
    cosigned = another(open_house, size, *custodians[1], *custodians[2])
    shows(open_house, 2, another(open_house, size, *custodians[2]))
    open_house.vault.apps[2] = Liar(open_house.vault.apps[2], 200, [cosigned], where="/checkpoint", exactly=True)
    with pytest.raises(means), open_house.opened() as sequencer:
        until_it_ends(sequencer)


def test_a_claim_that_nothing_shows_is_no_news_to_a_host_with_a_mark_alone(
    open_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "HEAR_SECONDS", PATIENCE)
    shows(open_house, 2, another(open_house, open_house.ledger.newest().size + 1))
    unmarked = replace(open_house, mark=HostDisk())
    with pytest.raises(LedgerBehind, match="claims"), unmarked.opened():
        pass


def test_a_longer_tree_whose_entries_continue_the_ledgers_is_news_until_something_is_published(
    open_house: House, tmp_path: Path
) -> None:
    log, true = open_house.meeting.parties.log, list(open_house.ledger.all_entries())
    ballots = [open_house.ballot(account) for account in range(3)]
    with open_house.opened() as sequencer:
        open_house.queue.put(ballots[0])
        sequencer.step()
        made_up(open_house, tmp_path, [*true, *ballots[:2]], log)
        sequencer._push._couriers[2].forget()
        with pytest.raises(Rejected, match="another-tree"):
            sequencer._push._couriers[2]._find(0)
    with pytest.raises(LedgerBehind), open_house.opened() as sequencer:
        until_it_ends(sequencer)
    # What it shows the rules would take: it is recorded as if it had come by itself.
    assert counts(open_house, behind=True) == 1 + 3
    assert list(open_house.ledger.all_entries())[: len(true) + 2] == [*true, *ballots[:2]]


def test_one_that_shows_first_a_true_longer_tree_and_then_another_keeps_no_term_from_beginning(
    open_house: House,
) -> None:
    shows(open_house, 2, another(open_house, open_house.ledger.newest().size + 1))
    assert counts(open_house, behind=True) == 3


@pytest.mark.parametrize("longer", [0, 1, 2], ids=["shorter", "as long", "longer"])
def test_a_lost_ledger_is_read_back_though_one_gives_another_tree(
    open_house: House, other_ledger: Ledger, tmp_path: Path, longer: int, capsys: pytest.CaptureFixture[str]
) -> None:
    true = [entry.raw for entry in open_house.record(open_house.ballot(0), open_house.ballot(1))]
    forged = [*true[:-2], *(open_house.ballot(2, revision) for revision in range(longer + 1))]
    made_up(open_house, tmp_path, forged, open_house.meeting.parties.log)
    with replace(open_house, ledger=other_ledger).sequencer():
        assert list(other_ledger.all_entries()) == true
    assert '"event": "fork"' in capsys.readouterr().err


def test_what_w_have_cosigned_is_not_given_up_for_a_longer_tree_though_they_hold_less_by_now(
    open_house: House, other_ledger: Ledger, tmp_path: Path
) -> None:
    before = open_house.ledger.newest().size
    true = [entry.raw for entry in open_house.record(open_house.ballot(0), open_house.ballot(1))]
    forged = [*true[:-2], *(open_house.ballot(2, revision) for revision in range(3))]
    made_up(open_house, tmp_path, forged, open_house.meeting.parties.log)
    for i in (0, 1):
        # What they publish is W custodians' word all the same.
        shows(open_house, i, open_house.ledger.signed(before) or b"")
    after = replace(open_house, ledger=other_ledger)
    with pytest.raises(TimeoutError), after.sequencer():
        pass
    assert other_ledger.newest().size == 0
    open_house.vault.up(0)
    with after.sequencer():
        assert list(other_ledger.all_entries()) == true


def told(house: House) -> set[tuple[str, bytes]]:
    """A start that asks all; who it says shows another tree, and which."""
    found, made = set[tuple[str, bytes]](), house.term()
    made.push.told = lambda label, note: found.add((label, parse_note(note).text))
    with suppress(Fork):
        made.begin(True, house._no_pause)
    house.hang_up(made)
    return found


def shown(house: House, i: int) -> tuple[str, bytes]:
    note = Custodian("custodian", Wire(house.vault.urls[i], house.meeting.origin, TOKEN)).held()
    assert note is not None
    return label_of(house.vault.urls[i]), note.text


@pytest.mark.parametrize("lost", ["ledger", "mark"])
def test_what_a_start_finds_is_evidence_too(open_house: House, other_ledger: Ledger, tmp_path: Path, lost: str) -> None:
    true, ledger = list(open_house.ledger.all_entries()), other_ledger if lost == "ledger" else open_house.ledger
    made_up(open_house, tmp_path, [*true[:-1], open_house.ballot(0)], open_house.meeting.parties.log)
    assert told(replace(open_house, ledger=ledger, mark=HostDisk())) == {shown(open_house, 2)}


def test_a_tree_against_w_custodians_is_evidence_too(open_house: House, other_ledger: Ledger, tmp_path: Path) -> None:
    """It is longer than theirs, and is tried first."""
    true = [entry.raw for entry in open_house.record(open_house.ballot(0), open_house.ballot(1))]
    forged = [*true[:-2], *(open_house.ballot(2, revision) for revision in range(3))]
    made_up(open_house, tmp_path, forged, open_house.meeting.parties.log)
    assert told(replace(open_house, ledger=other_ledger)) == {shown(open_house, 2)}


def test_each_of_two_trees_that_nobody_has_published_is_evidence_of_the_other(
    open_house: House, other_ledger: Ledger, tmp_path: Path
) -> None:
    true = [entry.raw for entry in open_house.vault.entries()]
    signed_and_sent_to_one(open_house, open_house.ballot(0))
    made_up(open_house, tmp_path, [*true, open_house.ballot(1)], open_house.meeting.parties.log, 1)
    assert told(replace(open_house, ledger=other_ledger)) == {shown(open_house, i) for i in (1, 2)}


def test_of_two_such_trees_the_longer_is_evidence_too(open_house: House, other_ledger: Ledger, tmp_path: Path) -> None:
    true = [entry.raw for entry in open_house.vault.entries()]
    signed_and_sent_to_one(open_house, open_house.ballot(0))
    longer = [*true, open_house.ballot(1), open_house.ballot(2)]
    made_up(open_house, tmp_path, longer, open_house.meeting.parties.log, 1)
    assert told(replace(open_house, ledger=other_ledger)) == {shown(open_house, i) for i in (1, 2)}


def test_of_two_trees_that_nobody_has_published_neither_is_gone_on_with(
    open_house: House, other_ledger: Ledger, tmp_path: Path
) -> None:
    true = [entry.raw for entry in open_house.vault.entries()]
    signed_and_sent_to_one(open_house, open_house.ballot(0))
    made_up(open_house, tmp_path, [*true, open_house.ballot(1)], open_house.meeting.parties.log, 1)
    with pytest.raises(Fork, match="shows another tree"), replace(open_house, ledger=other_ledger).sequencer():
        pass
    assert other_ledger.newest().size == 0
