"""Whether the log keeps what an intake promised, decided from the log alone: it holds the entry of a receipt, or its
refusal, or neither, and then the receipt is evidence.

Everything read is verified up to a head that W custodians have cosigned, and nobody's clock is asked but theirs: a
deadline has passed once W of them have cosigned, at a later time, a head without the entry; or for a ballot once the
vote is closed, for then none is recorded any more. What stands in the log without the lines that its rule demands is no
entry, whoever let it in. One pass over the log, in the memory that `read_entries` needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from audit.log.checkpoint import Checkpoint, LogPolicy, cosigned_by
from audit.log.merkle import CompactRange, leaf_hash
from audit.log.notes import Note, verified_lines
from audit.log.proof import HEADER
from audit.log.reader import Head, Reader, ReadError, read_entries, unverified_first_entry
from audit.protocol.refused import Refused
from audit.receipts import Promise, open_promise
from audit.record.admission import check_signatures, signer_of
from audit.record.election import check_binding
from audit.record.entries import PREFIX, Entry, identity_of, parse_entry, parse_text, read_text
from audit.record.heads import open_head, with_rekeys
from audit.record.manifest import Manifest, open_manifest


class Verdict(StrEnum):
    """What the log says of a claim. `MISSING`: the promise is broken; `UNDECIDED`: its time has not come, or nobody
    promised.
    """

    RECORDED = "recorded"
    REFUSED = "refused"
    MISSING = "missing"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Claim:
    """The entry that is sought: its identity (32 bytes) and, if `raw` is a receipt and not a ballot's text, who
    promised it.
    """

    raw: bytes
    identity: bytes
    promise: Promise | None


@dataclass(frozen=True, slots=True)
class Place:
    """An entry of the log, and its number."""

    index: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of a claim in the first `head.size` entries. `time`: what W custodians' clocks had reached (POSIX
    seconds) when they cosigned the head. `refusal` is the first that answers this claim; `account` the intake's
    `reconcile`, `close` the officials', if the log has come so far; `late` a ballot, or its refusal, that stands after
    it: no ballot counts there, and no account covers it.
    """

    claim: Claim
    manifest: Manifest
    head: Head
    time: int
    recorded: Place | None = None
    refusal: Place | None = None
    account: Place | None = None
    close: Place | None = None
    late: Place | None = None

    @property
    def verdict(self) -> Verdict:
        if self.recorded:
            return Verdict.RECORDED
        if self.refusal:
            return Verdict.REFUSED
        promise = self.claim.promise
        if promise is not None and (self.too_late or self.time > promise.deadline):
            return Verdict.MISSING
        return Verdict.UNDECIDED

    @property
    def custodians(self) -> list[str]:
        """Those that cosigned the head."""
        return cosigned_by(self.head.note, self.manifest.at(self.head.size).log)

    @property
    def place(self) -> Place | None:
        """Where the log answers the claim."""
        return self.recorded or self.refusal

    @property
    def too_late(self) -> bool:
        """Whether a ballot was promised and the vote is closed. An office's act may come after that: its deadline alone
        decides.
        """
        promise = self.claim.promise
        return bool(self.close and promise and promise.kind == "ballot")

    @property
    def overruled(self) -> bool:
        """Whether the officials closed the vote without this intake's account, which would tell of the ballot."""
        promise = self.claim.promise
        return bool(self.too_late and promise and self.close and promise.intake in self.close.entry.fields["overruled"])

    @property
    def left_out(self) -> bool:
        """Whether the intake's own account leaves out the ballot it promised: for `close` is admitted only if the
        account of every intake not overruled is of exactly what the log holds from it.
        """
        return bool(self.too_late and self.account and not self.overruled and not self.place)


def open_claim(raw: bytes, manifest: Manifest) -> Claim:
    """The claim in a receipt's note, or in a ballot's text as it was handed in.

    Refused as `open_promise`; `unknown-kind` for another text, or a proof, of which `verify-receipt` tells.
    """
    if raw.startswith(f"{HEADER}\n".encode()):
        raise Refused("unknown-kind", "this is a proof that an entry is recorded: `verify-receipt` checks it")
    if b"\n\n" in raw:
        promise = open_promise(raw, manifest)
        return Claim(raw, promise.identity, promise)
    ballot = read_text(raw)
    if ballot.kind != "ballot":
        raise Refused("unknown-kind", f"this is no receipt and no ballot, but of type {ballot.kind}", "type")
    check_binding(manifest.origin, manifest.hash, ballot)
    return Claim(raw, ballot.identity, None)


