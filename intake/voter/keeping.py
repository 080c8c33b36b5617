"""What a voter keeps of a ballot, in one folder, each file written whole before the next step depends on it.

`NAME.ballot` is the text that is handed in; `NAME.mark` shows its maker which choices it is of (orders.py);
`NAME.receipt` is the intake's promise; `NAME.tlog-proof` shows that it was recorded; `NAME.overtaken` is what was to be
handed in before; and `manifest` beside them is what all of these are checked against. None holds a secret, but together
they tell whose ballot it is.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from audit.log.proof import EXTENSION, Proof
from audit.protocol.group import b64
from audit.receipts import MANIFEST, REKEY
from audit.record.entries import Entry, read_text
from infra.desk import stored
from infra.hand_in import Receipt


@dataclass(frozen=True)
class Keepsake:
    """The files of the ballot `name`."""

    folder: Path
    name: str

    @property
    def ballot(self) -> Path:
        return self.folder / f"{self.name}.ballot"

    @property
    def proof(self) -> Path:
        return self.folder / f"{self.name}{EXTENSION}"

    @property
    def done(self) -> bool:
        """Whether there is a proof that the ballot was recorded; what it proves, orders.py asks."""
        return self.proof.exists()

    @property
    def any(self) -> bool:
        """Whether an earlier run has left a ballot or a proof here."""
        return self.done or self.ballot.exists()

    def text(self, make: Callable[[], bytes]) -> bytes:
        """The ballot's text: the one kept, so that no second ballot is ever made of it; else what `make` gives, kept
        from now on.
        """
        return stored(self.ballot, make)

    def keep_mark(self, mark: bytes) -> None:
        _write_whole(self._mark, f"{b64(mark)}\n".encode(), mode=0o600)

    def bears(self, mark: bytes) -> bool:
        """Whether this is the mark that is kept."""
        try:
            return hmac.compare_digest(self._mark.read_bytes(), f"{b64(mark)}\n".encode())
        except FileNotFoundError:
            return False

    @property
    def _mark(self) -> Path:
        return self.folder / f"{self.name}.mark"

    def set_aside(self) -> None:
        """Puts a ballot that can never be recorded, or is to be replaced, out of the way of the next one. It may be
        recorded nevertheless, and then is known to be its maker's own."""
        os.replace(self.ballot, self._free("overtaken", self.ballot.read_bytes()))

    def set_asides(self) -> list[Entry]:
        """The ballots put out of the way. Refused if a file holds none."""
        return [read_text(path.read_bytes()) for path in self._all("overtaken")]

    @property
    def receipts(self) -> int:
        """How many different receipts are kept."""
        return len(self._all("receipt"))

    def _all(self, what: str) -> list[Path]:
        """`NAME.what`, `NAME.what-2` and so on."""
        return sorted(self.folder.glob(f"{escape(self.name)}.{what}*"))

    def keep_receipt(self, receipt: Receipt) -> None:
        """Keeps a receipt; older ones stay, as evidence of a deadline that passed in vain."""
        _write_whole(self._free("receipt", receipt.note), receipt.note)

    def _free(self, what: str, content: bytes) -> Path:
        """The first of `NAME.what`, `NAME.what-2` and so on that does not exist, or holds just this."""
        path, number = self.folder / f"{self.name}.{what}", 1
        while path.exists() and path.read_bytes() != content:
            number += 1
            path = self.folder / f"{self.name}.{what}-{number}"
        return path

    def keep_proof(self, proof: Proof, rekeys: Iterable[Proof] = ()) -> None:
        """Keeps the proof, and before it what shows whose keys its checkpoint is signed with, if some were replaced."""
        for rekey in rekeys:
            path = self.folder / f"{REKEY}{rekey.index}{EXTENSION}"
            if not path.exists():
                _write_whole(path, rekey.raw)
        _write_whole(self.proof, proof.raw)


def keep_manifest(folder: Path, manifest: Entry) -> None:
    """Puts the manifest beside the receipts. Refused by `verify-receipt` later if it is another election's; so is it
    here.

    FileExistsError if the folder holds another election's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MANIFEST
    if not path.exists():
        _write_whole(path, manifest.raw)
    elif read_text(path.read_bytes().rpartition(b"\n\n")[0] + b"\n").identity != manifest.identity:
        raise FileExistsError(f"{path} is the manifest of another election")


def _write_whole(path: Path, raw: bytes, mode: int = 0o666) -> None:
    """A crash leaves the file as it was, or whole."""
    part = path.with_name(f".{path.name}.part")
    with open(part, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
