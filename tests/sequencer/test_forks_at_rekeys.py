"""Another tree that is signed by keys of the log which do not count there: as they were before a rekey, stolen since or
held by a sequencer that does not know of it; or as they will be. It is told as any other.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.log.keys import Signer
from audit.log.notes import Note, parse_note
from audit.log.treehead import Checkpoint, parse_checkpoint
from tally.sequencer.courier import Fork
from tally.sequencer.custodian import Rejected
from tests.loopback import wait_until
from tests.sequencer.house import House, until_it_ends
from tests.sequencer.test_forks import OTHER, TIME, shows
from tests.sequencer.test_rekeying import NEW_LOG, made_up, rotated
from tests.simulator.dice import Dice
from tests.simulator.rekeys import rekeying

__all__ = ["rotated"]


def signed(house: House, size: int, root: bytes, keys: tuple[Signer, ...]) -> bytes:
    text = Checkpoint(house.meeting.origin, size, root).text
    return Note(text, tuple(key.sign(text, TIME) for key in keys)).raw


def told(house: House, *shown: bytes) -> list[bytes]:
    """The notes that are told while custodian 2 shows these in turn."""
    notes = list[bytes]()
    with house.opened() as sequencer:
        push = sequencer._push
        wait_until(lambda: push._couriers[2].heard)
        push.told = lambda label, note: notes.append(note)
        for note in shown:
            shows(house, 2, note)
            with pytest.raises(Rejected):
                push._couriers[2]._find(0)
    return notes


def test_one_by_keys_of_before_or_after_is_told_with_its_note(rotated: House) -> None:
    """The rekey is the last entry but one."""
    old, newest = rotated.log_keys[:2], rotated.ledger.newest()
    others = [signed(rotated, newest.size + beyond, OTHER, old) for beyond in (-4, -1, 0, 1, 1000)]
    others.append(signed(rotated, newest.size - 4, OTHER, NEW_LOG))
    # Neither is a tree of which the log's keys have signed nothing, nor the true one.
    strange = signed(rotated, newest.size, OTHER, Dice(73).log_keys("log"))
    true = signed(rotated, newest.size, newest.root, old)
    assert told(rotated, *others, strange, true) == others


def test_one_by_keys_of_which_only_its_own_rekey_tells(open_house: House, tmp_path: Path) -> None:
    """Another sequencer has recorded it already, in the place of a ballot. The vote goes on."""
    true = [entry.raw for entry in open_house.record(open_house.ballot(0))]
    made_up(open_house, tmp_path, [*true[:-1], rekeying(open_house.meeting, "log", "log", NEW_LOG)], NEW_LOG)
    notes = list[bytes]()
    with open_house.opened() as sequencer:
        sequencer._push.told = lambda label, note: notes.append(note)
        open_house.queue.put(open_house.ballot(1))
        assert sequencer.step()
        wait_until(lambda: notes)
    (text,) = {parse_note(note).text for note in notes}
    assert parse_checkpoint(text).size == len(true)
    assert open_house.replay(0).ballots == 2


def test_more_than_w_can_spare_end_it(rotated: House) -> None:
    size = rotated.ledger.newest().size
    for i in (1, 2):
        shows(rotated, i, signed(rotated, size + i, OTHER, rotated.log_keys[:2]))
    with pytest.raises(Fork, match="of another time"), rotated.opened() as sequencer:
        until_it_ends(sequencer)


def test_what_is_signed_by_keys_that_couriers_do_not_know_yet_is_no_damage(rotated: House) -> None:
    """The tree with the rekey is signed, and not sent yet, when custodian 2 shows another of its size."""
    size, before = rotated.ledger.newest().size - 1, rotated.meeting.manifest.history[0]
    with rotated.opened() as sequencer:
        push = sequencer._push
        wait_until(lambda: push._couriers[2].heard)
        stage = rotated.ledger.stage_up_to(size - 1)
        push.send(stage, rotated.ledger.signed(stage.size) or b"", before)
        shows(rotated, 2, signed(rotated, size, OTHER, rotated.log_keys[:2]))
        with pytest.raises(Rejected, match="another-tree"):
            push._couriers[2]._find(0)
