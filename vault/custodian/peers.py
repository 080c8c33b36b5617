"""Another custodian as one that lost something sees it: its public tiles, under a checkpoint that can be believed."""

from __future__ import annotations

from audit.log.checkpoint import LogPolicy, open_note
from audit.log.notes import Note, parse_note, verified_lines
from audit.log.proving import TreeTiles
from audit.log.reader import Head, HttpReader, Reader, ReadError
from audit.log.tiles import WIDTH
from audit.log.treehead import parse_checkpoint
from audit.protocol.refused import Refused
from vault.custodian.keys import Keys


class Peer:
    """The tiles of a custodian, under a checkpoint that the log and W custodians signed, by `policy`.

    ReadError if it shows none.
    """

    def __init__(self, reader: Reader, keys: Keys) -> None:
        raw = reader.checkpoint()
        if raw is None:
            raise ReadError("nothing is published there", str(reader), "not-found")
        try:
            note = parse_note(raw)
            self.policy = open_signed(note, reader, keys)
        except Refused as refusal:
            raise ReadError(str(refusal), f"{reader}/checkpoint", refusal.reason) from None
        self.reader = reader
        self.head = Head(parse_checkpoint(note.text), note)
        self.tiles = TreeTiles(reader, self.head)

    def __str__(self) -> str:
        return str(self.reader)

    def entries_beyond(self, held: int, root: bytes, start: int, end: int) -> list[bytes]:
        """The entries [start, end) of its tree, which is as large and continues the one of `held` entries under `root`.
        ReadError.
        """
        self.tiles.consistency(held, root)
        first = start // WIDTH
        found = [entry for bundle in range(first, -(-end // WIDTH)) for entry in self.tiles.entries(bundle)]
        return found[start - first * WIDTH :][: end - start]


def open_signed(note: Note, reader: Reader, keys: Keys) -> LogPolicy:
    """Whose signatures count over a checkpoint that satisfies them, W cosignatures and all. Refused; ReadError."""
    size = parse_checkpoint(note.text).size
    policy = keys.at(size)
    try:
        open_note(note, policy, exact=True)
    except Refused:
        policy = keys.claimed(reader, size)
        open_note(note, policy, exact=True)
    return policy


def line_times(note: Note, policy: LogPolicy) -> dict[str, int]:
    """When each custodian that signed with all its keys did, POSIX seconds: the earliest time that its lines state."""
    times = verified_lines(note, policy.verifiers)
    return {name: min(times[key] for key in keys) for name, keys in policy.custodians if all(map(times.get, keys))}


def reader_of(url: str, origin: str) -> HttpReader:
    """The log `origin` at a custodian's address, with or without the origin at its end. ReadError."""
    return HttpReader(url if url.rstrip("/").endswith(f"/{origin}") else f"{url.rstrip('/')}/{origin}")
