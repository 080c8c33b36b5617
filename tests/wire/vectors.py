"""How the vectors of what services hand each other are run: from a case's bytes, in hex, to the JSON of what they
hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from infra.queue.frames import read_keys, read_rows
from vault.custodian.cosign import parse_append


def run_append(raw: bytes) -> Any:
    append = parse_append(raw)
    return {
        "old": append.old_size,
        "proof": [value.hex() for value in append.proof],
        "origin": append.checkpoint.origin,
        "size": append.checkpoint.size,
        "root": append.checkpoint.root.hex(),
        "lines": [line.name for line in append.note.signatures],
        "entries": [entry.hex() for entry in append.entries],
    }


def run_rows(raw: bytes) -> Any:
    return [{"key": row.key.hex(), "data": row.data.hex()} for row in read_rows(raw)]


def run_keys(raw: bytes) -> Any:
    return [key.hex() for key in read_keys(raw)]


RUN: dict[str, Callable[[bytes], Any]] = {"appends": run_append, "rows": run_rows, "keys": run_keys}
