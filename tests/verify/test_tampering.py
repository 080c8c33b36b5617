"""Whole records tampered with: by who has only the files, and by log and custodians who would all sign anything."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pytest

from audit import ballot_checks, verify
from audit.log.notes import Note, parse_note
from audit.log.reader import FolderReader, ReadError
from audit.protocol.ballot import make_ballot
from audit.protocol.group import G, b64, element_from
from audit.protocol.refused import Refused
from audit.record.entries import Entry, parse_entry
from audit.record.totals import contests_by_class
from audit.verify import NotVerified, compare_result, verify_record
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.record import MemoryReader, checkpoint_of, files_of, write
from tests.verify.conftest import FOR, Auditor

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


# Logs that log and custodians have signed although the rules forbid them


def test_an_entry_removed(held: Meeting, auditor: Auditor) -> None:
    for i, kind in enumerate(kinds(held)[:-1]):
        fault = auditor.fault(held.entries[:i] + held.entries[i + 1 :])
        assert fault.number is not None and fault.number >= i, (i, kind)
        if kind in ("ballot", "refusal"):
            # The officials had seen it when they drew the closing up; what comes later, an intake passed on.
            seen = i < place(held, "closing")
            assert fault.number == place(held, "closing" if seen else "close") - 1, (i, kind)
            assert ("drawn up over" if seen else "passed on") in fault.detail


def test_an_entry_added_again(held: Meeting, auditor: Auditor) -> None:
    for i in range(len(held.entries)):
        for at in {i + 1, len(held.entries)}:
            fault = auditor.fault(held.entries[:at] + [held.entries[i]] + held.entries[at:])
            assert fault.number == at


def test_two_entries_swapped(held: Meeting, auditor: Auditor) -> None:
    names = kinds(held)
    for i in range(len(names) - 1):
        entries = held.entries[:i] + [held.entries[i + 1], held.entries[i]] + held.entries[i + 2 :]
        if names[i : i + 2] == ["decrypt", "decrypt"]:
            # Trustees answer in any order: this is the same election.
            assert auditor.verify_signed(entries).result == held.election.result
            continue
        assert auditor.fault(entries).number is not None


def test_a_byte_of_each_entry(held: Meeting, auditor: Auditor) -> None:
    dice = random.Random(4)
    for i, raw in enumerate(held.entries):
        for at in [dice.randrange(len(raw)) for _ in range(3)]:
            changed = flipped(raw, at, dice.randrange(7))
            assert auditor.fault([*held.entries[:i], changed, *held.entries[i + 1 :]]).number == i


def test_a_ballot_from_a_rehearsal_of_the_same_origin(held: Meeting, auditor: Auditor) -> None:
    rehearsal = Meeting(seed=5, parties=held.parties).prepared()
    raw = rehearsal.signed("ballot", rehearsal.ballot(rehearsal.accounts[0], FOR), held.intake)
    at = place(held, "closing")
    fault = auditor.fault([*held.entries[:at], raw, *held.entries[at:]])
    assert (fault.number, fault.kind, fault.reason) == (at, "ballot", "another-election")


def test_another_election_whole(held: Meeting, auditor: Auditor, executor: Executor) -> None:
    other = Meeting(seed=5, parties=held.parties).prepared().counted()
    files = files_of(other.entries, other.parties, other.origin)
    with pytest.raises(NotVerified) as caught:
        auditor.verify(files)
    assert (caught.value.number, caught.value.reason) == (0, "another-election")
    # Who pins nothing is shown an election that holds, and is told its hash.
    assert not verify_record(MemoryReader(files), None, executor).pinned


Change = Callable[[Meeting, dict[str, Any]], object]
FORGED: dict[str, tuple[str, Change, str]] = {
    "a result": ("certify", lambda m, b: b["result"].update(present=750), "wrong-result"),
    "a share": (
        "decrypt",
        lambda m, b: b["present"]["common"].update(D=b64((element_from(b["present"]["common"]["D"]) + G).raw)),
        "bad-proof",
    ),
    "shares of another closing head": ("decrypt", lambda m, b: b.update(closing=b64(bytes(32))), "another-election"),
    "an account": ("reconcile", lambda m, b: b.update(count=99), "not-complete"),
    "a row's key": ("roll", lambda m, b: b["rows"][0].update(K=b["rows"][1]["K"]), "bad-proof"),
    "a row's weight": ("roll", lambda m, b: b["rows"][0].update(E=b["rows"][1]["E"]), "not-complete"),
    "a countersigned hash": ("roll-signed", lambda m, b: b.update(hash=b64(bytes(32))), "another-roll"),
    "a confirmed key": ("trustee-confirm", lambda m, b: b.update(key=b64(G.raw)), "wrong-key"),
    "a ballot's proof": ("ballot", lambda m, b: swap_responses(b), "bad-signature"),
}


def swap_responses(body: dict[str, Any]) -> None:
    proof = body["contests"]["nominee-1"]["proofs"][0]
    proof["z"].reverse()


@pytest.mark.parametrize("what", sorted(FORGED))
def test_what_its_own_signer_forged(held: Meeting, auditor: Auditor, what: str) -> None:
    """Whoever should sign the entry signs another one; log and custodians play along."""
    kind, change, reason = FORGED[what]
    at = place(held, kind)
    original = parse_entry(held.entries[at])
    body = json.loads(json.dumps(original.body))
    change(held, body)
    parties = held.parties
    everybody = [*parties.officials, *parties.trustees, *parties.issuers, *parties.inspectors, *parties.intakes]
    signers = [next(s for s in everybody if s.name == line.name) for line in original.signatures]
    raw = held.signed(kind, body, *signers)
    fault = auditor.fault([*held.entries[:at], raw, *held.entries[at + 1 :]])
    assert fault.reason == reason
    late = {"an account": ("close", 0)}
    expected = place(held, *late[what]) if what in late else at
    assert fault.number == expected


def test_a_ballot_whose_proof_is_wrong_but_signed_by_its_voter(held: Meeting, auditor: Auditor) -> None:
    """The weight of another row: the voter signs a ballot for more votes than its row gives."""
    poor, rich = held.accounts[3], held.accounts[2]
    context = held.election.ballot_context("common")
    chosen = {"nominee-1": (1, 0, 0), "nominee-2": (0, 0, 0)}
    body = make_ballot(context, poor.s, rich.E, chosen, 9, held.dice.scalar)
    at = place(held, "closing")
    fault = auditor.fault([*held.entries[:at], held.signed("ballot", body, held.intake), *held.entries[at:]])
    assert (fault.number, fault.reason) == (at, "bad-proof")
    assert "contests.nominee-1" in fault.detail


# The first fault is the one that is named, however the work is divided


def forged_ballots(meeting: Meeting, which: list[int]) -> list[bytes]:
    """The log with the nth ballots replaced by ballots whose proofs do not hold."""
    entries = list(meeting.entries)
    for nth in which:
        at = place(meeting, "ballot", nth)
        body = json.loads(json.dumps(parse_entry(entries[at]).body))
        swap_responses(body)
        entries[at] = meeting.signed("ballot", body, meeting.intake)
    return entries


@pytest.mark.parametrize("chunk", [1, 2, 3, 16])
@pytest.mark.parametrize("which", [[0], [2, 4], [4, 1], [7, 3], [5]])
def test_the_first_bad_ballot_is_named(
    held: Meeting, auditor: Auditor, monkeypatch: pytest.MonkeyPatch, chunk: int, which: list[int]
) -> None:
    monkeypatch.setattr(ballot_checks, "CHUNK", chunk)
    monkeypatch.setattr(ballot_checks, "IN_FLIGHT", 1)
    fault = auditor.fault(forged_ballots(held, which))
    assert (fault.number, fault.kind) == (place(held, "ballot", min(which)), "ballot")


@pytest.mark.parametrize("chunk", [1, 2, 16])
def test_a_bad_ballot_before_a_bad_act(
    held: Meeting, auditor: Auditor, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(ballot_checks, "CHUNK", chunk)
    entries = forged_ballots(held, [7])
    at = place(held, "closing")
    refusal = place(held, "refusal")
    entries[refusal] = flipped(entries[refusal], len(entries[refusal]) - 10)
    assert auditor.fault(entries).number == refusal
    assert auditor.fault([*held.entries[:at], held.entries[0], *held.entries[at:]]).number == at


def test_a_bad_ballot_before_what_cannot_be_read(
    held: Meeting, auditor: Auditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = forged_ballots(held, [1])

    def broken(*_: object) -> Iterator[bytes]:
        yield from entries[: place(held, "closing")]
        raise ReadError("is missing", "tile/entries/001", "not-found")

    monkeypatch.setattr(verify, "read_entries", broken)
    assert auditor.fault(entries).number == place(held, "ballot", 1)
    entries = held.entries
    assert auditor.fault(entries).where == "tile/entries/001"


def test_a_custodian_that_changes_what_it_showed(held: Meeting, files: Files, executor: Executor) -> None:
    """A ballot that another replaced is read a second time to be taken out of the sums; it must be the same again."""

    class Fickle(MemoryReader):
        asked = 0

        def bundle(self, index: int, width: int) -> bytes:
            raw = super().bundle(index, width)
            self.asked += 1
            # The first entry, then all entries, then again those replaced.
            at = raw.index(held.entries[place(held, "ballot")]) + 60
            return raw if self.asked < 3 else flipped(raw, at)

    with pytest.raises(NotVerified) as caught:
        verify_record(Fickle(files), held.manifest.hash, executor)
    assert (caught.value.reason, f"entry {place(held, 'ballot')}" in caught.value.detail) == ("wrong-entry", True)


@pytest.mark.parametrize("raw", [b"", b"\xff", b"\0\1x", b"\0\1" * 300])
def test_a_custodian_that_shows_garbage_the_second_time(
    held: Meeting, files: Files, executor: Executor, raw: bytes
) -> None:
    class Fickle(MemoryReader):
        asked = 0

        def bundle(self, index: int, width: int) -> bytes:
            self.asked += 1
            return super().bundle(index, width) if self.asked < 3 else raw

    with pytest.raises(NotVerified) as caught:
        verify_record(Fickle(files), held.manifest.hash, executor)
    assert caught.value.where.startswith("memory/tile/entries/")


def test_a_worker_compares_the_row_it_was_told(held: Meeting) -> None:
    """Which weight goes along is guessed from a ballot's last fields; a wrong guess must not let a ballot through."""
    raw = entry(held, "ballot").raw
    row = ballot_checks.row_of(raw)
    assert row == ("common", held.accounts[0].pseudonym.raw)
    other = held.accounts[1]
    sent = (raw, ("common", other.pseudonym.raw), other.E.raw)
    verdict = ballot_checks.check_chunk(held.election.checker(), contests_by_class(held.manifest), [sent])
    assert verdict.entries == ()
    assert verdict.refusal is not None and verdict.refusal.reason == "syntax"


