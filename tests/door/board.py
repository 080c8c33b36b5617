"""The public log of a simulated meeting, signed and witnessed, as custodians show it: what a door reads."""

from __future__ import annotations

from audit.log.merkle import CompactRange, LeafHashes, leaf_hash
from audit.log.notes import Note
from audit.log.reader import ReadError
from audit.log.tiles import HEIGHT, WIDTH, frame
from audit.log.treehead import Checkpoint
from audit.record.entries import Entry
from audit.record.heads import is_rekey
from tests.simulator.meeting import Meeting

TIME = 1_790_000_000


class Board:
    """A reader in memory. Shows what `publish` last published; `down` makes it fail as a custodian that is away."""

    def __init__(self, meeting: Meeting, custodians: int = 2) -> None:
        self.meeting = meeting
        self.custodians = custodians
        self.down = False
        self._shown: bytes | None = None
        self._entries: list[bytes] = []
        self._source = LeafHashes([])

    def __str__(self) -> str:
        return "board"

    def publish(self, size: int | None = None) -> None:
        """Shows the first `size` entries of the meeting's log, all if None."""
        self._entries = self.meeting.entries[:size]
        leaves = [leaf_hash(raw) for raw in self._entries]
        self._source = LeafHashes(leaves)
        head = Checkpoint(self.meeting.origin, len(leaves), root_of(leaves))
        parties = self.meeting.parties
        keys = [*parties.log, *(key for keys in parties.custodians[: self.custodians] for key in keys)]
        self._shown = Note(head.text, tuple(key.sign(head.text, TIME + len(leaves)) for key in keys)).raw

    def record(self, raw: bytes) -> Entry:
        """What tally does with an entry, and its publication."""
        entry = self.meeting.add(raw)
        self.publish()
        return entry

    def checkpoint(self) -> bytes | None:
        self._check()
        return self._shown

    def rekeys(self) -> list[int]:
        return [index for index, entry in enumerate(self._entries) if is_rekey(entry)]

    def tile(self, level: int, index: int, width: int) -> bytes:
        self._check()
        places = range(index * WIDTH, index * WIDTH + width)
        return b"".join(self._source(HEIGHT * level, place) for place in places)

    def bundle(self, index: int, width: int) -> bytes:
        self._check()
        return frame(self._entries[index * WIDTH : index * WIDTH + width])

    def _check(self) -> None:
        if self.down:
            raise ReadError("does not answer", "board")


def root_of(leaves: list[bytes]) -> bytes:
    tree = CompactRange()
    tree.extend(leaves)
    return tree.root()
