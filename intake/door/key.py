"""This intake's key: the one that counts now, of those that it holds.

The officials may replace it while voting is open. The new one may lie ready before: which of them counts, the log says.
Until the log has said it of one of them, nothing but a rekey is taken here, for whatever else this intake signed would
be nobody's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from audit.log.keys import Signature, Signer
from audit.log.merkle import leaf_hash
from audit.log.notes import Note
from audit.record.entries import Entry
from audit.record.manifest import Manifest


class DoorKey:
    """Holds the keys of one intake, the one named first to begin with; `counts`: whether the election has it now;
    `outlived`: whether something may wait with a line by one that was replaced.
    """

    def __init__(self, signers: Sequence[Signer], manifest: Manifest) -> None:
        self._signers = tuple(signers)
        self.signer = self._signers[0]
        self.counts = self.outlived = False
        self.follow(manifest)

    @property
    def name(self) -> str:
        return self.signer.name

    def line_of(self, text: bytes, leaf: bytes) -> Signature | None:
        """The line over a ballot's text, by whichever key it holds, that makes it this leaf."""
        lines = (signer.sign(text) for signer in self._signers)
        return next((line for line in lines if leaf_hash(Note(text, (line,)).raw) == leaf), None)

    def follow(self, manifest: Manifest) -> None:
        """Takes the key that counts by this manifest, with the rekeys that the log holds so far."""
        counting = [signer for signer in self._signers if signer.verifier in manifest.intakes]
        self.signer, self.counts = (counting or [self.signer])[0], bool(counting)

    def stored(self, entries: Iterable[Entry]) -> None:
        """To be told whenever an attempt to store these has ended: the key of a ballot may have been replaced between
        its line and its commit, however long that took.
        """
        if any(entry.kind == "ballot" and not self._is_mine(entry) for entry in entries):
            self.outlived = True

    def _is_mine(self, ballot: Entry) -> bool:
        return ballot.signatures[0].key_id == self.signer.verifier.key_id
