"""The index over the ledger: at every start it is what the ledger's entries say, or the sequencer does not start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import text

from infra.seen_check import Expected
from tally.sequencer.ledger import Damaged, Ledger, Stage
from tests.databases import Database
from tests.sequencer.house import House

TABLES = ["seen_recorded", "seen_refused", "seen_latest"]


@pytest.fixture
def voted(open_house: House) -> House:
    """Two ballots under one pseudonym are recorded, another is, and one is refused."""
    open_house.record(open_house.ballot(0), open_house.ballot(1, revision=1))
    open_house.record(open_house.ballot(0, revision=1), open_house.ballot(1, revision=0))
    return open_house


def change(database: Database, statement: str, house: House) -> None:
    with database.owner.begin() as connection:
        connection.execute(text(statement), {"origin": house.meeting.origin, "other": b"o" * 32})


@pytest.mark.parametrize("table", TABLES)
def test_what_was_lost_is_filled_in(voted: House, ledger_databases: list[Database], table: str) -> None:
    repeated = voted.ballot(2)
    voted.record(repeated)
    size = len(voted.vault.entries())
    change(ledger_databases[0], f"DELETE FROM {table} WHERE origin = :origin", voted)
    again = list(voted.ledger.all_entries())
    assert len(voted.record(*again[-4:])) == size
    assert voted.replay(1).ballots == 4


def test_an_older_ballot_in_place_of_the_last_is_put_right(voted: House, ledger_databases: list[Database]) -> None:
    change(ledger_databases[0], "UPDATE seen_latest SET revision = 0, ballot = :other WHERE origin = :origin", voted)
    size = len(voted.vault.entries())
    assert len(voted.record(voted.ballot(0, revision=1))) == size + 1
    assert voted.vault.entries()[-1].fields["reason"] == "revision-repeated"


def test_what_is_staged_between_two_looks_is_no_damage(open_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    late = Ledger(open_house.ledger.engine, open_house.ledger.origin)
    staged = list[int]()

    def differing(expected_at: Callable[[Stage], Expected]) -> list[str]:
        def expected(newest: Stage) -> Expected:
            # Once the stage is known with which the index is compared.
            open_house.record(open_house.ballot(0))
            staged.append(newest.size)
            return expected_at(newest)

        return Ledger.differing(late, expected)

    monkeypatch.setattr(late, "differing", differing)
    with replace(open_house, ledger=late).opened() as sequencer:
        assert sequencer.election.ballots == 1
        assert staged == [sequencer.election.size - 1]


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("INSERT INTO seen_recorded VALUES (:origin, :other, '')", "seen_recorded"),
        ("INSERT INTO seen_refused VALUES (:origin, :other, 'intake-1', :other)", "seen_refused"),
        ("INSERT INTO seen_latest VALUES (:origin, :other, 7, '')", "seen_latest"),
        ("UPDATE seen_recorded SET intake = 'intake-2' WHERE origin = :origin AND intake <> ''", "seen_recorded"),
    ],
)
def test_what_does_not_follow_from_the_ledger_stops_the_sequencer(
    voted: House, ledger_databases: list[Database], statement: str, table: str
) -> None:
    change(ledger_databases[0], statement, voted)
    with pytest.raises(Damaged, match=table), voted.opened():
        pass
