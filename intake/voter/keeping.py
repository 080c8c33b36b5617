"""What a voter keeps of a ballot, in one folder, each file written whole before the next step depends on it.

`NAME.ballot` is the text that is handed in; `NAME.receipt` the intake's promise; `NAME.tlog-proof` shows that it was
recorded; and `manifest` beside them is what all of these are checked against. None holds a secret, but together they
tell whose ballot it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from audit.log.proof import EXTENSION, Proof
from audit.receipts import MANIFEST
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
        """Whether it is proved that the ballot was recorded."""
        return self.proof.exists()

    def text(self, make: Callable[[], bytes]) -> bytes:
        """The ballot's text: the one kept, so that no second ballot is ever made of it; else what `make` gives, kept
        from now on.
        """
        return stored(self.ballot, make)

    def begun(self) -> bytes | None:
        """The identity of a ballot that was made, but not proved to be recorded: a crash, or an intake that broke its
        word.
        """
        return read_text(self.ballot.read_bytes()).identity if self.ballot.exists() and not self.done else None

    def set_aside(self) -> None:
        """Puts a ballot that can never be recorded out of the way of the next one."""
        os.replace(self.ballot, self.folder / f"{self.name}.overtaken")

    def keep_receipt(self, receipt: Receipt) -> None:
        """Keeps a receipt; older ones stay, as evidence of a deadline that passed in vain."""
        path, number = self.folder / f"{self.name}.receipt", 1
        while path.exists() and path.read_bytes() != receipt.note:
            number += 1
            path = self.folder / f"{self.name}.receipt-{number}"
        _write_whole(path, receipt.note)

    def keep_proof(self, proof: Proof) -> None:
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


def _write_whole(path: Path, raw: bytes) -> None:
    """A crash leaves the file as it was, or whole."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
