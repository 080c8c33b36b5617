"""Entries that the log refuses, kept whole beside it: the log says why, and here is what it says that of.

A refusal is the log's word alone. Whoever doubts it, the voter or an auditor, needs the refused text, which the voter
has kept too; and if tally has made a refusal up, it has nothing here to show for it. They are public as soon as
somebody asks: they hold no more than a recorded ballot does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from audit.log.merkle import leaf_hash
from audit.protocol.group import b64
from audit.record.entries import Entry
from audit.record.seen import intake_of
from tally.sequencer.schema import refused_entry

MOST_KEPT = 10_000
"""Entries kept of one intake, at most some 650 MB: one that is captured, and hands in what is refused without end,
fills no disk and pushes nobody else's out. Of the rest, the log's refusal stays.
"""
PAGE = 256


def keep(connection: Connection, origin: str, entries: Sequence[Entry]) -> None:
    """Stores refused entries in the caller's transaction, each once, as far as there is room for its intake."""
    coming = Counter(intake_of(entry) for entry in entries)
    room = {intake: MOST_KEPT - _held(connection, origin, intake) for intake in coming}
    rows = []
    for entry in entries:
        intake = intake_of(entry)
        if room[intake] > 0:
            room[intake] -= 1
            rows.append({"origin": origin, "intake": intake, "identity": entry.identity, "data": entry.raw})
    if rows:
        connection.execute(upsert(refused_entry).on_conflict_do_nothing(), rows)


def write_all(engine: Engine, origin: str, folder: Path) -> int:
    """Writes every kept entry to a new folder, named by its leaf hash, as a receipt states it; how many. OSError."""
    folder.mkdir()
    count = 0
    for raw in kept(engine, origin):
        (folder / f"{b64(leaf_hash(raw))}.entry").write_bytes(raw)
        count += 1
    return count


def kept(engine: Engine, origin: str) -> Iterator[bytes]:
    """All that are kept, in the order of their intakes and identities."""
    query = select(refused_entry.c.data).where(refused_entry.c.origin == origin)
    query = query.order_by(refused_entry.c.intake, refused_entry.c.identity)
    with engine.connect() as connection:
        yield from map(bytes, connection.scalars(query, execution_options={"yield_per": PAGE}))


def _held(connection: Connection, origin: str, intake: str) -> int:
    mine = refused_entry.c.origin == origin, refused_entry.c.intake == intake
    rows = select(1).where(*mine).limit(MOST_KEPT).subquery()
    return connection.scalar(select(func.count()).select_from(rows)) or 0
