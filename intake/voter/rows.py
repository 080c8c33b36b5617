"""One's row in an anonymous roll, found without reading the roll.

The rows of the last mix stand in ascending order of their keys, in chunks that the opening says where to look for; so
a few bundles are read, at the place where the key is to be expected. The chunks of a mix come in any order, but most of
them near their place. Whoever serves them learns about where the pseudonym stands, which every ballot under it says,
too. That a key is nowhere is concluded from the neighbours between which it would stand, in chunks that bear the last
mixer's signature.

A chunk is one of those sought by the class, the mixer and the hash that it names, and by where it stands: between the
places that the opening names, the rules leave no other like it. Whatever else names that hash, an attempt that was
given up before, another mixer's chunk, or one of another roll, is nobody's fault here, and is passed over.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any, Protocol

from audit.log.tiles import WIDTH
from audit.protocol.elgamal import Ciphertext
from audit.protocol.group import ELEMENT_SIZE, Element, b64, unb64
from audit.protocol.refused import Refused
from audit.protocol.shuffle_rows import MIXED_ROW_SIZE, ROW_SIZE, cut
from audit.record.entries import check_lines
from audit.record.manifest import Manifest
from audit.record.rolls import Roll
from infra.follow import WrongLog
from intake.voter.witnessed import WitnessedLog, parsed

CACHED_CHUNKS = 256
END = 1 << 63
"""Above `measure` of every key."""


class Rows(Protocol):
    """The rows of an anonymous roll."""

    def find(self, key: bytes) -> Ciphertext | None:
        """The encrypted weight of the row of this key (32 bytes); None if there is no such row."""


class UnmixedRows:
    """A roll that nobody has mixed, read whole."""

    def __init__(self, roll: Roll) -> None:
        self._roll = roll

    def find(self, key: bytes) -> Ciphertext | None:
        return self._roll.weight(key) if key in self._roll.rows else None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk of the last mix, entry `number` of the log, in this attempt the `index`th of `of`, with its first and
    last key."""

    number: int
    attempt: int
    index: int
    of: int
    least: bytes
    most: bytes


class MixedRows:
    """The rows of a class's last mix, of which the opening says `said`, its span known to lie before it. `find` may be
    called by several threads."""

    def __init__(self, log: WitnessedLog, manifest: Manifest, share_class: str, said: dict[str, Any]) -> None:
        self._log = log
        self._mixer = manifest.mixers[-1]
        self._class = share_class
        self._bound = {"generator": said["generator"], "manifest": manifest.hash}
        self._mix = b64(said["mix"])
        self._first, self._last = said["first"], said["last"]
        self._unread = set(range(self._first // WIDTH, self._last // WIDTH + 1))
        self._chunks: list[Chunk] = []
        self._open = lru_cache(CACHED_CHUNKS)(self._open_chunk)
        self._lock = Lock()

    def find(self, key: bytes) -> Ciphertext | None:
        """Unreadable if no custodian gives what is needed; WrongLog if that is not there."""
        with self._lock:
            while (rows := self._neighbours(key)) is None:
                self._read(self._likely(key))
        raw = rows.get(key)
        return None if raw is None else Ciphertext(Element(raw[:ELEMENT_SIZE]), Element(raw[ELEMENT_SIZE:]))

    def _neighbours(self, key: bytes) -> dict[bytes, bytes] | None:
        """The rows of the chunk, or of the two, in which the key stands if it is anywhere; None if they have not been
        read yet."""
        at = bisect_right(self._chunks, key, key=lambda chunk: chunk.least)
        below, above = (self._chunks[i] if 0 <= i < len(self._chunks) else None for i in (at - 1, at))
        if below is not None and (key <= below.most or below.index + 1 == below.of):
            return self._open(below)
        if above is not None and above.index == (0 if below is None else below.index + 1):
            return self._open(above) if below is None else {**self._open(below), **self._open(above)}
        return None

    def _likely(self, key: bytes) -> int:
        """The bundle not read yet that is nearest to where the key is to be expected."""
        if not self._unread:
            text = f"not all chunks of the mix that it names stand in entries {self._first} to {self._last}"
            raise WrongLog(self._last, "mix", Refused("not-complete", text))
        at = bisect_right(self._chunks, key, key=lambda chunk: chunk.least)
        low, start, high, end = 0, self._first, END, self._last
        if at > 0:
            low, start = measure(self._chunks[at - 1].most), self._chunks[at - 1].number
        if at < len(self._chunks):
            high, end = measure(self._chunks[at].least), self._chunks[at].number
        guess = start + (measure(key) - low) * (end - start) // max(1, high - low)
        return min(self._unread, key=lambda place: abs(place - guess // WIDTH))

    def _read(self, place: int) -> None:
        """Notes which chunks a bundle holds. What is noted only says where to look. WrongLog if they are not all of one
        whole."""
        for number, raw in enumerate(self._log.entries(place), start=place * WIDTH):
            chunk = self._sought(number, raw) if self._first <= number <= self._last else None
            if chunk is None:
                continue
            if self._chunks and (chunk.attempt, chunk.of) != (self._chunks[0].attempt, self._chunks[0].of):
                text = f"it is of another whole than entry {self._chunks[0].number}, and the opening names one"
                raise WrongLog(number, "mix", Refused("wrong-attempt", text, "attempt"))
            self._chunks.append(chunk)
        self._chunks.sort(key=lambda chunk: chunk.least)
        self._unread.discard(place)

    def _sought(self, number: int, raw: bytes) -> Chunk | None:
        """The chunk that an entry says it is, if that is one of the mix that is read; it is not checked."""
        if not raw.startswith(b"psephos/v1 mix\n") or self._mix.encode() not in raw:
            return None
        # What cannot be read so far is not this mixer's, whose chunks the rules have let in.
        with suppress(ValueError, LookupError, TypeError, Refused):
            body = json.loads(raw.split(b"\n", 3)[2])
            part = body["part"]
            if (body["class"], body["signer"], part["hash"]) == (self._class, self._mixer.name, self._mix):
                keys = [unb64(body["rows"][i]["K"]) for i in (0, -1)]
                return Chunk(number, int(body["attempt"]), int(part["index"]), int(part["of"]), *keys)
        return None

    def _open_chunk(self, chunk: Chunk) -> dict[bytes, bytes]:
        """Its rows, key to weight, once it is known to be the last mixer's of this roll. WrongLog."""
        raw = self._log.entries(chunk.number // WIDTH)[chunk.number % WIDTH]
        entry = parsed(raw, chunk.number)
        try:
            check_lines(entry, [self._mixer], 1, 1, self._mixer.name)
            for name, value in self._bound.items():
                if entry.fields[name] != value:
                    raise Refused("another-list", "it is of another roll than the one that is opened", name)
            rows = [row[:ROW_SIZE] for row in cut(entry.fields["rows"], MIXED_ROW_SIZE)]
            keys = [row[:ELEMENT_SIZE] for row in rows]
            if keys != sorted(set(keys)):
                raise Refused("not-sorted", "its rows are not in the order of their keys", "rows")
        except Refused as refusal:
            raise WrongLog(chunk.number, entry.kind, refusal) from None
        return {row[:ELEMENT_SIZE]: row[ELEMENT_SIZE:] for row in rows}


def measure(key: bytes) -> int:
    """Where about a key stands among all, from 0 to 2^63, in the order of their bytes: the encoding of an element is
    uniform but for its least bit, which is in the first byte and always 0 (RFC 9496, section 4.3.2)."""
    return key[0] >> 1 << 56 | int.from_bytes(key[1:8], "big")
