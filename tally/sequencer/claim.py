"""What one custodian has shown alone: a tree by the log's keys that is longer than the ledger, and entries that lead to
it. They are kept, so that what it showed is judged even if it says nothing any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from audit.log.notes import Note
from infra.exchange import Answer
from tally.sequencer.custodian import Custodian, Rejected, Unavailable

MOST_KEPT = 1 << 24
"""Bytes of a claim's entries: what an honest sequencer has signed and not published is one append."""


class Claim(Custodian):
    """The custodian `label` as it was when it showed this note, over `size` entries; `entries` are those from `first`
    on, none if they were too many to keep.
    """

    def __init__(self, label: str, note: Note, size: int, first: int, entries: Sequence[bytes]) -> None:
        super().__init__(label, _silent)
        self.note, self.size = note, size
        self._first, self._entries = first, entries

    def leads_to(self, custodian: Custodian, note: Note) -> bool:
        """Whether the entries that are kept are those of the tree that this custodian shows now."""
        return bool(self._entries) and custodian.label == self.label and note.text == self.note.text

    def held(self) -> Note:
        return self.note

    def entries(self, size: int, first: int = 0) -> Iterator[bytes]:
        """Those in [first, size) that are kept."""
        if first < self._first:
            raise Rejected(200, "not-kept")
        return iter(self._entries[first - self._first : size - self._first])


def _silent(method: str, path: str, content: bytes | None, most: int) -> Answer:
    raise Unavailable("only what it has shown is known")
