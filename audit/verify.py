"""Verifying an election from its log alone: everything that anybody claimed is recomputed, and what had to be believed
is named.

The reader trusts no custodian, no official and no service. From the manifest's hash follow all keys; from them the
checkpoint; from its root every entry; from the entries, by the same rules that tally and intake run, the phase, the
key, the roll, which ballots count, their sums, the trustees' shares and the result. Whoever could verify differently
from others would be shown another election, so there is one rule book and no option that weakens it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

from audit.ballot_checks import CHUNK, Pending, Row, Sent, Verdict, Window, row_of, sum_chunk
from audit.log.checkpoint import cosigned_by, open_note
from audit.log.export import check_folder
from audit.log.merkle import CompactRange, leaf_hash
from audit.log.reader import (
    FolderReader,
    Head,
    Reader,
    ReadError,
    bundle_entries,
    read_entries,
    unverified_first_entry,
)
from audit.log.tiles import WIDTH, bundle_path, width_of
from audit.protocol.canonical import canonical
from audit.protocol.refused import Refused
from audit.record.election import Election
from audit.record.entries import PREFIX, Entry, parse_entry
from audit.record.heads import Shown, expect_one_log, expect_rekeys, open_head, open_log
from audit.record.manifest import Manifest, open_manifest
from audit.record.outcome import first_difference, result_of
from audit.record.seen import MemorySeen
from audit.record.totals import Contests, Sums, contests_by_class
from audit.verify_report import Refusal, Report

Progress = Callable[[int, int], None]


class NotVerified(Exception):
    """The record is not that of an election by the rules. `number` and `kind` are of the first entry at fault, if it is
    one.
    """

    def __init__(self, detail: str, reason: str, where: str = "", number: int | None = None, kind: str = "") -> None:
        super().__init__(detail, reason, where, number, kind)
        self.detail, self.reason, self.where, self.number, self.kind = detail, reason, where, number, kind

    def __str__(self) -> str:
        return f"{self.where}: {self.detail}" if self.where else self.detail

    def to_json(self) -> dict[str, object]:
        at: dict[str, object] = {} if self.number is None else {"entry": self.number, "type": self.kind}
        return {"verified": False, "reason": self.reason, "where": self.where, "detail": self.detail, **at}


def entry_fault(number: int, raw: bytes, refusal: Refused) -> NotVerified:
    kind = kind_of(raw) or "of no known type"
    return NotVerified(str(refusal), refusal.reason, f"entry {number} ({kind})", number, kind)


def kind_of(raw: bytes) -> str:
    """The type that an entry says it has, "" if its first line is no type."""
    line = raw.split(b"\n", 1)[0].decode("ascii", "replace")
    return line.removeprefix(PREFIX)[:40] if line.startswith(PREFIX) else ""


def verify_record(
    reader: Reader,
    pinned: bytes | None,
    executor: Executor,
    progress: Progress = lambda done, total: None,
    others: Sequence[Reader] = (),
) -> Report:
    """What a log or an exported record shows, all of it checked; `pinned` is the manifest's hash (32 bytes), if known.

    No rekey that one of `others` shows may be kept back by it: that could be another log, signed with keys that were
    replaced. Nor may the tree of one be another log's, by keys that count. The rest of what those show is not looked
    at.
    The proofs of ballots, rolls and mixes are checked by `executor`, in chunks; `progress` is told how many entries of
    how many are done. Of a folder every file is checked, and no other may be there. NotVerified names the first entry
    or file at fault, or why the log cannot be read.
    """
    try:
        manifest, first = first_entry(reader, pinned)
        also = [shown_by(other, manifest.hash) for other in others]
        head = verified_head(reader, manifest)
        verification = Verification(reader, head, executor, progress)
        election = verification.run()
        check_keys(head, election.manifest)
        shown = Shown(reader, election.manifest, first, head)
        expect_rekeys(shown, also)
        for other in also:
            expect_one_log(shown, other)
    except ReadError as error:
        raise NotVerified(error.detail, error.reason, error.where) from None
    except Refused as refusal:
        raise NotVerified(refusal.detail, refusal.reason) from None
    return Report(
        election=election,
        pinned=pinned is not None,
        head=head.checkpoint,
        custodians=tuple(cosigned_by(head.note, election.manifest.log)),
        kinds=dict(verification.kinds),
        refusals=dict(verification.refusals),
        superseded=len(verification.index.superseded),
        result=verification.result(),
        source=str(reader),
        compared=tuple(map(str, others)),
    )


def first_entry(reader: Reader, pinned: bytes | None) -> tuple[Manifest, Entry]:
    """The manifest, by which all else is judged, and entry 0 that holds it. NotVerified; ReadError."""
    raw = unverified_first_entry(reader)
    if raw is None:
        said = "no checkpoint is there: nothing has been published, or this is not its place (a folder, or URL/ORIGIN)"
        raise NotVerified(said, "not-found", str(reader))
    try:
        return open_manifest(raw, pinned)
    except Refused as refusal:
        raise entry_fault(0, raw, refusal) from None


def shown_by(other: Reader, pinned: bytes) -> Shown:
    """What another source shows. NotVerified if its manifest is against the rules; ReadError."""
    try:
        return open_log(other, pinned)
    except Refused as refusal:
        raise NotVerified(str(refusal), refusal.reason, str(other)) from None


def verified_head(reader: Reader, manifest: Manifest) -> Head:
    """The head by the keys that count over its size, as far as the log itself says at first sight. ReadError."""
    found = open_head(reader, manifest, exact=True, whole=True)
    if found is None:
        raise ReadError("no checkpoint is there", str(reader), "not-found")
    head, manifest = found
    return check_folder(Path(str(reader)), manifest.log) if isinstance(reader, FolderReader) else head


def check_keys(head: Head, manifest: Manifest) -> None:
    """The checkpoint is signed by the keys that count over all of its entries. NotVerified, naming the rekey that says
    otherwise.
    """
    try:
        open_note(head.note, manifest.log, exact=True)
    except Refused as refusal:
        assert manifest.rekey is not None
        raise NotVerified(
            f"replaces keys by which the checkpoint is signed: {refusal}",
            refusal.reason,
            f"entry {manifest.rekey.index} (rekey)",
            manifest.rekey.index,
            "rekey",
        ) from None


class PlaceIndex(MemorySeen):
    """The index over the log without the ballots: of each that counts its place and leaf hash, so that it is found
    again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[bytes, tuple[int, bytes]] = {}
        self.superseded: list[tuple[int, bytes]] = []

    def add_at(self, number: int, leaf: bytes, entry: Entry) -> None:
        """Remembers an admitted entry, which is number `number` of the log."""
        self.add(replace(entry, raw=b""))
        if entry.kind == "ballot":
            pseudonym = entry.fields["pseudonym"]
            if pseudonym in self.places:
                self.superseded.append(self.places[pseudonym])
            self.places[pseudonym] = (number, leaf)


