"""How a file of a custodian's folder is written: what it is, one line of JSON that says what it holds, the SHA-256 of
both in hex, then blocks of bytes, whose lengths and hashes are in the JSON. A changed byte is found before any of it is
used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from typing import Any

from audit.protocol.canonical import canonical, parse_canonical
from audit.protocol.refused import Refused
from vault.custodian.storage import Damaged

FIRST_READ = 1 << 14
"""Bytes that hold the JSON of all but the rarest files."""
CHECKED = 512
"""Files whose first lines, some kilobytes each, are remembered as right, so that the same bytes are not hashed and
parsed again: of a log that grows by single entries each append reads up to 255 of the same files.
"""

Read = Callable[[int, int], bytes]
"""(start, length) -> at most so many bytes of one file, all of them if -1."""


def seal(kind: str, about: dict[str, Any], **blocks: bytes) -> bytes:
    """The bytes of a file."""
    parts = {name: {"bytes": len(block), "sha256": sha256(block).hexdigest()} for name, block in blocks.items()}
    # In the order of their names, which is the order of the JSON's fields.
    text = f"psephos/v1 {kind}\n".encode() + canonical({**about, "blocks": parts}) + b"\n"
    rest = b"".join(blocks[name] for name in sorted(blocks))
    return text + sha256(text).hexdigest().encode() + b"\n" + rest


def twice(content: bytes) -> bytes:
    """The bytes of a file that says what nobody else knows: of a changed byte in one copy the other knows nothing."""
    return content * 2


def copies(raw: bytes) -> tuple[bytes, bytes]:
    """The two copies in such a file, as they are."""
    half = len(raw) // 2
    return raw[:half], raw[half:]


class Sealed:
    """A file whose JSON is right; its blocks are read, and checked, when asked for. `lines`: what is before them."""

    def __init__(self, kind: str, where: str, read: Read) -> None:
        self._where, self._read = where, read
        raw = self._raw = read(0, FIRST_READ)
        if raw.count(b"\n") < 3:
            raw = self._raw = read(0, -1)
        # As long as these lines are whole; whether they are is seen by what they say.
        self._start = sum(len(line) + 1 for line in raw.split(b"\n", 3)[:3])
        self.lines = raw[: self._start]
        try:
            self.about = _said(kind, self.lines)
        except (Refused, ValueError):
            raise Damaged(f"{where} is not as it was written") from None

    def block(self, name: str) -> bytes:
        """The bytes of one block. Damaged if they are not those that were written."""
        parts = self.about["blocks"]
        start = self._start + sum(parts[before]["bytes"] for before in sorted(parts) if before < name)
        part = parts[name]
        end = start + part["bytes"]
        block = self._raw[start:end] if end <= len(self._raw) else self._read(start, part["bytes"])
        if sha256(block).hexdigest() != part["sha256"]:
            raise Damaged(f"{self._where}: its {name} are not as they were written")
        return block


@lru_cache(CHECKED)
def _said(kind: str, lines: bytes) -> dict[str, Any]:
    """What the first lines of a file say, which nobody changes. Refused or ValueError if they are not as written."""
    first, text, digest, rest = lines.split(b"\n")
    written = first == f"psephos/v1 {kind}".encode() and not rest
    if not written or sha256(first + b"\n" + text + b"\n").hexdigest().encode() != digest:
        raise ValueError
    said: dict[str, Any] = parse_canonical(text)
    return said
