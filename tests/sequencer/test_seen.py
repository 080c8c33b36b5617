"""The index in PostgreSQL answers as the one in memory does, whatever is added in whatever portions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from audit.log.keys import Signature
from audit.record.seen import MemorySeen
from infra.seen import SqlSeen, install
from infra.seen_check import Expected, rebuild
from tests.databases import Database, rights

INTAKES = ("intake-1", "intake-2")
_numbers = itertools.count()


@dataclass(frozen=True)
class Entry:
    """As much of an entry as the index looks at."""

    kind: str
    identity: bytes
    fields: dict[str, Any] = field(default_factory=dict)
    signatures: tuple[Signature, ...] = ()
    raw: bytes = b""


def octets(number: int) -> bytes:
    return number.to_bytes(32, "big")


def ballot(identity: int, pseudonym: int, revision: int, intake: int) -> Entry:
    fields = {"pseudonym": octets(pseudonym), "revision": revision}
    line = Signature(INTAKES[intake], b"key.", b"s")
    return Entry("ballot", octets(identity), fields, (line,), b"ballot %d" % identity)


def refusal(identity: int, of: int, intake: int, kind: str, leaf: int) -> Entry:
    fields = {"identity": octets(of), "intake": INTAKES[intake] if kind == "ballot" else "", "kind": kind}
    fields["leaf"] = octets(leaf)
    return Entry("refusal", octets(identity), fields)


@st.composite
def logs(draw: st.DrawFn) -> list[list[Entry]]:
    """Transactions of entries such as admission lets through: every identity once, revisions rising; and a ballot also
    after other bytes of it were refused.
    """
    revisions: dict[int, int] = {}
    recorded: dict[int, int] = {}
    found: list[list[Entry]] = []
    number = itertools.count(100)
    refused = set[tuple[int, int, str, int]]()
    for size in draw(st.lists(st.integers(0, 6), max_size=6)):
        found.append([])
        for _ in range(size):
            what, who, intake = draw(st.integers(0, 2)), draw(st.integers(0, 4)), draw(st.integers(0, 1))
            if what == 0:
                revisions[who] = revisions.get(who, -1) + draw(st.integers(1, 3))
                identity = who if who not in recorded and draw(st.booleans()) else next(number)
                recorded[identity] = intake
                found[-1].append(ballot(identity, who, revisions[who], intake))
            elif what == 1:
                found[-1].append(Entry("open", octets(next(number))))
            else:
                kind, leaf = draw(st.sampled_from(["ballot", "close"])), draw(st.integers(0, 1))
                of = who, intake if kind == "ballot" else 0, kind, leaf
                if of not in refused and recorded.get(who) != intake:
                    refused.add(of)
                    found[-1].append(refusal(next(number), *of))
    return found


def answers(seen: Any) -> Sequence[object]:
    identities = [octets(n) for n in (*range(6), *range(100, 140))]
    return (
        [seen.recorded(identity) for identity in identities],
        [set(seen.refused(identity, intake)) for identity in identities for intake in (*INTAKES, "")],
        [seen.revision(octets(n)) for n in range(6)],
        [list(seen.passed(intake)) for intake in INTAKES],
        sorted(seen.counted()),
    )


@settings(max_examples=30)
@given(log=logs(), looking=st.booleans())
def test_it_answers_as_memory_does(ledger_databases: list[Database], log: list[list[Entry]], looking: bool) -> None:
    engine, origin = ledger_databases[0].engine, f"vote.example/seen-{next(_numbers)}"
    memory = MemorySeen()
    for transaction in log:
        with engine.begin() as connection, SqlSeen(connection, origin) as seen:
            if looking:
                seen.look_up(transaction)
            for entry in transaction:
                seen.add(entry)
                memory.add(entry)
            assert answers(seen) == answers(memory)
    with engine.connect() as connection:
        assert answers(SqlSeen(connection, origin)) == answers(memory)


def test_what_was_added_is_gone_with_the_transaction(ledger_databases: list[Database]) -> None:
    engine, origin = ledger_databases[0].engine, f"vote.example/seen-{next(_numbers)}"
    with pytest.raises(ZeroDivisionError), engine.begin() as connection, SqlSeen(connection, origin) as seen:
        seen.add(ballot(1, 2, 3, 0))
        seen.flush()
        raise ZeroDivisionError
    with engine.connect() as connection:
        assert answers(SqlSeen(connection, origin)) == answers(MemorySeen())


def test_one_logs_rows_are_not_anothers(ledger_databases: list[Database]) -> None:
    engine, origin = ledger_databases[0].engine, f"vote.example/seen-{next(_numbers)}"
    with engine.begin() as connection, SqlSeen(connection, origin) as seen:
        seen.add(ballot(1, 2, 3, 0))
    with engine.connect() as connection:
        assert answers(SqlSeen(connection, f"{origin}-b")) == answers(MemorySeen())


def test_adding_where_it_would_never_be_written_is_a_fault(ledger_databases: list[Database]) -> None:
    with ledger_databases[0].engine.connect() as connection, pytest.raises(RuntimeError):
        SqlSeen(connection, "vote.example/none").add(ballot(1, 2, 3, 0))


def test_the_service_adds_and_forgets_nothing(ledger_databases: list[Database]) -> None:
    add = {"SELECT", "INSERT"}
    assert rights(ledger_databases[0].engine) == {
        **dict.fromkeys(("entry", "stage", "signed", "witnessed", "refused_entry"), add),
        **dict.fromkeys(("seen_recorded", "seen_refused"), add),
        "seen_latest": {*add, "UPDATE ballot", "UPDATE revision"},
    }


@pytest.mark.parametrize("table", ["seen_recorded", "seen_refused", "seen_latest"])
def test_a_right_given_too_widely_once_is_taken_back(ledger_databases: list[Database], table: str) -> None:
    role = ledger_databases[0].engine.url.username
    before = rights(ledger_databases[0].engine)
    with ledger_databases[0].owner.begin() as connection:
        connection.execute(text(f"GRANT UPDATE, DELETE ON {table} TO {role}"))
        install(connection, str(role))
    assert rights(ledger_databases[0].engine) == before


@settings(max_examples=20)
@given(log=logs())
def test_what_the_tables_hold_is_what_follows_from_the_log(
    ledger_databases: list[Database], log: list[list[Entry]]
) -> None:
    engine, origin = ledger_databases[0].engine, f"vote.example/seen-{next(_numbers)}"
    expected, entries = Expected(), [entry for transaction in log for entry in transaction]
    for entry in entries:
        expected.add(entry)
    with engine.begin() as connection:
        assert bool(expected.differing(connection, origin)) == bool(entries)
        rebuild(connection, origin, entries)
        assert expected.differing(connection, origin) == []
