"""An entry: the unit of the log, a signed note whose text is three lines: type, origin, one line of canonical JSON.

Ballots, a trustee's share, the opening of the vote: everything that happens in an election is one of the kinds below.
Parsing checks syntax only: size, shape of the note, canonical bytes, the fields of the kind. Whether an entry is true
and allowed is decided by `Election`. Entries too large for one note are chunked (`chunks`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from audit.log.keys import Signer, Verifier
from audit.log.merkle import leaf_hash
from audit.log.notes import Note, Signature, parse_note, verify_signature
from audit.protocol.canonical import canonical, parse_canonical
from audit.protocol.refused import Refused
from audit.record.bodies import BODIES

PREFIX = "psephos/v1 "
MAX_ENTRY = 65_535


@dataclass(frozen=True, slots=True)
class Entry:
    """A well-formed entry. `body` is the JSON as it stood (not to be changed), `fields` the same parsed by its
    shape.
    """

    kind: str
    origin: str
    body: dict[str, Any]
    fields: dict[str, Any] = field(repr=False)
    signatures: tuple[Signature, ...]
    text: bytes = field(repr=False)
    raw: bytes = field(repr=False)
    identity: bytes  # 32 bytes: SHA-256 of the text; of a ballot, its tracker

    @property
    def leaf(self) -> bytes:
        """The 32-byte RFC 6962 leaf hash of the whole entry."""
        return leaf_hash(self.raw)

    @property
    def note(self) -> Note:
        return Note(self.text, self.signatures)


def make_text(kind: str, origin: str, body: dict[str, Any]) -> bytes:
    """The text that is signed: three lines, each ending in a newline."""
    return f"{PREFIX}{kind}\n{origin}\n".encode() + canonical(body) + b"\n"


def identity_of(kind: str, origin: str, body: dict[str, Any]) -> bytes:
    """The 32 bytes by which duplicates are known. A ballot's signature is left out, so that signing again changes
    nothing.
    """
    if kind == "ballot":
        body = {name: value for name, value in body.items() if name != "signature"}
    return hashlib.sha256(make_text(kind, origin, body)).digest()


def parse_text(text: bytes) -> tuple[str, str, dict[str, Any]]:
    """Kind, origin and body of a text; refuses one that is not exactly three lines with canonical JSON in the third."""
    lines = text.split(b"\n")
    if len(lines) != 4 or lines[3]:
        raise Refused("syntax", "an entry's text is three lines, each ending in a newline")
    try:
        kind, origin = lines[0].decode("ascii"), lines[1].decode("ascii")
    except UnicodeDecodeError:
        raise Refused("syntax", "the type and origin lines must be ASCII") from None
    if not kind.startswith(PREFIX) or kind.removeprefix(PREFIX) not in BODIES:
        raise Refused("unknown-kind", f"the first line must be '{PREFIX}' and a known type of entry", "type")
    body = parse_canonical(lines[2])
    if type(body) is not dict:
        raise Refused("wrong-type", "the third line must be a JSON object")
    return kind.removeprefix(PREFIX), origin, body


def read_text(text: bytes, signatures: Sequence[Signature] = ()) -> Entry:
    """The entry with this text; `raw` is the whole note, or the bare text while nobody has signed it."""
    kind, origin, body = parse_text(text)
    raw = Note(text, tuple(signatures)).raw if signatures else text
    if len(raw) > MAX_ENTRY:
        raise Refused("too-long", f"an entry holds at most {MAX_ENTRY} bytes, this one {len(raw)}")
    fields = BODIES[kind](body, "")
    identity = identity_of(kind, origin, body) if kind == "ballot" else hashlib.sha256(text).digest()
    return Entry(kind, origin, body, fields, tuple(signatures), text, raw, identity)


def parse_entry(raw: bytes) -> Entry:
    """The entry in `raw`, a signed note; refuses everything that is not well-formed to the byte."""
    if len(raw) > MAX_ENTRY:
        raise Refused("too-long", f"an entry holds at most {MAX_ENTRY} bytes, this one {len(raw)}")
    note = parse_note(raw)
    entry = read_text(note.text, note.signatures)
    if entry.raw != raw:
        raise Refused("not-canonical", "the note is not written the way this note would be")
    names = [(line.name, line.key_id) for line in note.signatures]
    if names != sorted(set(names)):
        raise Refused("not-canonical", "signature lines must be sorted by name, each once", "signatures")
    return entry


def seal(text: bytes, signers: Sequence[Signer]) -> bytes:
    """The note of `text` with one line by each signer, sorted by name."""
    return add_signatures(text, [signer.sign(text) for signer in signers])


def add_signatures(text: bytes, signatures: Sequence[Signature]) -> bytes:
    """The note of `text` with these lines, sorted by name."""
    return Note(text, tuple(sorted(signatures, key=lambda line: (line.name, line.key_id)))).raw


def check_lines(entry: Entry, keys: Iterable[Verifier], least: int, most: int, wanted: str) -> None:
    """Refuses an entry that does not bear `least` to `most` lines, each true and by one of `keys`; `wanted` says so in
    words.
    """
    known: dict[str, dict[bytes, Verifier]] = {}
    for key in keys:
        known.setdefault(key.name, {})[key.key_id] = key
    for line in entry.signatures:
        if line.name not in known:
            raise Refused("wrong-signers", f"{line.name} does not sign {entry.kind}", "signatures")
    if not least <= len(entry.signatures) <= most:
        found = ", ".join(line.name for line in entry.signatures) or "nobody"
        raise Refused("wrong-signers", f"{entry.kind} is signed by {wanted}; this one by {found}", "signatures")
    for line in entry.signatures:
        of_name = known[line.name]
        verify_signature(of_name.get(line.key_id, next(reversed(of_name.values()))), entry.text, line)
