"""Handing entries in at the one door, and the receipt that intake answers with.

Ballots and every act of an official take this way. A receipt is a promise with a deadline, signed by an intake of the
manifest: it is checked here before anybody relies on it. Handing the same text in again is always safe: the door
answers with the same receipt. Waiting until an entry is recorded stands in desk.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from audit.log.keys import Signature
from audit.log.notes import parse_signature_lines
from audit.log.sources import cause
from audit.protocol.refused import Refused
from audit.record.election import check_binding
from audit.record.entries import Entry, check_lines, parse_entry, read_text
from audit.record.manifest import Manifest
from infra.card import Card
from infra.exchange import Unusable, ask, client, read_json

TIMEOUT = httpx.Timeout(30.0, connect=5.0)
SECONDS = 60.0
"""In which a door must have answered, whole: it may have to check a long roll first."""
MAX_ANSWER = 1 << 18
"""Bytes of a door's answer: a receipt and a line, or a refusal."""
BUSY = (408, 425, 429)
WAITS = 10
"""So many batch waits after it came an entry is promised to be recorded, rounded up to a whole one."""
PATIENCE_SECONDS = 120.0
"""Without anything to rely on, after which a client gives up unless it is told otherwise."""
OVERTAKEN = frozenset({"duplicate", "revision-lower", "revision-repeated"})
"""Said where a ballot of the account came first, another or this one; whether one did, the log says."""


class NoDoor(Exception):
    """No intake gave a receipt that holds, and not all refused the entry: what becomes of it is unknown, and it is to
    be handed in again.
    """


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

    def patience(self, manifest: Manifest, now: float) -> float:
        """Seconds to wait before another intake is asked, `now` being POSIX seconds: to the deadline, but no longer
        than for what an honest intake promises now, so that no deadline holds anybody off for ever."""
        step = max(1.0, manifest.batch_wait)
        return min(self.deadline - now, WAITS * manifest.batch_wait + step)


def reliance(manifest: Manifest, intakes: int) -> float:
    """Seconds from the first receipt within which an entry is recorded if one of so many intakes keeps its word, though
    all the others are relied on before it is asked; one such time more than they take."""
    return (intakes + 1) * (WAITS * manifest.batch_wait + 2 * max(1.0, manifest.batch_wait))


def http_client(connections: int = 4) -> httpx.Client:
    """A client for doors, kept open over many entries; threads may share it."""
    return client(TIMEOUT, limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections))


def hand_in(card: Card, manifest: Manifest, raw: bytes, client: httpx.Client, turn: int = 0) -> Receipt:
    """The receipt of the first intake that takes `raw`: a ballot's bare text, or the complete note of any other entry.
    All are asked, beginning with another at every `turn`.

    Refused as the first refusing intake said, if all refuse it, or as one that says it is overtaken, for that can be
    looked into; NoDoor if another does not answer, since it may yet take what these refuse, or gives a receipt that
    does not hold, since it may have taken it: its key may be newer than what is known of the log.
    """
    headers = {"content-type": "text/plain; charset=utf-8"}
    refusals: list[Refused] = []
    silent: list[str] = []
    first = turn % len(card.doors)
    for door in (*card.doors[first:], *card.doors[:first]):
        try:
            answer = ask(client, "POST", door, raw, most=MAX_ANSWER, seconds=SECONDS, headers=headers)
        except httpx.HTTPError as error:
            silent.append(f"{door}: cannot be reached: {cause(error)}")
            continue
        except Unusable as error:
            silent.append(f"{door}: {error}")
            continue
        if answer.status in (200, 201):
            try:
                return open_receipt(manifest, raw, answer.body)
            except Refused as refusal:
                silent.append(f"{door}: {refusal}")
        elif answer.status in BUSY or answer.status >= 500:
            silent.append(f"{door}: status {answer.status}")
        else:
            refusals.append(refusal_in(door, answer.status, answer.body))
    overtaken = [refusal for refusal in refusals if refusal.reason in OVERTAKEN]
    if overtaken or (refusals and not silent):
        raise (overtaken or refusals)[0]
    also = f"; refused: {'; '.join(map(str, refusals))}" if refusals else ""
    raise NoDoor(f"{'not every' if refusals else 'no'} intake answered ({'; '.join(silent)}{also})")


def refusal_in(door: str, status: int, content: bytes) -> Refused:
    """The refusal that a 4xx answer states as its problem object (RFC 9457); who says it, and the reason, stand in the
    detail, too."""
    try:
        body = read_json(content)
        texts = [body[name] for name in ("reason", "detail", "field")]
    except (ValueError, KeyError, TypeError):
        texts = []
    if len(texts) != 3 or not all(isinstance(text, str) for text in texts):
        return Refused("refused", f"{door} answered with status {status} and no reason")
    return _said_by(door, Refused(*(_printable(text) for text in texts)))


def _said_by(door: str, refusal: Refused) -> Refused:
    detail = refusal.detail or "it is refused"
    return Refused(refusal.reason, f"{detail} ({refusal.reason}, {door})", refusal.field)


def open_receipt(manifest: Manifest, raw: bytes, content: bytes) -> Receipt:
    """The receipt in an answer, `{"line": ..., "receipt": ...}`, once it holds for `raw`. Refused `bad-receipt`."""
    try:
        note, line = _parts(content)
        promise = parse_entry(note)
        if promise.kind != "receipt":
            raise Refused("unknown-kind", f"the receipt is of type {promise.kind}")
        check_binding(manifest.origin, manifest.hash, promise)
        intake = _intake_of(manifest, promise)
        entry = parse_entry(raw) if line is None else _with_line(manifest, raw, line, intake)
        for name, wanted in (("identity", entry.identity), ("kind", entry.kind), ("leaf", entry.leaf)):
            if promise.fields[name] != wanted:
                raise Refused("another-entry", "the receipt is for another entry than the one handed in", name)
    except Refused as refusal:
        raise Refused("bad-receipt", f"the intake's receipt does not hold ({refusal})") from None
    return Receipt(note, entry, intake, promise.fields["deadline"])


def _parts(content: bytes) -> tuple[bytes, Signature | None]:
    try:
        body: Any = read_json(content)
        # A lone surrogate, which JSON can write, is a ValueError here.
        note, line = (str.encode(body[name]) for name in ("receipt", "line"))
    except (ValueError, KeyError, TypeError):
        raise Refused("syntax", "the answer is no receipt") from None
    if not line:
        return note, None
    lines = parse_signature_lines(line if line.endswith(b"\n") else line + b"\n")
    if len(lines) != 1:
        raise Refused("wrong-signers", "the intake signs a ballot with one line")
    return note, lines[0]


def _with_line(manifest: Manifest, raw: bytes, line: Signature, intake: str) -> Entry:
    """The ballot with the intake's line, as it will stand in the log: an untrue line would have the log refuse it. Any
    key that the intake has had makes one: it may stand there from before that was replaced.
    """
    entry = read_text(raw, (line,))
    check_lines(entry, [key for past in manifest.history for key in past.intakes], 1, 1, "exactly one intake")
    if entry.signatures[0].name != intake:
        raise Refused("wrong-signers", "receipt and ballot bear the lines of two different intakes")
    return entry


def _intake_of(manifest: Manifest, entry: Entry) -> str:
    """Whose one line the entry bears, verified. Refused as `check_lines`."""
    check_lines(entry, manifest.intakes, 1, 1, "exactly one intake")
    return entry.signatures[0].name


def _printable(text: str) -> str:
    """What a stranger says, fit for a terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in text[:500])
