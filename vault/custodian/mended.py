"""What was repaired, in PostgreSQL: rows in a table of their own, beside the damaged ones, which stay as evidence.

Nothing that is stored can be changed, so a repair adds the right bytes under the same place, and whoever reads prefers
them. If these are damaged in turn, the next repair adds another row; the last one counts. Only bytes that were verified
against a signed root are put here (`scrubbing`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from sqlalchemy import Connection, Engine, Select, exists, func, insert, literal, select

from audit.log.encoding import decode_base64, encode_base64
from audit.protocol.canonical import canonical, parse_canonical
from audit.protocol.refused import Refused
from vault.custodian.cluster import check_stored
from vault.custodian.cosign import Head
from vault.custodian.pages import by_index, readable
from vault.custodian.schema import IS_REKEY, mended
from vault.custodian.storage import Damaged

ENTRY, NODE, HEAD, PUBLISHED = "entry", "node", "head", "published"

T = TypeVar("T")


def mend(connection: Connection, origin: str, kind: str, level: int, number: int, data: bytes) -> None:
    """Adds the right bytes for a place. IntegrityError if another process does so at the same moment; Unsafe."""
    place = (mended.c.origin == origin, mended.c.kind == kind, mended.c.level == level, mended.c.number == number)
    attempt = connection.scalar(select(func.coalesce(func.max(mended.c.attempt) + 1, 0)).where(*place))
    row = {"origin": origin, "kind": kind, "level": level, "number": number, "attempt": attempt, "data": data}
    check_stored(connection.execute(insert(mended).values(row)), 1)


def repairs(connection: Connection, origin: str, kind: str, level: int, start: int, end: int) -> dict[int, bytes]:
    """What was repaired of the places [start, end), the last repair of each."""
    query = (
        select(mended.c.number, mended.c.data)
        .where(
            mended.c.origin == origin,
            mended.c.kind == kind,
            mended.c.level == level,
            mended.c.number >= start,
            mended.c.number < end,
        )
        .order_by(mended.c.number, mended.c.attempt)
    )
    return {number: bytes(data) for number, data in connection.execute(query)}


def looked_up(engine: Engine, read: Callable[[Connection], T]) -> T:
    """What `read` finds among the repairs, if the page that it is on can be read; Damaged otherwise."""
    with suppress(Damaged), readable(), engine.connect() as connection:
        return read(connection.execution_options(isolation_level="AUTOCOMMIT"))
    # The whole table may have been read for it.
    with by_index(engine) as connection:
        return read(connection)


def readable_repairs(engine: Engine, origin: str, kind: str, level: int, start: int, end: int) -> dict[int, bytes]:
    """As `repairs`, without those that cannot be read: what was damaged there is so again."""
    try:
        with by_index(engine) as connection:
            return repairs(connection, origin, kind, level, start, end)
    except Damaged:
        if end - start < 2:
            return {}
    middle = (start + end) // 2
    first = readable_repairs(engine, origin, kind, level, start, middle)
    return first | readable_repairs(engine, origin, kind, level, middle, end)


def repaired_after(origin: str, kind: str, at: int) -> Select[tuple[int]]:
    """The query for the numbers above `at` under which something was repaired, as `size`."""
    place = (mended.c.origin == origin, mended.c.kind == kind, mended.c.number > at)
    return select(mended.c.number.label("size")).where(*place)


def repaired_entries(connection: Connection, origin: str) -> dict[int, bool]:
    """Of every entry that was repaired whether it is a rekey."""
    query = select(mended.c.number, IS_REKEY).where(mended.c.origin == origin, mended.c.kind == ENTRY)
    return {number: bool(is_rekey) for number, is_rekey in connection.execute(query)}


def any_repairs(connection: Connection, origin: str) -> bool:
    """Whether anything of a log was ever repaired: as a rule nothing was, and reading need not look further."""
    return bool(connection.scalar(select(exists(select(literal(1)).where(mended.c.origin == origin)))))


def last_repair(
    connection: Connection, origin: str, kind: str, number: int | None = None, *, below: int | None = None
) -> tuple[int, bytes] | None:
    """The last repair with the highest number, below `below` if given, or with the number given: that and the bytes."""
    query = select(mended.c.number, mended.c.data).where(mended.c.origin == origin, mended.c.kind == kind)
    if number is not None:
        query = query.where(mended.c.number == number)
    if below is not None:
        query = query.where(mended.c.number < below)
    row = connection.execute(query.order_by(mended.c.number.desc(), mended.c.attempt.desc()).limit(1)).first()
    return None if row is None else (row.number, bytes(row.data))


def pack(head: Head) -> bytes:
    """A head as the bytes of a repair."""
    fields = {"frontier": head.frontier, "note": head.note, "root": head.root}
    numbers = {"old": head.old_size, "size": head.size, "time": head.time}
    return canonical({**{name: encode_base64(value) for name, value in fields.items()}, **numbers})


def unpack(raw: bytes) -> Head:
    """The inverse of `pack`. Damaged."""
    try:
        said = parse_canonical(raw)
        frontier, note, root = (decode_base64(said[name], name) for name in ("frontier", "note", "root"))
        return Head(said["old"], said["size"], root, frontier, note, said["time"])
    except (Refused, KeyError, TypeError):
        raise Damaged("the repair of a head is not as it was stored") from None
