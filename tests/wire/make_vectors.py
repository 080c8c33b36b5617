"""Writes tests/vectors/wire anew: `python -m tests.wire.make_vectors`. What they expect is to be read by people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from audit.log.encoding import encode_base64
from audit.log.merkle import LeafHashes, consistency_proof, leaf_hash
from audit.log.notes import Note
from audit.log.tiles import frame
from audit.log.treehead import Checkpoint
from audit.protocol.refused import Refused
from infra.queue.frames import Row, write_rows
from tests.log.sample import LOG, ORIGIN, root_of, some_entries
from tests.wire.vectors import RUN

FOLDER = Path(__file__).parents[1] / "vectors" / "wire"
ENTRIES = some_entries(7)
HASHES = consistency_proof(LeafHashes([leaf_hash(entry) for entry in ENTRIES]), 3, 7)
HEAD = Checkpoint(ORIGIN, 7, root_of(ENTRIES))
# The Ed25519 line alone: whose lines there are is not what parsing asks.
NOTE = Note(HEAD.text, (LOG[0].sign(HEAD.text),)).raw
PROOF = "".join(f"{encode_base64(value)}\n" for value in HASHES)


def append(header: str | bytes, entries: bytes = frame(ENTRIES[3:]), length: int | None = None) -> bytes:
    raw = header.encode() if isinstance(header, str) else header
    return (len(raw) if length is None else length).to_bytes(4, "big") + raw + entries


def header(old: str = "old 3", proof: str = PROOF, note: bytes = NOTE) -> bytes:
    return f"{old}\n{proof}\n".encode() + note


def noted(text: str) -> bytes:
    return NOTE.replace(HEAD.text, text.encode())


APPENDS = {
    "from 3 to 7": append(header()),
    "from nothing, without a proof": append(header("old 0", ""), frame(ENTRIES)),
    "an entry that is empty": append(header(), frame([b""])),
    "no entry": append(header(), b""),
    "nothing": b"",
    "half a length": b"\0\0\0",
    "a length and nothing": b"\0\0\0\1",
    "a header shorter than its length": append(header(), b"", len(header()) + 1),
    "a length that ends within the header": append(header(), length=20),
    "no old size": append(header("", PROOF)),
    "another word": append(header("new 3")),
    "an old size with a leading zero": append(header("old 03")),
    "a negative old size": append(header("old -3")),
    "an old size of 2^63": append(header(f"old {2**63}")),
    "no number": append(header("old ")),
    "two spaces": append(header("old  3")),
    "a carriage return": append(header("old 3\r")),
    "letters beyond ASCII": append(header("old \u0663")),
    "a hash of 31 bytes": append(header(proof=f"{encode_base64(bytes(31))}\n")),
    "a hash in base64 without padding": append(header(proof=PROOF.replace("=", ""))),
    "a hash with set trailing bits": append(header(proof=PROOF.split("=")[0][:-1] + "B=\n")),
    "an empty line in the proof": append(header(proof=PROOF + "\n")),
    "64 hashes": append(header(proof=f"{encode_base64(bytes(32))}\n" * 64)),
    "no empty line": append(header().replace(b"\n\n", b"\n", 1)),
    "no note": append(header(note=b"")),
    "a note without a line": append(header(note=HEAD.text)),
    "a note that is no checkpoint": append(header(note=noted("hello\n"))),
    "a checkpoint with an extension line": append(header(note=noted(HEAD.text.decode() + "more\n"))),
    "an entry cut": append(header(), frame(ENTRIES[3:])[:-1]),
    "half a length of an entry": append(header(), frame(ENTRIES[3:]) + b"\0"),
    "257 entries": append(header(), b"\0\0" * 257),
}
KEY = bytes(range(16))
ROWS = {
    "no row": b"",
    "two rows": write_rows([Row(KEY, b"abc"), Row(KEY[::-1], b"")]),
    "a row with nothing in it": write_rows([Row(KEY, b"")]),
    "half a key": KEY[:8],
    "a key and nothing": KEY,
    "a key and half a length": KEY + b"\0\0",
    "a row cut": write_rows([Row(KEY, b"abc")])[:-1],
    "a byte after the last": write_rows([Row(KEY, b"abc")]) + b"\0",
    "a length in little-endian": KEY + (3).to_bytes(4, "little") + b"abc",
    "the longest length and nothing": KEY + b"\xff" * 4,
}
KEYS = {
    "no key": b"",
    "two keys": KEY + KEY[::-1],
    "half a key": KEY[:8],
    "a byte after the last": KEY + b"\0",
    "a byte short": KEY * 2 + KEY[:15],
}

FILES = {
    "appends": ("What tally sends a custodian; syntax only, nothing in it is verified.", APPENDS),
    "rows": ("What the queue's egress hands out.", ROWS),
    "keys": ("What tally acknowledges to the queue's egress.", KEYS),
}


def judged(name: str, what: str, raw: bytes) -> dict[str, Any]:
    case = {"what": what, "input": raw.hex()}
    try:
        return {**case, "output": RUN[name](raw)}
    except Refused as refusal:
        return {**case, "reason": refusal.reason}


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, (about, cases) in FILES.items():
        content = {"about": about, "cases": [judged(name, what, raw) for what, raw in cases.items()]}
        (FOLDER / f"{name}.json").write_text(json.dumps(content, indent=1, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
