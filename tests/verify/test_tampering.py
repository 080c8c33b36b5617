"""Whole records tampered with by who has only the files, and checkpoints that not all have signed."""

from __future__ import annotations

import random
from concurrent.futures import Executor
from pathlib import Path

import pytest

from audit.log.notes import Note, parse_note
from audit.log.reader import FolderReader
from audit.verify import NotVerified, verify_record
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.record import checkpoint_of, files_of, write
from tests.verify.conftest import Auditor
from tests.verify.tampering import Files, flipped, folder_fault

# The record itself


def test_the_record_is_verified(held: Meeting, files: Files, tmp_path: Path, executor: Executor) -> None:
    report = verify_record(FolderReader(write(files, tmp_path)), held.manifest.hash, executor)
    assert report.certified and report.pinned
    assert report.result == held.election.result
    assert report.result == {
        "ballots": 6,
        "contests": {
            "nominee-1": {"for": 14, "against": 735, "abstain": 2},
            "nominee-2": {"for": 5, "against": 0, "abstain": 0},
        },
        "outcome": {"nominee-1": "not elected", "nominee-2": "elected"},
        "present": 751,
    }
    assert (report.kinds["ballot"], report.superseded, report.custodians) == (8, 2, ("custodian-a", "custodian-b"))


@pytest.mark.parametrize("end", range(1, 6))
def test_an_election_under_way_is_verified_so_far(held: Meeting, auditor: Auditor, end: int) -> None:
    report = auditor.verify_signed(held.entries[:-end])
    assert not report.certified
    # Two trustees have answered before the officials certify: the totals are there for anybody.
    assert (report.result is None) == (end > 1)
    assert report.result in (None, held.election.result)


# Files changed by who cannot sign


@pytest.mark.parametrize("seed", range(40))
def test_any_byte_of_any_file(files: Files, held: Meeting, tmp_path: Path, executor: Executor, seed: int) -> None:
    dice = random.Random(seed)
    path = sorted(files)[seed % len(files)]
    at = dice.randrange(len(files[path]))
    changed = {**files, path: flipped(files[path], at, dice.randrange(8))}
    fault = folder_fault(changed, tmp_path, held.manifest.hash, executor)
    # A byte in entry 0 is seen first, for all else hangs on the manifest.
    first = 2 + len(held.entries[0])
    in_manifest = path.startswith("tile/entries/") and at < first
    assert path in fault.where or in_manifest
    assert path not in fault.where or fault.where == str(tmp_path / path)


def test_no_byte_of_a_small_record_may_differ(held: Meeting, tmp_path: Path, executor: Executor) -> None:
    """Of each file some hundred places, each changed, left out or doubled: what stays verified was not changed."""
    small = files_of(held.entries[:3], held.parties, held.origin)
    folder = write(small, tmp_path)
    dice = random.Random(11)
    for path, content in small.items():
        places = range(len(content)) if len(content) < 200 else sorted(dice.sample(range(len(content)), 150))
        for at in places:
            byte = content[at : at + 1]
            kind = dice.randrange(4)
            new = [bytes([byte[0] ^ dice.randrange(1, 256)]), b"", byte * 2, byte + dice.randbytes(1)][kind]
            changed = content[:at] + new + content[at + 1 :]
            (folder / path).write_bytes(changed)
            with pytest.raises(NotVerified) as caught:
                verify_record(FolderReader(folder), held.manifest.hash, executor)
            assert caught.value.reason, (path, at, new)
        (folder / path).write_bytes(content)
    assert verify_record(FolderReader(folder), held.manifest.hash, executor).head.size == 3


@pytest.mark.parametrize("seed", range(40))
def test_lines_of_a_checkpoint_moved_repeated_or_left_out(
    held: Meeting, files: Files, tmp_path: Path, executor: Executor, seed: int
) -> None:
    """Of signatures that are all true, only the one order, each once, is the record's."""
    dice = random.Random(seed)
    note = parse_note(checkpoint_of(held.entries, held.parties, held.origin, custodians=3))
    lines = list(note.signatures)
    for _ in range(dice.randrange(1, 4)):
        at = dice.randrange(len(lines))
        if dice.randrange(2):
            lines.insert(dice.randrange(len(lines) + 1), lines[at])
        else:
            lines.insert(dice.randrange(len(lines)), lines.pop(at))
    if lines == list(note.signatures):
        lines.append(lines[0])
    fault = folder_fault({**files, "checkpoint": Note(note.text, tuple(lines)).raw}, tmp_path, None, executor)
    assert (fault.reason, fault.where) == ("not-canonical", str(tmp_path / "checkpoint"))