@pytest.mark.parametrize("raw", [b"", b"psephos/v1 ballot\n", b'"pseudonym":"' + b"A" * 43 + b'","revision":0'])
def test_no_row_is_guessed_from_noise(raw: bytes) -> None:
    assert ballot_checks.row_of(raw) is None


# A result beside the log


def test_a_result_that_is_the_logs(held: Meeting, auditor: Auditor) -> None:
    compare_result(auditor.verify_signed(held.entries), json.dumps(held.election.result, indent=2).encode(), "r.json")


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda r: r.update(present=1), "result.present"),
        (lambda r: r["contests"]["nominee-1"].update({"for": True}), "result.contests.nominee-1.for"),
        (lambda r: r.pop("outcome"), "result.outcome"),
        (lambda r: r.update(more=1), "result.more"),
    ],
)
def test_another_result(held: Meeting, auditor: Auditor, change: Callable[[Any], object], words: str) -> None:
    result = json.loads(json.dumps(held.election.result))
    result["contests"]["nominee-1"]["for"] = 14
    change(result)
    with pytest.raises(NotVerified) as caught:
        compare_result(auditor.verify_signed(held.entries), json.dumps(result).encode(), "r.json")
    assert (caught.value.reason, caught.value.where) == ("wrong-result", "r.json")
    assert caught.value.detail.startswith(words)


