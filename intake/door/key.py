"""This intake's key: the one that counts now, of those that it holds.

The officials may replace it while voting is open. The new one may lie ready before: which of them counts, the log says.
Until the log has said it of one of them, nothing but a rekey is taken here, for whatever else this intake signed would
be nobody's.
"""

from __future__ import annotations

from collections.abc import Sequence

from audit.log.keys import Signature, Signer
from audit.log.merkle import leaf_hash
from audit.log.notes import Note
from audit.record.manifest import Manifest


class DoorKey:
    """Holds the keys of one intake, the one named first to begin with; `counts`: whether the election has it now."""

    def __init__(self, signers: Sequence[Signer], manifest: Manifest) -> None:
        self._signers = tuple(signers)
        self.signer = self._signers[0]
        self.counts = False
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