class Verification:
    """One pass over a log, in its order, with the proofs checked ahead on other cores."""

    def __init__(self, reader: Reader, head: Head, executor: Executor, progress: Progress) -> None:
        self.reader, self.head, self.executor, self.progress = reader, head, executor, progress
        self.election = Election(executor=executor)
        self.index = PlaceIndex()
        self.kinds: Counter[str] = Counter()
        self.refusals: Counter[Refusal] = Counter()
        self.sums = Sums()
        self.contests: Contests = {}
        self.window = Window(executor)
        self.decrypted = 0
        """The number of the last trustee's answer."""

    def run(self) -> Election:
        """The state after the last entry. NotVerified at the first entry that the rules refuse; ReadError."""
        try:
            for number, raw in enumerate(self.entries()):
                self.take(number, raw)
            self.settle()
            if self.election.phase == "closed" and self.election.sums is None:
                self.election.sums = self.counted_sums()
        finally:
            self.window.cancel()
        return self.election

    def entries(self) -> Iterator[bytes]:
        try:
            yield from read_entries(self.reader, CompactRange(), self.head)
        except ReadError:
            # What was read before the fault comes first in the log, and so does what may be wrong with it.
            self.settle()
            raise

    def take(self, number: int, raw: bytes) -> None:
        kind = kind_of(raw)
        if kind == "ballot" and self.election.phase in ("open", "closing"):
            sent = self.with_weight(raw)
            if sent is not None:
                self.window.send_ballot(number, sent, self.election.checker(), self.contests)
                self.pass_on(self.window.due())
                return
        if kind == "refusal" and self.election.phase in ("open", "closing"):
            self.window.send_along(number, raw, self.election.checker(), self.contests)
            self.pass_on(self.window.due())
            return
        if kind == "roll" and self.election.phase == "noticed" and self.election.ceremony.complete:
            self.window.send_roll(number, raw, self.election.manifest, self.election.Y)
            self.pass_on(self.window.due())
            return
        if kind == "mix" and self.election.phase == "noticed":
            self.window.send_mix(number, raw, self.election.manifest)
            self.pass_on(self.window.due())
            return
        # Everything else is rare, or decides how what follows is to be read.
        self.settle()
        self.one(number, raw)

    def with_weight(self, raw: bytes) -> Sent | None:
        """The ballot with the weight of its row; None if it has none, and the rules will say why."""
        row: Row | None = row_of(raw)
        try:
            return None if row is None else (raw, row, self.election.weight(*row).raw)
        except Refused:
            return None

    def settle(self) -> None:
        """Waits for all verdicts and applies what they are of."""
        if self.election.phase in ("open", "closing"):
            self.window.flush(self.election.checker(), self.contests)
        self.pass_on(self.window.due(everything=True))

    def pass_on(self, due: Iterator[tuple[Pending, Verdict]]) -> None:
        for pending, verdict in due:
            if kind_of(pending.raws[0]) == "refusal":
                self.one(pending.first, pending.raws[0])
            else:
                self.checked(pending, verdict)

    def checked(self, pending: Pending, verdict: Verdict) -> None:
        for at, entry in enumerate(verdict.entries):
            self.apply(pending.first + at, pending.raws[at], entry)
        if verdict.refusal is not None:
            at = len(verdict.entries)
            raise entry_fault(pending.first + at, pending.raws[at], verdict.refusal)
        self.sums.merge(verdict.sums)

    def one(self, number: int, raw: bytes) -> None:
        """An entry that is checked here and now."""
        if self.election.phase == "closed" and self.election.sums is None:
            self.election.sums = self.counted_sums()
        try:
            entry = parse_entry(raw)
            self.election.check(entry)
        except Refused as refusal:
            raise entry_fault(number, raw, refusal) from None
        self.apply(number, raw, entry)
        if entry.kind == "manifest":
            self.contests = contests_by_class(self.election.manifest)

    def apply(self, number: int, raw: bytes, entry: Entry) -> None:
        """Admits and applies an entry whose stateless half has been checked."""
        leaf = leaf_hash(raw)
        # What came back from another core left its bytes here.
        entry = replace(entry, raw=raw)
        try:
            self.election.admit(entry, self.index)
            self.election.apply(entry, leaf)
        except Refused as refusal:
            raise entry_fault(number, raw, refusal) from None
        self.index.add_at(number, leaf, entry)
        self.kinds[entry.kind] += 1
        if entry.kind == "refusal":
            self.refusals[Refusal(entry.fields["intake"], entry.fields["kind"], entry.fields["reason"])] += 1
        if entry.kind == "decrypt":
            self.decrypted = number
        self.progress(number + 1, self.head.size)

    def counted_sums(self) -> Sums:
        """The sums over the ballots that count: those over all, less those over ballots that others supersede."""
        sent = self.read_again(sorted(self.index.superseded))
        chunks = [sent[i : i + CHUNK] for i in range(0, len(sent), CHUNK)]
        for sums in self.executor.map(sum_chunk, [self.contests] * len(chunks), chunks):
            self.sums.remove(sums)
        return self.sums

    def read_again(self, places: list[tuple[int, bytes]]) -> list[Sent]:
        """Ballots verified before, which must be the same again. ReadError."""
        found: list[Sent] = []
        bundle: list[bytes] = []
        at = -1
        for number, leaf in places:
            if at != number // WIDTH:
                at = number // WIDTH
                bundle = bundle_entries(self.reader, at, width_of(self.head.size, 0, at))
            raw = bundle[number % WIDTH]
            sent = self.with_weight(raw)
            if leaf_hash(raw) != leaf or sent is None:
                where = f"{self.reader}/{bundle_path(at, len(bundle))}"
                raise ReadError(f"entry {number} is another one than it was before", where, "wrong-entry")
            found.append(sent)
        return found

    def result(self) -> dict[str, Any] | None:
        """The result that was certified, or what the shares in the log come to; None while they come to none.

        NotVerified, naming the last trustee's answer, if they come to no result that the rules allow.
        """
        election = self.election
        if election.result is not None or len(election.shares) < election.manifest.trustees.threshold:
            return election.result
        try:
            return result_of(election, self.index)
        except Refused as refusal:
            where = f"entry {self.decrypted} (decrypt)"
            raise NotVerified(str(refusal), refusal.reason, where, self.decrypted, "decrypt") from None


