"""Whether the log keeps what an intake promised, decided from the log alone: it holds the entry of a receipt, or its
refusal, or neither, and then the receipt is evidence. A ballot's refusal is of bytes: that of other bytes than the
receipt states is no answer to it, and the entry that was refused, if somebody has it, shows whose doing it is.

Everything read is verified up to a head that W custodians have cosigned, and nobody's clock is asked but theirs: a
deadline has passed once W of them have cosigned, at a later time, a head without the entry; or for a ballot once the
vote is closed, for then none is recorded any more. What stands in the log without the lines that its rule demands is no
entry, whoever let it in. One pass over the log, in the memory that `read_entries` needs.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from enum import StrEnum

from audit.kept_entry import Kept, judge
from audit.log.checkpoint import Checkpoint, LogPolicy, cosigned_by
from audit.log.merkle import CompactRange, leaf_hash
from audit.log.notes import Note, verified_lines
from audit.log.proof import HEADER
from audit.log.reader import Head, Reader, ReadError, read_entries
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.receipts import Promise, open_promise
from audit.record.admission import check_signatures, signer_of
from audit.record.election import check_binding
from audit.record.entries import PREFIX, Entry, identity_of, parse_entry, parse_text, read_text
from audit.record.manifest import Manifest


class Verdict(StrEnum):
    """What the log says of a claim. `MISSING`: the promise is broken; `UNDECIDED`: its time has not come, or nobody
    promised; `OTHERWISE`: other bytes of the ballot are refused than were promised; `SPOILED`: refused is what its
    intake, or who has its key, has spoiled.
    """

    RECORDED = "recorded"
    REFUSED = "refused"
    MISSING = "missing"
    UNDECIDED = "undecided"
    OTHERWISE = "refused-otherwise"
    SPOILED = "spoiled"


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
    seconds) when they cosigned the head. `refusal` is the first that answers this claim, `otherwise` the first that
    is of other bytes than a receipt for a ballot states, and `kept` what the refused entry shows, if one was given;
    `account` the intake's `reconcile`, `close` the officials', if the log has come so far; `late` a ballot, or its
    refusal, that stands after it: no ballot counts there, and no account covers it.
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
    otherwise: Place | None = None
    kept: Kept | None = None

    @property
    def verdict(self) -> Verdict:
        if self.recorded:
            return Verdict.RECORDED
        if self.kept is not None:
            # Of bytes that the voter has signed, whichever: what the receipt states is another form of the same.
            return Verdict.REFUSED if self.kept.spoiled is None else Verdict.SPOILED
        if self.refusal:
            return Verdict.REFUSED
        if self.otherwise:
            return Verdict.OTHERWISE
        return Verdict.MISSING if self.broken else Verdict.UNDECIDED

    @property
    def broken(self) -> bool:
        """Whether something was promised, its time has passed, and nothing in the log answers it."""
        promise = self.claim.promise
        due = promise is not None and (self.too_late or self.time > promise.deadline)
        return due and not (self.recorded or self.refusal)

    @property
    def custodians(self) -> list[str]:
        """Those that cosigned the head."""
        return cosigned_by(self.head.note, self.manifest.at(self.head.size).log)

    @property
    def place(self) -> Place | None:
        """Where the log answers the claim, or at least speaks of it."""
        return self.recorded or self.refusal or self.otherwise

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


def search(
    reader: Reader,
    head: Head,
    claim: Claim,
    manifest: Manifest,
    earlier: Checkpoint | None = None,
    kept: Entry | None = None,
) -> Finding:
    """What the log up to this head holds of the claim.

    `earlier`: a witnessed checkpoint that it must continue; `kept`: a refused entry, as `read_kept` gives it. ReadError
    as `read_entries`; Refused `fork` if the log does not continue it, `not-complete` if the manifest is without a rekey
    that stands there, `another-entry` if the log does not refuse the kept one, and as `judge`.
    """
    if earlier is not None and head.size < earlier.size:
        text = f"has {head.size} entries, fewer than the {earlier.size} that were searched before"
        raise ReadError(text, str(reader), "stale")
    recorded = refusal = account = close = late = otherwise = opening = of_kept = None
    rekeys = {rekey.index for rekey in manifest.rekeys}
    tree = CompactRange()
    for index, raw in enumerate(read_entries(reader, CompactRange(), head)):
        tree.append(leaf_hash(raw))
        if earlier is not None and tree.size == earlier.size and tree.root() != earlier.root:
            text = f"two witnessed trees of {earlier.size} entries have different roots: there are two logs"
            raise Refused("fork", text)
        entry = _concerning(raw, claim, manifest.at(index))
        if entry is None:
            continue
        if entry.kind == "rekey" and index not in rekeys:
            text = f"entry {index} is a rekey, which this source keeps back: it may be signed with keys that are over"
            raise Refused("not-complete", f"{reader}: {text}")
        found = Place(index, entry)
        if close and "ballot" in (entry.kind, entry.fields.get("kind")):
            late = late or found
        elif entry.identity == claim.identity:
            recorded = recorded or found
        elif entry.kind == "refusal":
            if kept is not None and entry.fields["leaf"] == kept.leaf:
                of_kept = of_kept or found
            if is_of_promised(entry, claim):
                refusal = refusal or found
            else:
                otherwise = otherwise or found
        elif entry.kind == "reconcile":
            account = account or found
        elif entry.kind == "open":
            opening = opening or found
        elif entry.kind == "close":
            close = close or found
    time = log_time(head.note, manifest.at(head.size).log)
    finding = Finding(claim, manifest, head, time, recorded, refusal, account, close, late, otherwise)
    return finding if kept is None else _with_kept(finding, kept, of_kept, opening)


def _with_kept(finding: Finding, kept: Entry, of_kept: Place | None, opening: Place | None) -> Finding:
    """The finding with what the refused entry shows; its refusal is then the one that is told of."""
    if of_kept is None:
        text = f"the log refuses no entry of leaf hash {b64(kept.leaf)} that would answer this: it says nothing here"
        raise Refused("another-entry", text)
    before = opening.entry if opening is not None and opening.index < of_kept.index else None
    shown = judge(kept, of_kept.entry, of_kept.index, before, finding.manifest)
    if is_of_promised(of_kept.entry, finding.claim):
        return replace(finding, refusal=of_kept, kept=shown)
    if finding.refusal is not None:
        text = f"entry {finding.refusal.index} refuses the very bytes that were promised; this one is of other bytes"
        raise Refused("another-entry", f"{text}, refused by entry {of_kept.index}")
    return replace(finding, otherwise=of_kept, kept=shown)


def _concerning(raw: bytes, claim: Claim, manifest: Manifest) -> Entry | None:
    """The entry in these bytes of the log if it says anything about the claim; None also for what is no entry."""
    try:
        kind = raw[len(PREFIX) : raw.index(b"\n")].decode("ascii")
        if kind not in ("refusal", "reconcile", "open", "close", "rekey") and identity_in(kind, raw) != claim.identity:
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
    receipt; of another kind, as whoever passed it on. A ballot that is refused as something else is not: such a refusal
    would bind to no intake and no bytes, nor to the close.
    """
    intake, kind = refusal.fields["intake"], claim.promise.kind if claim.promise else "ballot"
    named = claim.promise is None or intake in ("", claim.promise.intake)
    return named and (refusal.fields["identity"], refusal.fields["kind"]) == (claim.identity, kind)


def is_of_promised(refusal: Entry, claim: Claim) -> bool:
    """Whether a refusal that answers the claim is of the bytes that the receipt states, if it states any. An act of an
    office is the same whoever of them has signed it.
    """
    stated = claim.promise if refusal.fields["kind"] == "ballot" else None
    return stated is None or refusal.fields["leaf"] == stated.leaf


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
