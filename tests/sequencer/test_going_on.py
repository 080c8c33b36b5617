"""What a tally has to say and cannot write ends none of its threads; one that ends all the same is seen."""

from __future__ import annotations

import sys
import threading

import pytest

from infra import log
from tally.sequencer import courier, push, term
from tally.sequencer.courier import Courier
from tally.sequencer.push import Ended
from tests.infra.test_log import log_on_a_full_disk
from tests.loopback import PATIENCE, wait_until
from tests.sequencer.house import House


def ends(*_: object) -> None:
    sys.exit(0)


def test_a_custodian_that_was_away_while_the_logs_disk_was_full_is_served_again(
    open_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "LONGEST_PAUSE", 0.2)
    house = open_house
    with house.opened() as sequencer:
        house.vault.down(2)
        with log_on_a_full_disk(monkeypatch):
            house.queue.put(house.ballot(0))
            while sequencer.step():
                pass
            # The round, and the custodian that is away, twice.
            wait_until(lambda: log.dropped() >= 3)
        house.vault.up(2)
        wait_until(lambda: house.replay_size() == house.ledger.newest().size)


def test_a_courier_that_has_ended_ends_the_sequencer(open_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Courier, "_serve", ends)
    with open_house.sequencer() as sequencer:
        # Otherwise it would wait for custodians until it is told to stop.
        patience = threading.Timer(PATIENCE, sequencer._push.close)
        patience.start()
        with pytest.raises(Ended, match="start tally again"):
            sequencer.open()
        patience.cancel()


def test_a_term_ends_with_who_watches_over_its_turn(open_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    class Leading:
        confirm = ends

    monkeypatch.setattr(term, "BEAT_SECONDS", 0.0)
    stop, made = threading.Event(), open_house.term()
    with term.turn(Leading(), made.push, stop) as over:  # type: ignore[arg-type]
        assert over.wait(PATIENCE)
        with pytest.raises(push.Stopped):
            made.push.witness()