NO_RESULT = {
    "nothing": (b"", "syntax"),
    "no UTF-8": (b"\xff", "syntax"),
    "UTF-16": ("{}".encode("utf-16"), "syntax"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "syntax"),
    "two values": (b"{} {}", "syntax"),
    "an array": (b"[]", "wrong-result"),
    "null": (b"null", "wrong-result"),
    "a number that is none": (b"NaN", "wrong-result"),
    "a fraction": (b'{"ballots": 6.0}', "wrong-result"),
    "a field twice": (b'{"ballots": 7, "ballots": 6}', "duplicate"),
    "a field twice, further in": (b'{"contests": {"nominee-1": {"for": 9, "for": 14}}}', "duplicate"),
    **{f"{depth} deep": (b"[" * depth + b"]" * depth, "syntax") for depth in (17, 500, 900, 990, 100_000)},
}


@pytest.mark.parametrize("raw, reason", NO_RESULT.values(), ids=NO_RESULT)
def test_a_result_that_is_none(held: Meeting, auditor: Auditor, raw: bytes, reason: str) -> None:
    with pytest.raises(NotVerified) as caught:
        compare_result(auditor.verify_signed(held.entries), raw, "r.json")
    assert caught.value.reason == reason


def test_a_result_of_which_a_field_is_said_twice(held: Meeting, auditor: Auditor) -> None:
    """One reader of such a file would see another result than the next."""
    raw = json.dumps(held.election.result).encode()
    with pytest.raises(NotVerified) as caught:
        compare_result(auditor.verify_signed(held.entries), b'{"present": 1, ' + raw[1:], "r.json")
    assert (caught.value.reason, caught.value.where) == ("duplicate", "r.json")
    assert "'present'" in caught.value.detail


def test_shares_that_come_to_no_result_name_an_entry(
    held: Meeting, auditor: Auditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the officials certify, nothing in the log says what the shares come to; whoever adds them up does."""

    def refuse(*_: object) -> None:
        raise Refused("does-not-foot", "9 votes on nominee-1, but 1 are present", "contests.nominee-1")

    monkeypatch.setattr(verify, "result_of", refuse)
    with pytest.raises(NotVerified) as caught:
        auditor.verify_signed(held.entries[:-1])
    number = len(held.entries) - 2
    assert (caught.value.number, caught.value.kind, caught.value.reason) == (number, "decrypt", "does-not-foot")
    assert caught.value.where == f"entry {number} (decrypt)"


def test_a_result_before_there_is_one(held: Meeting, auditor: Auditor) -> None:
    report = auditor.verify_signed(held.entries[: place(held, "closing")])
    with pytest.raises(NotVerified) as caught:
        compare_result(report, json.dumps(held.election.result).encode(), "r.json")
    assert caught.value.reason == "not-complete"
