"""Entries that the log refuses, kept whole beside it: the log says why, and here is what it says that of.

A refusal is the log's word alone, and of the bytes it names only the hash. Whoever doubts it, the voter or an auditor,
needs these: if they differ from what the voter handed in, the intake has spoiled them, and if tally has none, it may
have made the refusal up, or have had no room. They are public as soon as somebody asks: they hold no more than a
recorded ballot does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from audit.protocol.group import b64
from audit.record.entries import Entry, parse_entry
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
    """Writes every kept entry to a new folder, named as `file_name` says; how many. OSError."""
    try:
        folder.mkdir()
    except FileExistsError:
        raise FileExistsError(f"{folder}: exists already and is not overwritten") from None
    count = 0
    for raw in kept(engine, origin):
        (folder / file_name(parse_entry(raw))).write_bytes(raw)
        count += 1
    return count


def file_name(entry: Entry) -> str:
    """By the identity and the intake that the refusal names, and the leaf hash that a receipt states: of another leaf
    than that, it is not what the receipt promised.
    """
    # An intake's name may hold signs that no file's may, and be long; the leaf hash alone makes this one unique.
    named = (b64(entry.identity), quote(intake_of(entry), safe="")[:100], b64(entry.leaf))
    return ".".join(part for part in named if part) + ".entry"


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
