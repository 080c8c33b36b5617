"""Whom a follower asks, and what each has shown, which is remembered beyond a restart."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from audit.log.reader import Reader, ReadError
from infra import failpoints, log
from vault.custodian.alarms import write_whole


class Patient:
    """A reader that is asked nothing more once its time is over: who proves ever more in a tree of its own making must
    not keep those who follow from asking others. ReadError `slow`.
    """

    def __init__(self, reader: Reader, clock: Callable[[], float], seconds: float) -> None:
        self._reader, self._clock, self._seconds = reader, clock, seconds
        self._end = 0.0

    def __str__(self) -> str:
        return str(self._reader)

    def begin(self) -> None:
        """Its time begins."""
        self._end = self._clock() + self._seconds

    def checkpoint(self) -> bytes | None:
        self._check_time()
        return self._reader.checkpoint()

    def rekeys(self) -> Sequence[int] | None:
        return self._reader.rekeys()

    def tile(self, level: int, index: int, width: int) -> bytes:
        self._check_time()
        return self._reader.tile(level, index, width)

    def bundle(self, index: int, width: int) -> bytes:
        self._check_time()
        return self._reader.bundle(index, width)

    def _check_time(self) -> None:
        if self._clock() > self._end:
            raise ReadError(f"has not given what was asked for in {self._seconds:g} s", str(self), "slow")


@dataclass
class Source:
    """One custodian to pull from. `largest`: the most entries it ever showed; `gave`: whether in this round it
    gave something, or had as much as there was; `heard`: when the last such round was over; `cursor`: the bundle that
    is compared next; `shown`: the note it gave last.
    """

    reader: Patient
    largest: int = 0
    gave: bool = False
    heard: float = 0.0
    cursor: int = 0
    shown: bytes = b""

    @property
    def label(self) -> str:
        """A word for the log."""
        return label(self.reader)

    def hear(self, size: int, held: int) -> None:
        """It has answered, with a tree of `size` entries where `held` are held. One that stands still behind what
        others have shown is as one that is silent.
        """
        if size >= held or size > self.largest:
            self.gave = True
        self.largest = max(self.largest, size)


def label(reader: Reader) -> str:
    """A source as a word for the log."""
    return log.word(urlsplit(str(reader)).netloc or str(reader))


class Memory:
    """The file in which it is remembered how much each source has shown."""

    def __init__(self, file: Path, sources: Sequence[Source]) -> None:
        self._file, self._sources = file, sources
        # A file that cannot be read is as if there were none.
        try:
            self._kept = {str(url): int(size) for url, size in json.loads(file.read_bytes()).items()}
        except (OSError, ValueError, AttributeError, TypeError):
            self._kept = {}
        for source in sources:
            source.largest = self._kept.get(str(source.reader), 0)

    def keep(self) -> None:
        """On disk when it returns."""
        sizes = {str(source.reader): source.largest for source in self._sources}
        if sizes != self._kept:
            failpoints.at("follower.remembering")
            write_whole(self._file, json.dumps(sizes, indent=1, sort_keys=True).encode() + b"\n")
            failpoints.at("follower.remembered")
            self._kept = sizes
