"""What this host has seen the ledger commit to: size and root of a stage, in a file on the host's own disk, outside of
the ledger. It is there before the stage is signed, so a ledger that lacks it is an old copy, whoever restored it.

What its loss costs: an old copy is found by asking custodians alone. What its capture buys: every beginning asks all
custodians, or is as if the mark were lost; nothing in it is secret. One that cannot be read, or is another log's, is a
mark that no ledger fits.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from audit.log.merkle import CompactRange, leaf_hash
from audit.log.treehead import Checkpoint, parse_checkpoint
from audit.protocol.refused import Refused
from infra.keys import sync_folder
from tally.sequencer.append import Missing
from tally.sequencer.ledger import Ledger, Stage

MOST = 4096
"""Bytes of the file that are read: an origin, a number and a hash."""


class NotMarked(Exception):
    """The mark cannot be read or written, as when its disk is full: nothing may be signed."""


class Mark:
    """The mark of one log. `read` gives what was written last, None if nothing ever was; `write` has it on disk, in the
    place of what was there before, when it returns. Both OSError.
    """

    def __init__(self, ledger: Ledger, read: Callable[[], bytes | None], write: Callable[[bytes], None]) -> None:
        self._ledger, self._read, self._write = ledger, read, write
        # What stands there, once it was written here or the ledger was found to fit it.
        self._marked: Checkpoint | None = None
        self._found: int | None = None  # how many entries the ledger held at the first look of one without a mark

    @property
    def there(self) -> bool:
        """Whether there is one. NotMarked."""
        return self._text() is not None

    def lacking(self) -> bool:
        """Whether the ledger lacks the stage that was marked: it is an old copy. NotMarked."""
        text = self._text()
        if text is None:
            return False
        try:
            marked = parse_checkpoint(text)
        except Refused:
            return True
        if marked.origin != self._ledger.origin or marked.size > self._ledger.newest().size:
            return True
        # By the entries: one that was read back from the custodians has other stages.
        if Missing(self._ledger).frontier(marked.size).root() == marked.root:
            return False
        # All of them, since a stage may be damaged: then this ledger is no old copy, and whoever reads it says so.
        tree = CompactRange()
        tree.extend(map(leaf_hash, self._ledger.all_entries(marked.size)))
        return tree.root() != marked.root

    def set(self, stage: Stage) -> None:
        """Marks a stage that is committed. A crash leaves this mark or the one before. NotMarked."""
        marked = stage.checkpoint(self._ledger.origin)
        if marked != self._marked:
            try:
                self._write(marked.text)
            except OSError as error:
                raise NotMarked(str(error.strerror)) from None
            self._marked = marked

    def follow(self, stage: Stage) -> None:
        """As `set`, for who stands by: a mark that the ledger lacks is left as it is, for who takes over, and so is one
        that is further. Where there is none, only what the ledger comes to hold from now on is marked: somebody
        sequences on it. What it held before says nothing of whether it is an old copy.
        """
        if self._marked is None:
            if self.lacking():
                return
            if text := self._text():
                self._marked = parse_checkpoint(text)
            elif self._found is None:
                self._found = self._ledger.newest().size
        if stage.size > (self._marked.size if self._marked else self._found or 0):
            self.set(stage)

    def _text(self) -> bytes | None:
        try:
            return self._read()
        except OSError as error:
            raise NotMarked(str(error.strerror)) from None


def mark_at(path: Path, ledger: Ledger) -> Mark:
    """The mark in the file at `path`."""

    def read() -> bytes | None:
        try:
            with path.open("rb") as file:
                return file.read(MOST)
        except FileNotFoundError:
            return None

    return Mark(ledger, read, lambda text: keep(path, text))


def keep(path: Path, content: bytes) -> None:
    """Puts these bytes in the place of the file, as a whole: they are on disk when it returns, and a crash before
    leaves the old ones. OSError.
    """
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(path.parent)
