"""What a follower raises an alarm for, and the evidence it keeps. Each kind has an exit code, a line in the log and a
figure."""

from __future__ import annotations

import json
import os
import secrets
from collections import Counter
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from infra import log

CODES = {"fork": 3, "rekey": 8, "overruled": 9, "changed": 4, "shrunken": 5, "damaged": 6, "silence": 7}
"""The worst first: its code is the exit code, whatever else there was."""
SAID_AGAIN_SECONDS = 600.0
MOST_KEPT = 100
"""Of one kind and from one source: the first of them, which nobody can push out by making up others."""

_log = log.Log(
    "vault.follow",
    fork=("source", "size", "held"),
    rekey=("source", "number"),
    overruled=("source", "size", "held"),
    changed=("source", "what", "number"),
    shrunken=("source", "size", "was"),
    damaged=("what",),
    silence=("source", "seconds"),
    stored=("source", "size", "entries"),
    unusable=("source", "reason"),
)


class Alarms:
    """Counts alarms by kind in `raised`; keeps evidence in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.raised: Counter[str] = Counter()
        self._seldom: dict[str, log.Seldom] = {}

    def __call__(self, kind: str, **values: log.Value) -> None:
        """Raises an alarm of one of CODES. All are counted; the same again is logged every ten minutes."""
        self.raised[kind] += 1
        if self._seldom.setdefault(kind, log.Seldom(SAID_AGAIN_SECONDS)).due(repr(values)):
            _log.error(kind, **values)

    @property
    def code(self) -> int:
        """The exit code: 0 if there was no alarm."""
        return next((code for kind, code in CODES.items() if self.raised[kind]), 0)

    def stored(self, source: str, size: int, entries: int) -> None:
        """Reports that the log has grown here."""
        _log.info("stored", source=source, size=size, entries=entries)

    def unusable(self, source: str, reason: str) -> None:
        """Reports that a source was of no use this time."""
        if self._seldom.setdefault(f"unusable {source}", log.Seldom(SAID_AGAIN_SECONDS)).due(reason):
            _log.warning("unusable", source=source, reason=log.word(reason))

    def keep(self, kind: str, source: str, evidence: dict[str, Any]) -> Path | None:
        """Writes evidence against a source to a file of its own, durably, and never over another; the same again is one
        file. None if MOST_KEPT are there already.
        """
        raw = (json.dumps({"kind": kind, "source": source, **evidence}, indent=1, sort_keys=True) + "\n").encode()
        first = f"{kind}-{sha256(source.encode()).hexdigest()[:8]}-"
        file = self._folder / f"{first}{sha256(raw).hexdigest()[:16]}.json"
        if not file.exists():
            if len(list(self._folder.glob(f"{first}*.json"))) >= MOST_KEPT:
                return None
            write_whole(file, raw)
        return file


def write_whole(file: Path, raw: bytes) -> None:
    """The file with these bytes, on disk when it returns; a failure leaves it as it was, a crash at worst with a
    `.part` file beside it.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, file)
    except OSError:
        # Else a full disk would get one more each time.
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    descriptor = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
