"""What an outbox takes from the log as its own, and what an outbox that was restored must have asked for before."""

from __future__ import annotations

from pathlib import Path

from audit.record.entries import parse_entry, seal
from intake.door.outbox import Drained
from tests.door.board import Board
from tests.door.conftest import Place
from tests.door.copied import copy, lose, put_back
from tests.door.test_rekeying import Hours
from tests.simulator.dice import Dice


def test_a_restored_door_is_not_ready_before_every_custodian_was_asked(place: Place, tmp_path: Path) -> None:
    """One alone shows the account that this intake gave before it was lost; after that it takes no ballot."""
    path = copy(place, tmp_path / "outbox")
    lose(place)
    put_back(place, path)
    boards = [Board(place.meeting) for _ in place.meeting.manifest.log.custodians]
    for board in boards:
        board.publish()
    place.meeting.closing().reconcile()
    boards[-1].publish()
    hours = Hours(place, boards)
    while not hours.standing.ready:
        hours.watch.step()
    assert hours.standing.election.phase == "closing"
    ballot = parse_entry(place.meeting.signed("ballot", place.body(), place.intake))
    assert [type(one) for one in place.outbox.accept([(ballot, 1)])] == [Drained]


def test_one_that_was_not_restored_is_ready_with_the_first(place: Place) -> None:
    """The others have nothing to show yet."""
    boards = [Board(place.meeting) for _ in place.meeting.manifest.log.custodians]
    boards[0].publish()
    hours = Hours(place, boards)
    assert hours.watch.step() and not hours.watch.step()
    assert hours.standing.ready


def test_a_ballot_in_the_log_with_a_line_that_no_key_of_this_intake_made_is_not_taken_for_its_own(place: Place) -> None:
    """Whoever has the log's key can put one there. A door that believed it would count as restored ever after, and
    account for nothing.
    """
    (stranger,) = Dice(91).signers("intake-1")
    strange, own = (
        parse_entry(seal(place.text(account), [key])) for account, key in enumerate((stranger, place.intake))
    )
    hours = Hours(place).catch_up()
    place.meeting.entries.append(strange.raw)
    place.board.publish()
    hours.catch_up()
    assert hours.standing.election.size == len(place.meeting.entries)
    assert (place.outbox.find(strange.identity), place.outbox.restored()) == (None, False)
    place.meeting.entries.append(own.raw)
    place.board.publish()
    hours.catch_up()
    found = place.outbox.find(own.identity)
    assert found is not None and found.leaf == own.leaf and place.outbox.restored()
