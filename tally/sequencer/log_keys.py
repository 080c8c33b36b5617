"""The log's own keys: those that count now, and beside them those that will once the officials have said so, or have
counted before.

Which ones sign a tree, the entries under it decide, never the settings. So the new key may lie ready before the rekey
is recorded, and an old one may stay for what is still unsigned.
"""

from __future__ import annotations

from collections.abc import Sequence

from audit.log.checkpoint import Checkpoint
from audit.log.keys import Signer, Verifier
from audit.log.notes import Note
from audit.record.entries import seal
from audit.record.manifest import Manifest


class MissingKey(Exception):
    """This process does not hold a key that counts for what is to be signed: nothing is staged without it."""

    def __init__(self, key: Verifier) -> None:
        what = f"the key {key.key_id.hex()} of {key.name} counts now and is not among `keys`"
        super().__init__(f"{what}: add its file, and start again")


class LogKeys:
    """The private keys that this process holds."""

    def __init__(self, signers: Sequence[Signer]) -> None:
        self._held = {signer.verifier: signer for signer in signers}

    def note(self, checkpoint: Checkpoint, manifest: Manifest, now: int) -> Note:
        """The log's own note over a tree, signed at `now` (POSIX seconds) with the keys that count over it."""
        signers = [self._of(key) for key in manifest.at(checkpoint.size).log.log]
        return Note(checkpoint.text, tuple(signer.sign(checkpoint.text, now) for signer in signers))

    def seal(self, text: bytes, manifest: Manifest) -> bytes:
        """The entry of this text with the line of the log's key that counts now. MissingKey."""
        return seal(text, [self._of(manifest.log_key)])

    def check(self, manifest: Manifest) -> None:
        """MissingKey unless a tree can be signed whose keys are the manifest's."""
        for key in manifest.log.log:
            self._of(key)

    def _of(self, key: Verifier) -> Signer:
        if key not in self._held:
            raise MissingKey(key)
        return self._held[key]