def open_log(reader: Reader, pinned: bytes | None) -> tuple[Manifest, Entry, Head]:
    """The log's manifest with all its rekeys, entry 0 that holds it, and its newest head, witnessed. ReadError, also if
    nothing is published; Refused as `open_manifest`.
    """
    raw = unverified_first_entry(reader)
    if raw is None:
        raise ReadError("has published no log yet", str(reader), "not-found")
    manifest, entry = open_manifest(raw, pinned)
    found = open_head(reader, manifest, whole=True)
    if found is None:
        raise ReadError("has published no log yet", str(reader), "not-found")
    head, manifest = found
    return with_rekeys(reader, manifest, head), entry, head


def search(
    reader: Reader, head: Head, claim: Claim, manifest: Manifest, earlier: Checkpoint | None = None
) -> Finding:
    """What the log up to this head holds of the claim.

    `earlier`: a witnessed checkpoint that it must continue. ReadError as `read_entries`; Refused `fork` if it does not.
    """
    if earlier is not None and head.size < earlier.size:
        text = f"has {head.size} entries, fewer than the {earlier.size} that were searched before"
        raise ReadError(text, str(reader), "stale")
    recorded = refusal = account = close = late = None
    tree = CompactRange()
    for index, raw in enumerate(read_entries(reader, CompactRange(), head)):
        tree.append(leaf_hash(raw))
        if earlier is not None and tree.size == earlier.size and tree.root() != earlier.root:
            text = f"two witnessed trees of {earlier.size} entries have different roots: there are two logs"
            raise Refused("fork", text)
        entry = _concerning(raw, claim, manifest.at(index))
        if entry is None:
            continue
        found = Place(index, entry)
        if close and "ballot" in (entry.kind, entry.fields.get("kind")):
            late = late or found
        elif entry.identity == claim.identity:
            recorded = recorded or found
        elif entry.kind == "refusal":
            refusal = refusal or found
        elif entry.kind == "reconcile":
            account = account or found
        else:
            close = close or found
    time = log_time(head.note, manifest.at(head.size).log)
    return Finding(claim, manifest, head, time, recorded, refusal, account, close, late)


def _concerning(raw: bytes, claim: Claim, manifest: Manifest) -> Entry | None:
    """The entry in these bytes of the log if it says anything about the claim; None also for what is no entry."""
    try:
        kind = raw[len(PREFIX) : raw.index(b"\n")].decode("ascii")
        if kind not in ("refusal", "reconcile", "close") and identity_in(kind, raw) != claim.identity:
            return None
        entry = parse_entry(raw)
        if entry.kind == "manifest":
            return None
        check_binding(manifest.origin, manifest.hash, entry)
        check_signatures(manifest, entry)
    except (Refused, ValueError):
        return None
    if entry.kind == "refusal":
        return entry if answers(entry, claim) else None
    if entry.kind == "reconcile":
        return entry if claim.promise is not None and signer_of(entry) == claim.promise.intake else None
    return entry


def answers(refusal: Entry, claim: Claim) -> bool:
    """Whether this refusal is of the claim: of a ballot, as the receipt's intake handed it in, or any if there is no
    receipt; of another kind, as whoever passed it on.
    """
    intake = refusal.fields["intake"]
    named = claim.promise is None or intake in ("", claim.promise.intake)
    return named and refusal.fields["identity"] == claim.identity


def identity_in(kind: str, raw: bytes) -> bytes:
    """The identity of a note of this kind, its fields not looked at: rows of a mix need not be parsed for it. Refused
    as `parse_text`.
    """
    text = raw[: raw.rindex(b"\n\n") + 1]
    return identity_of(*parse_text(text)) if kind == "ballot" else hashlib.sha256(text).digest()


def log_time(note: Note, policy: LogPolicy) -> int:
    """The latest time (POSIX seconds) of which W custodians say that it has come: so W - 1 fast clocks change nothing.

    Of a custodian with several keys the earliest of its lines counts. The note satisfies the policy.
    """
    times = verified_lines(note, policy.verifiers)
    cosigned = set(cosigned_by(note, policy))
    said = [min(times[key] for key in keys) for name, keys in policy.custodians if name in cosigned]
    return sorted(said, reverse=True)[policy.W - 1]


def newest(readers: Sequence[Reader], pinned: bytes | None) -> list[tuple[Reader, Manifest, Entry, Head]]:
    """Those readers that show a witnessed log, the longest first. ReadError saying of each why, if none does; Refused
    `fork` for two logs of one length.
    """
    found: list[tuple[Reader, Manifest, Entry, Head]] = []
    faults: list[str] = []
    for reader in readers:
        try:
            found.append((reader, *open_log(reader, pinned)))
        except (ReadError, Refused) as error:
            faults.append(str(error))
    if not found:
        raise ReadError("; ".join(faults))
    roots: dict[int, bytes] = {}
    for reader, _, _, head in found:
        if roots.setdefault(head.size, head.root) != head.root:
            raise Refused("fork", f"{reader}: two witnessed trees of {head.size} entries have different roots")
    return sorted(found, key=lambda one: -one[3].size)
