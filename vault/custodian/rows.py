"""Entries and their leaf hashes as they are stored, also where some of them cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from audit.log.merkle import leaf_hash
from vault.custodian.storage import Damaged, Mendable


@dataclass
class Row:
    """An entry and its leaf hash as they are stored; None if missing, or not readable if `unreadable`."""

    data: bytes | None
    leaf: bytes | None
    unreadable: bool = False


def read_rows(store: Mendable, origin: str, start: int, end: int) -> list[Row]:
    """Each of the entries [start, end) with its leaf hash, all that can be read of them."""
    try:
        datas, leaves = store.entries(origin, start, end), store.hashes(origin, 0, start, end)
        if len(datas) == len(leaves) == end - start:
            return [Row(data, leaf) for data, leaf in zip(datas, leaves, strict=True)]
    except Damaged:
        pass
    if end - start == 1:
        return [read_row(store, origin, start)]
    middle = (start + end) // 2
    return read_rows(store, origin, start, middle) + read_rows(store, origin, middle, end)


def read_row(store: Mendable, origin: str, index: int) -> Row:
    """One entry and its leaf hash, each for itself."""
    row = Row(None, None)
    try:
        row.data = next(iter(store.entries(origin, index, index + 1)), None)
    except Damaged:
        row.unreadable = True
    try:
        row.leaf = next(iter(store.hashes(origin, 0, index, index + 1)), None)
    except Damaged:
        row.unreadable = True
    return row


def hash_present(rows: Sequence[Row]) -> list[bytes]:
    """The hash of each entry, b"" for one that is not there."""
    return [b"" if row.data is None else leaf_hash(row.data) for row in rows]
