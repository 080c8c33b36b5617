"""A ballot that voting is closed over: while its proof is checked, or long after it was promised."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future

import pytest
from sqlalchemy import text

from audit.protocol.elgamal import Ciphertext
from audit.protocol.refused import Refused
from audit.record.entries import Entry
from intake.door.outbox import Accepted, Drained
from intake.door.reception import Answer, Pool, Reception
from tests.door.conftest import InlinePool, Place
from tests.door.test_rekeying import Hours


class Meanwhile(InlinePool):
    """`happens` while a ballot is checked."""

    happens: Callable[[], object] = staticmethod(lambda: None)

    def submit_text(self, text: bytes, weight: Ciphertext) -> Future[list[Refused | None]]:
        self.happens()
        return super().submit_text(text, weight)


class Desk:
    """A reception over the place, in no thread of its own: what it is handed, and what the log tells it, come one after
    another.
    """

    def __init__(self, place: Place, pool: Pool | None = None) -> None:
        self.place, self.hours = place, Hours(place).catch_up()
        self.pool = Meanwhile(self.hours.standing.checker(), 1)
        known = (place.meeting.manifest.history[0], self.hours.key, self.hours.standing, place.engine, place.outbox)
        self.reception = Reception(*known, self._accept, lambda: pool or self.pool)

    async def _accept(self, entry: Entry, deadline: int) -> Accepted | Drained:
        return self.hours.store([(entry, deadline)])[0]

    def hand_in(self, raw: bytes) -> Answer:
        return asyncio.run(self.reception.hand_in(raw))

    def read_closing(self) -> None:
        """Reads it, and does not yet account for any ballots."""
        self.place.meeting.closing()
        self.place.board.publish()
        while self.hours.standing.election.phase != "closing":
            self.hours.watch.step()

    def read_close(self) -> None:
        """The officials close without any intake's account."""
        self.place.meeting.close(*(key.name for key in self.place.meeting.parties.intakes))
        self.place.board.publish()
        while self.hours.standing.election.phase != "closed":
            self.hours.watch.step()


def test_voting_closes_while_a_ballot_is_checked(place: Place) -> None:
    """While intakes drain, none is promised."""
    desk = Desk(place)
    desk.pool.happens = desk.read_closing
    with pytest.raises(Refused) as refused:
        desk.hand_in(place.text())
    assert refused.value.reason == "closed"
    assert (list(place.outbox.ballots()), desk.hours.standing.highest(place.holder(0).pseudonym.raw)) == ([], -1)


def test_what_was_promised_and_is_in_no_log_waits_anew_while_intakes_drain_and_no_more_after_that(place: Place) -> None:
    """Once voting is closed for good, nothing would ever settle it. Its receipt is given all the same: with it, its
    holder shows that a promise was broken.
    """
    desk = Desk(place)
    promised = desk.hand_in(ballot := place.text())

    def taken_out() -> tuple[bytes, int]:
        """The receipt for it once somebody has taken it out of the outbox, and how many ballots then wait."""
        with place.owner.begin() as connection:
            connection.execute(text("DELETE FROM outbox WHERE kind = 'ballot'"))
        return desk.hand_in(ballot).receipt, len(list(place.outbox.ballots()))

    desk.read_closing()
    assert taken_out() == (promised.receipt, 1)
    desk.read_close()
    assert taken_out() == (promised.receipt, 0)
