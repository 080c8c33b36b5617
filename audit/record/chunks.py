"""Long things in the log: a list of rows too large for one entry is chunked, and exists when whole and right.

Every chunk names its place, how many there are, the row it begins with, and the hash of the whole; chunks may come in
any order. The hash covers the head (what all chunks say alike) and every row, each as a line of canonical JSON,
labelled and length-framed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

from audit.protocol.canonical import canonical
from audit.protocol.group import b64
from audit.protocol.refused import Refused

BUDGET = 60_000  # bytes of canonical rows in one chunk; the rest of an entry's 65,535 is head, part and signature


def whole_hash(head: dict[str, Any], rows: Iterable[dict[str, Any]]) -> bytes:
    """SHA-256 over the label, the head and the rows, a line each (32 bytes)."""
    return lines_hash(head, map(canonical, rows))


def lines_hash(head: dict[str, Any], lines: Iterable[bytes]) -> bytes:
    """`whole_hash` where a row's line is other bytes than its JSON."""
    digest = hashlib.sha256(b"psephos/v1 chunked\n" + canonical(head) + b"\n")
    for line in lines:
        digest.update(line + b"\n")
    return digest.digest()


def split(head: dict[str, Any], rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The bodies of the chunks of `rows`, in order; each is `head` and `first`, `part`, `rows`."""
    groups: list[list[dict[str, Any]]] = [[]]
    room = BUDGET
    for row in rows:
        cost = len(canonical(row)) + 1
        if groups[-1] and cost > room:
            groups.append([])
            room = BUDGET
        groups[-1].append(row)
        room -= cost
    whole = b64(whole_hash(head, rows))
    first = 0
    for index, group in enumerate(groups):
        yield {**head, "first": first, "part": {"hash": whole, "index": index, "of": len(groups)}, "rows": group}
        first += len(group)


class Assembly:
    """Collects the chunks of one thing. All name the same whole; which one that is, the first chunk admitted
    decides.
    """

    def __init__(self) -> None:
        self.head: dict[str, Any] | None = None
        self.of = 0
        self.hash = ""
        self.parts: dict[int, tuple[int, Any]] = {}

    def check(self, body: dict[str, Any]) -> None:
        """Refuses a chunk that does not belong to what is here."""
        head, part = head_of(body), body["part"]
        if part["index"] >= part["of"]:
            raise Refused("out-of-range", "a chunk's index is below the number of chunks", "part.index")
        if self.head is None:
            return
        if head != self.head or (part["of"], part["hash"]) != (self.of, self.hash):
            raise Refused("not-complete", "another whole has been begun; every chunk must name the same one", "part")
        if part["index"] in self.parts:
            raise Refused("duplicate", "this chunk is in the log already", "part.index")

    def with_chunk(self, body: dict[str, Any], rows: Any = None) -> Self:
        """A copy with this chunk added; the original stays as it is. `rows`: what is kept of its rows, if not these as
        they stand.
        """
        self.check(body)
        more = type(self)()
        more.head = head_of(body)
        more.of, more.hash = body["part"]["of"], body["part"]["hash"]
        kept = body["rows"] if rows is None else rows
        more.parts = {**self.parts, body["part"]["index"]: (body["first"], kept)}
        return more

    @property
    def complete(self) -> bool:
        return self.head is not None and len(self.parts) == self.of

    def in_order(self, count: Callable[[Any], int]) -> Iterator[Any]:
        """What is kept of every chunk's rows, in order; refuses chunks that do not join. `count`: how many rows that
        is."""
        next_row = 0
        for index in range(self.of):
            first, part = self.parts[index]
            if first != next_row:
                text = f"chunk {index} says it begins with row {first}, but row {next_row} is next"
                raise Refused("wrong-length", text, "first")
            next_row += count(part)
            yield part

    def expect_hash(self, lines: Iterable[bytes]) -> None:
        """Refuses a whole whose rows, as these lines, do not have the hash that each chunk names."""
        assert self.head is not None
        if b64(lines_hash(self.head, lines)) != self.hash:
            raise Refused("not-complete", "the chunks together do not have the hash that each names", "part.hash")


def head_of(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in ("first", "part", "rows")}
