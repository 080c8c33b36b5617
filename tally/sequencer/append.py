"""What a custodian is sent: the entries it lacks, the log's note over the tree with them, and the proof that it
continues its own.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from audit.log.encoding import encode_base64
from audit.log.merkle import CompactRange, consistency_from, leaf_hash
from audit.log.tiles import WIDTH, frame
from tally.sequencer.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Append:
    """Entries that continue a tree of `old_size`, and the proof that the tree which `note` is over does."""

    old_size: int
    proof: Sequence[bytes]
    note: bytes
    entries: Sequence[bytes]

    @property
    def body(self) -> bytes:
        """u32 length of the header, the header as in C2SP tlog-witness, the entries each after its u16 length."""
        lines = "".join(f"{encode_base64(h)}\n" for h in self.proof)
        header = f"old {self.old_size}\n{lines}\n".encode() + self.note
        return len(header).to_bytes(4, "big") + header + frame(self.entries)


class Unsigned(Exception):
    """Of the stages that continue what a custodian holds none is signed, nor can be any more: after a lost ledger,
    where the key that counted there is gone too. The custodian is made whole from its peers.
    """


class Missing:
    """What to send a custodian that holds so many entries; the last answer is kept, since most custodians need the
    same.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._last: tuple[tuple[int, int], tuple[int, Append]] | None = None

    def after(self, start: int, target: int) -> tuple[int, Append]:
        """The append from `start` towards `target`, up to the largest signed stage within 256 entries; its size.
        Unsigned.
        """
        with self._lock:
            if self._last is None or self._last[0] != (start, target):
                self._last = (start, target), self._build(start)
            return self._last[1]

    def frontier(self, size: int) -> CompactRange:
        """The frontier of the first `size` entries: a stage's own, or hashed from the stage before."""
        below = self._ledger.stage_up_to(size)
        frontier = CompactRange.from_bytes(below.frontier)
        frontier.extend(map(leaf_hash, self._ledger.entries(below.size, size)))
        return frontier

    def _build(self, start: int) -> tuple[int, Append]:
        found = self._ledger.furthest(start, WIDTH)
        if found is None:
            raise Unsigned
        stage, note = found
        entries = self._ledger.entries(start, stage.size)
        proof = consistency_from(self.frontier(start), [leaf_hash(entry) for entry in entries])
        return stage.size, Append(start, proof, note, entries)
