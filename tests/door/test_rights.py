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
        "UPDATE public.seen_recorded SET intake = ''",
        "UPDATE public.seen_refused SET intake = ''",
        "UPDATE public.seen_latest SET pseudonym = ''",
        "UPDATE public.outbox SET entry = ''",
        "UPDATE public.accepted SET kind = ''",
        "DELETE FROM public.accepted",
        "DELETE FROM public.seen_recorded",
        "DELETE FROM public.drained",
        "TRUNCATE public.outbox",
        "DROP TABLE public.outbox",
        "CREATE TABLE public.mine (a int)",
    ],
)
def test_nothing_else(engines: tuple[Engine, Engine], statement: str) -> None:
    with pytest.raises(ProgrammingError, match="permission denied|must be owner"), engines[1].begin() as connection:
        connection.execute(text(statement))
