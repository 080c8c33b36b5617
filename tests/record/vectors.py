"""How the vectors of the record are run: from the JSON of a case to the JSON of what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from audit.protocol.canonical import canonical
from audit.protocol.group import b64, unb64
from audit.protocol.refused import Refused
from audit.record.chunks import Assembly
from audit.record.election import Election
from audit.record.entries import parse_entry
from audit.record.manifest import parse_manifest
from audit.record.seen import MemorySeen


def run_entry(note: str) -> dict[str, Any]:
    entry = parse_entry(note.encode())
    return {"identity": b64(entry.identity), "kind": entry.kind, "leaf": b64(entry.leaf)}


def run_manifest(note: str) -> dict[str, Any]:
    return {"hash": b64(parse_manifest(parse_entry(note.encode())).hash)}


def run_chunks(bodies: list[dict[str, Any]]) -> dict[str, Any]:
    assembly = Assembly()
    for body in bodies:
        assembly = assembly.with_chunk(body)
    if not assembly.complete:
        raise Refused("not-complete", "a chunk is missing", "part")
    return {"rows": whole(assembly)}


def whole(assembly: Assembly) -> list[dict[str, Any]]:
    """The rows of the whole in order, whose hash is as each chunk names it."""
    rows = [row for part in assembly.in_order(len) for row in part]
    assembly.expect_hash(map(canonical, rows))
    return rows


RUN: dict[str, Callable[[Any], dict[str, Any]]] = {
    "entries": run_entry,
    "manifests": run_manifest,
    "chunks": run_chunks,
}


def hold(log: list[str], order: list[int], manifest: str) -> dict[str, Any]:
    """What comes of an election whose log has these entries in this order."""
    election, seen = Election(unb64(manifest, 32)), MemorySeen()
    for number, place in enumerate(order):
        try:
            entry = parse_entry(log[place].encode())
            election.take(entry, seen)
        except Refused as refusal:
            return {"entry": number, "reason": refusal.reason, "field": refusal.field}
        seen.add(entry)
    return {
        "phase": election.phase,
        "ballots": election.ballots,
        "root": b64(election.head.root()),
        "result": election.result or {},
    }
