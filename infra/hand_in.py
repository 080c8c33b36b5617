"""Handing entries in at the one door, and the receipt that intake answers with.

Ballots and every act of an official take this way. A receipt is a promise with a deadline, signed by an intake of the
manifest: it is checked here before anybody relies on it. Handing the same text in again is always safe: the door
answers with the same receipt. Waiting until an entry is recorded stands in desk.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx

from audit.log.keys import Signature
from audit.log.notes import parse_signature_lines
from audit.protocol.refused import Refused
from audit.record.election import check_binding
from audit.record.entries import Entry, check_lines, parse_entry, read_text
from audit.record.manifest import Manifest
from infra.card import Card

TIMEOUT = httpx.Timeout(30.0, connect=5.0)
BUSY = (408, 425, 429)
# A proxy of the environment cannot reach what listens on this machine only.
LOOPBACK = ("all://127.0.0.1", "all://[::1]", "all://localhost")


class NoDoor(Exception):
    """No intake took the entry and none refused it: what became of it is unknown, and it has to be handed in again."""


@dataclass(frozen=True)
class Receipt:
    """What an intake promised, verified: `entry` as it will stand in the log, before `deadline` (POSIX seconds)."""

    note: bytes
    entry: Entry
    intake: str
    deadline: int

    @property
    def leaf(self) -> bytes:
        """The leaf hash under which the entry will be found (32 bytes)."""
        return self.entry.leaf


def http_client(connections: int = 4) -> httpx.Client:
    """A client for doors, kept open over many entries; threads may share it."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    return httpx.Client(timeout=TIMEOUT, limits=limits, mounts=dict.fromkeys(LOOPBACK))


def hand_in(card: Card, manifest: Manifest, raw: bytes, client: httpx.Client) -> Receipt:
    """The receipt of the first intake that takes `raw`: a ballot's bare text, or the complete note of any other entry.

    Refused as the first refusing intake said, if none takes it; NoDoor if none answers. A receipt that does not hold is
    Refused `bad-receipt`.
    """
    refusals: list[Refused] = []
    silent: list[str] = []
    for door in card.doors:
        try:
            answer = client.post(door, content=raw, headers={"content-type": "text/plain; charset=utf-8"})
        except httpx.HTTPError as error:
            silent.append(f"{door}: {type(error).__name__}")
            continue
        if answer.status_code in (200, 201):
            return open_receipt(manifest, raw, answer.content)
        if answer.status_code in BUSY or answer.status_code >= 500:
            silent.append(f"{door}: status {answer.status_code}")
        else:
            refusals.append(refusal_in(door, answer.status_code, answer.content))
    if refusals:
        raise refusals[0]
    raise NoDoor(f"no intake answered ({'; '.join(silent)})")


def refusal_in(door: str, status: int, content: bytes) -> Refused:
    """The refusal that a 4xx answer states as its problem object (RFC 9457)."""
    try:
        body = json.loads(content)
        texts = [body[name] for name in ("reason", "detail", "field")]
    except (ValueError, KeyError, TypeError):
        texts = []
    if len(texts) != 3 or not all(isinstance(text, str) for text in texts):
        return Refused("refused", f"{door} answered with status {status} and no reason")
    return Refused(*(_printable(text) for text in texts))


def open_receipt(manifest: Manifest, raw: bytes, content: bytes) -> Receipt:
    """The receipt in a door's answer, `{"line": ..., "receipt": ...}`, once it holds for `raw`. Refused `bad-receipt`.
    """
    try:
        note, line = _parts(content)
        promise = parse_entry(note)
        if promise.kind != "receipt":
            raise Refused("unknown-kind", f"the receipt is of type {promise.kind}")
        check_binding(manifest.origin, manifest.hash, promise)
        intake = _intake_of(manifest, promise)
        entry = parse_entry(raw) if line is None else _with_line(manifest, raw, line, intake)
        for name, wanted in (("identity", entry.identity), ("leaf", entry.leaf)):
            if promise.fields[name] != wanted:
                raise Refused("another-entry", "the receipt is for another entry than the one handed in", name)
    except Refused as refusal:
        raise Refused("bad-receipt", f"the intake's receipt does not hold ({refusal})") from None
    return Receipt(note, entry, intake, promise.fields["deadline"])


def _parts(content: bytes) -> tuple[bytes, Signature | None]:
    try:
        body: Any = json.loads(content)
        note, line = body["receipt"], body["line"]
        if not isinstance(note, str) or not isinstance(line, str):
            raise TypeError
    except (ValueError, KeyError, TypeError):
        raise Refused("syntax", "the answer is no receipt") from None
    if not line:
        return note.encode(), None
    lines = parse_signature_lines(line.encode() if line.endswith("\n") else f"{line}\n".encode())
    if len(lines) != 1:
        raise Refused("wrong-signers", "the intake signs a ballot with one line")
    return note.encode(), lines[0]


def _with_line(manifest: Manifest, raw: bytes, line: Signature, intake: str) -> Entry:
    """The ballot with the intake's line, as it will stand in the log: an untrue line would have the log refuse it."""
    entry = read_text(raw, (line,))
    if _intake_of(manifest, entry) != intake:
        raise Refused("wrong-signers", "receipt and ballot bear the lines of two different intakes")
    return entry


def _intake_of(manifest: Manifest, entry: Entry) -> str:
    """Whose one line the entry bears, verified. Refused as `check_lines`."""
    check_lines(entry, manifest.intakes, 1, 1, "exactly one intake")
    return entry.signatures[0].name


def _printable(text: str) -> str:
    """What a stranger says, fit for a terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in text[:500])
