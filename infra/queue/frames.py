"""How egress hands out rows: for each its 16-byte key, the length of its data as a big-endian u32, and the data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from audit.protocol.refused import Refused
from infra.queue.schema import KEY_BYTES


@dataclass(frozen=True, slots=True)
class Row:
    """A queued entry: the key by which it is acknowledged, and the entry as intake put it."""

    key: bytes
    data: bytes


def write_rows(rows: Iterable[Row]) -> bytes:
    """The body of an answer to `take`."""
    return b"".join(part for row in rows for part in (row.key, len(row.data).to_bytes(4, "big"), row.data))


def read_rows(raw: bytes) -> Iterator[Row]:
    """The rows of an answer to `take`. Refused `syntax` if it ends within one."""
    start = 0
    while start < len(raw):
        data = start + KEY_BYTES + 4
        end = data + int.from_bytes(raw[start + KEY_BYTES : data], "big")
        if data > len(raw) or end > len(raw):
            raise Refused("syntax", "the bytes end within a row")
        yield Row(raw[start : start + KEY_BYTES], raw[data:end])
        start = end


def read_keys(raw: bytes) -> list[bytes]:
    """The keys in the body of an `ack`. Refused `syntax` if the last is not whole."""
    if len(raw) % KEY_BYTES:
        raise Refused("syntax", f"the length is no multiple of {KEY_BYTES}")
    return [raw[start : start + KEY_BYTES] for start in range(0, len(raw), KEY_BYTES)]
