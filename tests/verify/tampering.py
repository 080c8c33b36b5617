"""What the tests of tampered records share: where an entry stands, and one bit of it changed."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pytest

from audit.log.reader import FolderReader
from audit.record.entries import Entry, parse_entry
from audit.verify import NotVerified, verify_record
from tests.simulator.meeting import Meeting
from tests.simulator.record import write

Files = dict[str, bytes]


def kinds(meeting: Meeting) -> list[str]:
    return [parse_entry(raw).kind for raw in meeting.entries]


def place(meeting: Meeting, kind: str, nth: int = 0) -> int:
    return [i for i, found in enumerate(kinds(meeting)) if found == kind][nth]


def entry(meeting: Meeting, kind: str, nth: int = 0) -> Entry:
    return parse_entry(meeting.entries[place(meeting, kind, nth)])


def flipped(raw: bytes, at: int, bit: int = 0) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :]


def folder_fault(files: Files, folder: Path, pinned: bytes | None, executor: Executor) -> NotVerified:
    with pytest.raises(NotVerified) as caught:
        verify_record(FolderReader(write(files, folder)), pinned, executor)
    return caught.value


def swap_responses(body: dict[str, Any]) -> None:
    proof = body["contests"]["nominee-1"]["proofs"][0]
    proof["z"].reverse()
