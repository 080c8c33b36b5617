"""Signed notes (C2SP signed-note): a text, an empty line, signature lines. Everything anyone signs in an election is
one.

The text may itself hold empty lines; the last one separates. Until `verify_note` has found a known key's signature
right, the text of a note is only a claim. Lines by unknown keys are ignored; a line by a known key that does not verify
condemns the note.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from audit.log.encoding import decode_base64
from audit.log.keys import Signature, Signer, Verifier, check_name, new_private_key, parse_vkey, signer_from_file, vkey
from audit.protocol.refused import Refused

__all__ = [
    "MAX_NOTE",
    "MAX_SIGNATURES",
    "Note",
    "Signature",
    "Signer",
    "Verifier",
    "new_private_key",
    "parse_note",
    "parse_signature_lines",
    "parse_vkey",
    "signer_from_file",
    "verified_lines",
    "verify_note",
    "verify_signature",
    "vkey",
]

MAX_NOTE = 1 << 20
"""Bytes of a note; entries have their own, smaller limit."""
MAX_SIGNATURES = 100

_CONTROL = re.compile(rb"[\x00-\x09\x0b-\x1f]")
_DASH = "\u2014 "


@dataclass(frozen=True, slots=True)
class Note:
    """A text, final newline included, and its signature lines in order."""

    text: bytes
    signatures: tuple[Signature, ...]

    @property
    def raw(self) -> bytes:
        """The whole note as bytes; `parse_note` gives this note back."""
        return self.text + b"\n" + "".join(signature.line for signature in self.signatures).encode()


def parse_note(raw: bytes) -> Note:
    """The note in `raw`, unverified.

    Refused `too-long` (over 1 MiB, or over 100 lines), `bad-encoding` (not UTF-8, a control character, base64) or
    `syntax`.
    """
    if len(raw) > MAX_NOTE:
        raise Refused("too-long", f"a note holds at most {MAX_NOTE} bytes, this one {len(raw)}")
    if _CONTROL.search(raw):
        raise Refused("bad-encoding", "a note holds no control character but newlines")
    text, separator, lines = raw.rpartition(b"\n\n")
    if not separator:
        raise Refused("syntax", "no empty line separates the note's text from its signatures")
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("bad-encoding", "the note is not UTF-8") from None
    return Note(text + b"\n", parse_signature_lines(lines))


def parse_signature_lines(raw: bytes) -> tuple[Signature, ...]:
    """The signature lines of a note, or of a custodian's answer: at least one. Refused as `parse_note`."""
    if len(raw) > MAX_NOTE or raw.count(b"\n") > MAX_SIGNATURES:
        raise Refused("too-long", f"a note holds at most {MAX_SIGNATURES} signature lines and {MAX_NOTE} bytes")
    try:
        lines = raw.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise Refused("bad-encoding", "the signature lines are not UTF-8") from None
    if len(lines) < 2 or lines.pop():
        raise Refused("syntax", "a note ends in signature lines, each with its newline")
    return tuple(_parse_line(line) for line in lines)


def _parse_line(line: str) -> Signature:
    parts = line.removeprefix(_DASH).split(" ")
    if not line.startswith(_DASH) or len(parts) != 2:
        raise Refused("syntax", "a signature line is an em dash, a name and base64, with single spaces")
    name, data = check_name(parts[0]), decode_base64(parts[1], f"the signature by {parts[0]}")
    if len(data) < 5:
        raise Refused("wrong-length", f"the signature by {name} is shorter than a key id and one byte")
    return Signature(name, data[:4], data[4:])


def verify_signature(key: Verifier, text: bytes, line: Signature) -> int:
    """The time that the line carries (POSIX seconds; 0 for type 0x01), if it is by this key and right.

    Refused `unknown-key` if it names another key, otherwise as `Verifier.verify`.
    """
    if (line.name, line.key_id) != (key.name, key.key_id):
        found, wanted = line.key_id.hex(), key.key_id.hex()
        raise Refused("unknown-key", f"the line by {line.name} is of key {found}, not {wanted} of {key.name}")
    return key.verify(text, line.sig)


def verified_lines(note: Note, verifiers: Iterable[Verifier]) -> dict[Verifier, int]:
    """Each known key that signed, with the time its line carries (the latest, if it signed twice); unknown keys are
    ignored.

    Refused `bad-signature` if any line of a known key fails; `duplicate` if two different keys share a name and an id.
    """
    known: dict[tuple[str, bytes], Verifier] = {}
    for verifier in verifiers:
        if known.setdefault((verifier.name, verifier.key_id), verifier) != verifier:
            raise Refused("duplicate", f"two keys of {verifier.name} share the id {verifier.key_id.hex()}")
    times: dict[Verifier, int] = {}
    for line in note.signatures:
        key = known.get((line.name, line.key_id))
        if key is not None:
            times[key] = max(key.verify(note.text, line.sig), times.get(key, 0))
    return times


def verify_note(note: Note, verifiers: Iterable[Verifier]) -> list[str]:
    """The names of the known signers, each once, in the order of their lines; at least one.

    Refused `unknown-key` if no known key signed, otherwise as `verified_lines`.
    """
    names = list(dict.fromkeys(key.name for key in verified_lines(note, verifiers)))
    if not names:
        raise Refused("unknown-key", "no known key signed the note")
    return names
