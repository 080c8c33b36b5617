"""What the door's role may do in its database, as the database sees it: no more than the door does."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

from tests.databases import rights

ADD = {"SELECT", "INSERT"}


def test_the_role_may_do_what_the_door_does(engines: tuple[Engine, Engine]) -> None:
    assert rights(engines[1]) == {
        "accepted": {*ADD, "UPDATE deadline", "UPDATE leaf"},
        "outbox": {*ADD, "DELETE", "UPDATE due", "UPDATE puts"},
        "drained": ADD,
        "restored": ADD,
        "seen_recorded": ADD,
        "seen_refused": ADD,
        "seen_latest": {*ADD, "UPDATE ballot", "UPDATE revision"},
    }


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE seen_recorded SET intake = ''",
        "UPDATE seen_refused SET intake = ''",
        "UPDATE seen_latest SET pseudonym = ''",
        "UPDATE outbox SET entry = ''",
        "UPDATE accepted SET kind = ''",
        "DELETE FROM accepted",
        "DELETE FROM seen_recorded",
        "DELETE FROM drained",
        "TRUNCATE outbox",
        "DROP TABLE outbox",
        "CREATE TABLE mine (a int)",
    ],
)
def test_nothing_else(engines: tuple[Engine, Engine], statement: str) -> None:
    with pytest.raises(ProgrammingError, match="permission denied|must be owner"), engines[1].begin() as connection:
        connection.execute(text(statement))