def compare_result(report: Report, raw: bytes, where: str) -> None:
    """NotVerified, naming the first difference, unless this is the JSON of the result that the log leads to."""
    try:
        said = json.loads(raw.decode("utf-8"), object_pairs_hook=each_once)
    except (ValueError, RecursionError):
        raise NotVerified("is not JSON in UTF-8", "syntax", where) from None
    except Refused as refusal:
        raise NotVerified(refusal.detail, refusal.reason, where) from None
    if report.result is None:
        text = f"the log has no result yet: the election is {report.election.phase}"
        raise NotVerified(text, "not-complete", where)
    try:
        # As text, for to Python true is 1.
        equal = canonical(said) == canonical(report.result)
    except Refused as refusal:
        if refusal.reason == "syntax":
            raise NotVerified(refusal.detail, refusal.reason, where) from None
        equal = False
    if not equal:
        raise NotVerified(first_difference(said, report.result), "wrong-result", where)


def each_once(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object with these fields. Refused `duplicate`: of one that stands twice every reader takes another."""
    found = dict(fields)
    if len(found) != len(fields):
        name = next(name for i, (name, _) in enumerate(fields) if name in dict(fields[:i]))
        raise Refused("duplicate", f"the field {name[:60]!r} stands in one object twice")
    return found