@pytest.mark.parametrize("change", ["reversed", "doubled", "a line again", "an empty line", "sorted"])
def test_lines_of_the_whole_checkpoint_file(
    files: Files, tmp_path: Path, executor: Executor, change: str
) -> None:
    lines = files["checkpoint"].splitlines(keepends=True)
    changed = {
        "reversed": lines[::-1],
        "doubled": [line for line in lines for _ in range(2)],
        "a line again": [*lines[:2], *lines[1:]],
        "an empty line": [*lines, b"\n"],
        "sorted": sorted(lines),
    }[change]
    assert folder_fault({**files, "checkpoint": b"".join(changed)}, tmp_path, None, executor).where.startswith(
        str(tmp_path / "checkpoint")
    )


@pytest.mark.parametrize("extra", ["notes.txt", "tile/0/001", "tile/entries/000", "tile/2/000.p/1", ".hidden"])
def test_a_file_too_many(files: Files, tmp_path: Path, executor: Executor, extra: str) -> None:
    fault = folder_fault({**files, extra: b"x"}, tmp_path, None, executor)
    assert (fault.reason, fault.where) == ("unexpected-file", str(tmp_path / extra))


@pytest.mark.parametrize("which", ["tile/0", "tile/entries"])
def test_a_file_too_few(files: Files, tmp_path: Path, executor: Executor, which: str) -> None:
    path = next(path for path in files if path.startswith(which))
    fault = folder_fault({p: c for p, c in files.items() if p != path}, tmp_path, None, executor)
    assert (fault.reason, fault.where) == ("not-found", str(tmp_path / path))


@pytest.mark.parametrize("path", ["checkpoint", "tile/0", "tile/entries"])
@pytest.mark.parametrize("change", ["cut", "longer", "empty"])
def test_a_file_of_another_length(files: Files, tmp_path: Path, executor: Executor, path: str, change: str) -> None:
    name = next(name for name in files if name.startswith(path))
    content = {"cut": files[name][:-1], "longer": files[name] + b"\0", "empty": b""}[change]
    assert name in folder_fault({**files, name: content}, tmp_path, None, executor).where


def test_an_empty_folder_is_no_record(tmp_path: Path, executor: Executor) -> None:
    assert folder_fault({}, tmp_path, None, executor).reason == "not-found"


def test_an_older_checkpoint_with_newer_files(
    files: Files, held: Meeting, tmp_path: Path, executor: Executor
) -> None:
    old = checkpoint_of(held.entries[:-1], held.parties, held.origin)
    fault = folder_fault({**files, "checkpoint": old}, tmp_path, None, executor)
    assert fault.reason in ("unexpected-file", "not-found")


# Checkpoints


def resigned(meeting: Meeting, custodians: int) -> bytes:
    return checkpoint_of(meeting.entries, meeting.parties, meeting.origin, custodians)


def test_one_cosignature_is_not_enough(files: Files, held: Meeting, auditor: Auditor) -> None:
    with pytest.raises(NotVerified) as caught:
        auditor.verify({**files, "checkpoint": resigned(held, 1)})
    assert caught.value.reason == "not-witnessed"


@pytest.mark.parametrize("line, reason", [(0, "wrong-signers"), (1, "wrong-signers"), (2, "not-witnessed")])
def test_a_signature_left_out(files: Files, auditor: Auditor, line: int, reason: str) -> None:
    note = parse_note(files["checkpoint"])
    less = Note(note.text, note.signatures[:line] + note.signatures[line + 1 :])
    with pytest.raises(NotVerified) as caught:
        auditor.verify({**files, "checkpoint": less.raw})
    assert (caught.value.reason, caught.value.where) == (reason, "memory/checkpoint")


def test_a_strangers_line_on_the_checkpoint(files: Files, auditor: Auditor) -> None:
    note = parse_note(files["checkpoint"])
    stranger = Dice(9).signer("stranger").sign(note.text)
    with pytest.raises(NotVerified) as caught:
        auditor.verify({**files, "checkpoint": Note(note.text, (*note.signatures, stranger)).raw})
    assert caught.value.reason == "unknown-key"


def test_all_custodians_cosigned(files: Files, held: Meeting, auditor: Auditor) -> None:
    report = auditor.verify({**files, "checkpoint": resigned(held, 3)})
    assert report.custodians == ("custodian-a", "custodian-b", "custodian-c")
