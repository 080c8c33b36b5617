"""What the watch learns from the log while the same is handed in: neither waits for the other for ever."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import text

from intake.door.outbox import Accepted, Drained
from intake.door.schema import accepted
from tests.door.conftest import Place, signed
from tests.loopback import PATIENCE, wait_until


def blocked(place: Place, count: int) -> bool:
    """Whether so many sessions wait for another one's rows."""
    with place.owner.connect() as connection:
        return connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")) == count


def test_the_same_entries_learned_and_accepted_in_other_orders(place: Place) -> None:
    """After a loss of the outbox. A third transaction holds the row in the middle, so that both have begun."""
    texts = [place.text(account) for account in range(3)]
    first, middle, last = sorted(
        (signed(raw, place.intake.sign(raw).line) for raw in texts), key=lambda entry: entry.identity
    )

    def accept() -> list[Accepted | Drained]:
        return place.outbox.accept([(entry, 7) for entry in (last, middle, first)])

    def learn() -> None:
        with place.engine.begin() as connection:
            place.outbox.learn(connection, [first, middle, last], 9, lambda entry: True)

    row = {"origin": place.meeting.origin, "identity": middle.identity, "kind": "ballot", "leaf": middle.leaf}
    with place.owner.connect() as holder, ThreadPoolExecutor(2) as threads:
        holder.execute(accepted.insert(), row | {"deadline": 1})
        try:
            one = threads.submit(accept)
            wait_until(lambda: blocked(place, 1))
            other = threads.submit(learn)
            wait_until(lambda: blocked(place, 2))
        finally:
            holder.rollback()
        # The server ends one of two that wait in a circle, with an error.
        assert [type(answer) for answer in one.result(PATIENCE)] == [Accepted] * 3
        other.result(PATIENCE)
    assert place.waiting == 3
