"""The first fault is the one that is named, however the work is divided."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Executor

import pytest

from audit import ballot_checks, verify
from audit.log.reader import ReadError
from audit.record.entries import parse_entry
from audit.record.totals import contests_by_class
from audit.verify import NotVerified, verify_record
from tests.simulator.meeting import Meeting
from tests.simulator.record import MemoryReader
from tests.verify.conftest import Auditor
from tests.verify.tampering import Files, entry, flipped, place, swap_responses


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
