"""Which numbers have been sent by e-mail, on disk: what lets a run that was broken off go on where it stood.

A line is written and synced before a message is handed over, and another once the server has taken it. After a crash
between the two nobody can know whether the message went out: that account is *uncertain*, and is named, neither sent
again in silence nor left out. A line that the crash cut short was not synced, so what it announced had not begun.

A line names the number sent by a hash, so that an account whose number was replaced gets the new one. The hash of 125
random bits tells nothing; the file is its owner's alone all the same, since it says who holds shares.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from audit.protocol.group import b64
from audit.protocol.refused import Refused
from infra.keys import KeyFileError

FORMAT = "psephos/v1 mail"


class State(StrEnum):
    """How far a message has come: handed over, without an answer yet; taken by the server; surely not taken."""

    HANDED = "handed"
    SENT = "sent"
    REFUSED = "refused"


@dataclass(frozen=True)
class Mark:
    """The newest line on an account: which number, under which Message-ID, and how far it has come."""

    state: State
    number: str
    message: str


@dataclass
class Journal:
    """The marks of one issuer in one election, and the file they are added to."""

    file: BinaryIO
    marks: dict[str, Mark] = field(default_factory=dict)

    def of(self, account: str, code: str) -> Mark | None:
        """The mark of this account, if it was made for this number (25 symbols)."""
        mark = self.marks.get(account)
        return mark if mark is not None and mark.number == tag(code) else None

    def note(self, account: str, code: str, state: State, message: str) -> None:
        """Adds a line, on disk when this returns."""
        mark = Mark(state, tag(code), message)
        self._add({"account": account, "message": message, "number": mark.number, "state": state.value})
        self.marks[account] = mark

    def _add(self, line: dict[str, str]) -> None:
        self.file.write(json.dumps(line).encode() + b"\n")
        self.file.flush()
        os.fsync(self.file.fileno())


def tag(code: str) -> str:
    """What stands for a number in the journal."""
    return b64(sha256(f"psephos/v1 mail number {code}".encode()).digest()[:12])


@contextmanager
def open_journal(path: Path, manifest: bytes, issuer: str) -> Iterator[Journal]:
    """The journal at `path`, begun if there is none, and nobody else's while it is open.

    KeyFileError if others may read it; Refused `another-election` for another election's or issuer's, `syntax` naming
    the line that is none, `duplicate` while another run has it.
    """
    head = {"format": FORMAT, "issuer": issuer, "manifest": b64(manifest)}
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "r+b") as file:
        if os.fstat(descriptor).st_mode & 0o077:
            raise KeyFileError(f"{path}: others can read it; it must have mode 0600")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused("duplicate", f"{path} is in use: another run is sending") from None
        lines = _whole_lines(file)
        journal = Journal(file)
        if not lines:
            journal._add(head)
            _sync_folder(path)
        elif _parsed(path, 1, lines[0], tuple(head)) != head:
            raise Refused("another-election", f"{path} is the journal of another election or issuer")
        for place, raw in enumerate(lines[1:], 2):
            line = _parsed(path, place, raw, ("account", "message", "number", "state"))
            if line["state"] not in list(State):
                raise Refused("syntax", f"{path}, line {place}: is no line of a journal")
            journal.marks[line["account"]] = Mark(State(line["state"]), line["number"], line["message"])
        yield journal


def _whole_lines(file: BinaryIO) -> list[bytes]:
    """The lines that were written to their end; what stands behind the last of them is cut off."""
    raw = file.read()
    whole = raw[: raw.rfind(b"\n") + 1]
    if whole != raw:
        file.truncate(len(whole))
    file.seek(0, os.SEEK_END)
    return whole.splitlines()


def _parsed(path: Path, place: int, raw: bytes, names: tuple[str, ...]) -> dict[str, Any]:
    try:
        line = json.loads(raw)
    except ValueError:
        line = None
    if not isinstance(line, dict) or set(line) != set(names) or not all(isinstance(v, str) for v in line.values()):
        raise Refused("syntax", f"{path}, line {place}: is no line of a journal")
    return line


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path.resolve().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
