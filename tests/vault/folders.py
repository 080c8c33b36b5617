"""Folders in which the custodian of a test keeps logs, and the rows of one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from audit.log.merkle import CompactRange, leaf_hash
from vault.custodian.cosign import Head
from vault.custodian.disk import Disk
from vault.custodian.folder_mending import MendableFolder
from vault.custodian.folder_store import make_folder

KEEPER = "custodian-of-the-tests"
ORIGIN = "vote.example/folder"


def opened(root: object, origins: Sequence[str], disk: Disk | None = None) -> MendableFolder:
    """What a custodian holds of these logs in a folder, which is made at its first use."""
    make_folder(str(root), disk)
    store = MendableFolder(str(root), origins, disk)
    for origin in origins:
        store.keep(origin, KEEPER)
    return store


@lru_cache(1 << 12)
def entry(index: int) -> bytes:
    return f"entry {index}".encode() * (1 + index % 3)


@lru_cache(1 << 12)
def leaf(index: int) -> bytes:
    return leaf_hash(entry(index))


@lru_cache(1 << 12)
def tree(size: int) -> CompactRange:
    grown = CompactRange()
    grown.extend(leaf(i) for i in range(size))
    return grown


def head(old: int, size: int) -> Head:
    grown = tree(size)
    return Head(old, size, grown.root(), grown.to_bytes(), f"note of {size} \u2014\n".encode(), 1000 + size)


def rows(start: int, end: int) -> tuple[list[bytes], list[bytes]]:
    entries = [entry(i) for i in range(start, end)]
    return [leaf(i) for i in range(start, end)], entries
