"""What `psephos dispute` says: the finding in sentences for people, and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from audit.dispute import Finding, Place, Verdict
from audit.protocol.group import b64
from audit.receipts import utc
from audit.record.entries import Entry


@dataclass(frozen=True, slots=True)
class Asked:
    """Which source's log was searched, "" if evidence alone was looked at; whose others it was held against; and why
    the rest did not count.
    """

    source: str = ""
    others: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


def told(finding: Finding, pinned: bool, asked: Asked) -> Iterator[str]:
    """What was found, in sentences, and where nothing answers a promise the evidence itself."""
    claim, promise, place = finding.claim, finding.claim.promise, finding.place
    what = f"{b64(claim.identity)}"
    if promise is not None:
        yield str(promise)
    if finding.recorded:
        yield f"recorded: {what} is {described(finding.recorded.entry)}, entry {finding.recorded.index} of the log"
        if finding.recorded.entry.kind == "ballot":
            yield "this shows its place in the log, not that it counts: `verify` does, and `counted` for its voter"
    elif place is not None:
        yield from refused(finding, place)
    elif finding.verdict is Verdict.MISSING:
        yield f"missing: the log holds neither {what} nor its refusal"
    else:
        yield f"not decided: the log holds neither {what} nor its refusal, and {undecided(finding)}"
    names = ", ".join(finding.custodians)
    searched = "is among" if place else "is none of"
    yield f"it {searched} the {finding.head.size} entries of {finding.manifest.origin}, cosigned by {names}"
    yield f"the custodians' clocks had reached {utc(finding.time)}"
    if finding.broken:
        yield from blame(finding)
    if finding.verdict is Verdict.MISSING:
        yield "evidence, as signed:"
        yield from claim.raw.decode().splitlines()
        yield from finding.head.note.raw.decode().splitlines()
    yield trusted(asked)
    if not pinned:
        yield f"manifest {b64(finding.manifest.hash)}, unchecked: compare it with the letter, or give it as --manifest"


def refused(finding: Finding, place: Place) -> Iterator[str]:
    """What the refusal says, of which bytes, and what the refused entry shows of whose doing it is."""
    fields, promise, kept = place.entry.fields, finding.claim.promise, finding.kept
    what, through, ballot = b64(finding.claim.identity), fields["intake"], fields["kind"] == "ballot"
    leaf = b64(fields["leaf"])
    yield f"{finding.verdict.value}: entry {place.index} of the log refuses {what}: {fields['detail']}"
    yield f"reason: {fields['reason']}; refused is the entry of leaf hash {leaf}{f', by {through}' if through else ''}"
    if finding.otherwise is not None and promise is not None:
        yield f"that is not what was promised, of leaf hash {b64(promise.leaf)}, which this refusal does not keep out"
    if kept is None:
        if finding.verdict is Verdict.OTHERWISE:
            yield f"either {through}, or who has its key, passed on other bytes, or the log's key made the refusal up"
            if promise is not None and promise.replaced is not None:
                yield f"or {through} has signed the ballot anew since entry {promise.replaced} replaced its key"
        if ballot:
            yield f"the entry that tally keeps, {what}.{through}.{leaf}.entry, decides it: give it as --refused"
        return
    if promise is None:
        same = kept.entry.text == finding.claim.raw
        yield f"the refused entry is {'the very text of' if same else 'signed otherwise than'} this file"
    if kept.spoiled is None:
        yield "the voter has signed the refused entry, and nothing in it is spoiled"
        if fields["reason"] == "bad-signature":
            yield "so the reason is false, and the log's key answers for that"
        return
    yield f"in the refused entry the line of {through} is true, and the voter's signature is not: {kept.spoiled.detail}"
    yield f"{through} signs a ballot after it has checked that: it, or who has its key, has spoiled this one"
    if kept.replaced is not None:
        yield f"entry {kept.replaced} has replaced that key since"


def described(entry: Entry) -> str:
    return (
        f"the ballot that {entry.signatures[0].name} passed on" if entry.kind == "ballot" else f"of type {entry.kind}"
    )


def undecided(finding: Finding) -> str:
    promise = finding.claim.promise
    if promise is None:
        return "no receipt shows that anybody promised it"
    return f"the deadline, {utc(promise.deadline)}, has not passed by the custodians' clocks: hand it in again"


def blame(finding: Finding) -> Iterator[str]:
    """What the log says of whose fault it is."""
    promise = finding.claim.promise
    assert promise is not None
    if promise.replaced is not None:
        yield f"entry {promise.replaced} replaced the receipt's key: whoever got hold of it may have signed it since"
    if finding.too_late and finding.close is not None:
        yield f"the vote was closed by entry {finding.close.index}: it can no longer be recorded"
    if finding.late is not None:
        yield f"entry {finding.late.index} ({finding.late.entry.kind}) came after that, and changes nothing"
    if finding.left_out and finding.account is not None:
        yield f"{promise.intake} itself left it out of its account of what it passed on, entry {finding.account.index}"
    elif finding.overruled:
        yield f"the officials have closed the vote without the account of {promise.intake}"
    else:
        yield f"either {promise.intake} did not pass it on, or those after it did not record it"


def trusted(asked: Asked) -> str:
    """Whom one had to believe that no key was replaced but those."""
    without = "whoever has keys that were replaced could show another log, without the rekey"
    if not asked.source:
        return f"that no rekey was left out of this evidence had to be trusted: {without}"
    if not asked.others:
        return f"that {asked.source} keeps no rekey back had to be trusted: {without}; give another --election, too"
    return f"of {', '.join([asked.source, *asked.others])} one at least had to keep no rekey back: {without}"


def to_json(finding: Finding, pinned: bool, asked: Asked) -> dict[str, Any]:
    """The same for programs; what does not apply is left out."""
    promise, place = finding.claim.promise, finding.place
    shown: dict[str, Any] = {
        "verdict": finding.verdict.value,
        "identity": b64(finding.claim.identity),
        "origin": finding.manifest.origin,
        "manifest": b64(finding.manifest.hash),
        "pinned": pinned,
        "size": finding.head.size,
        "root": b64(finding.head.root),
        "time": finding.time,
        "custodians": finding.custodians,
        "source": asked.source,
        "compared": list(asked.others),
    }
    if promise is not None:
        shown |= {"intake": promise.intake, "promised": promise.kind, "leaf": b64(promise.leaf)}
        shown |= {"deadline": promise.deadline}
        shown |= {} if promise.replaced is None else {"replaced": promise.replaced}
    if place is not None:
        shown |= {"index": place.index, "kind": place.entry.kind, "entry": place.entry.raw.decode()}
    if finding.recorded and finding.recorded.entry.kind == "ballot":
        shown["through"] = finding.recorded.entry.signatures[0].name
    if place is not None and not finding.recorded:
        shown |= {name: place.entry.fields[name] for name in ("reason", "detail")}
        shown["refused_leaf"] = b64(place.entry.fields["leaf"])
    if finding.kept is not None:
        shown |= {"refused": finding.kept.entry.raw.decode(), "spoiled": finding.kept.spoiled is not None}
    if finding.broken:
        shown |= {"closed": finding.too_late, "left_out": finding.left_out, "overruled": finding.overruled}
    if finding.verdict is Verdict.MISSING:
        shown |= {"receipt": finding.claim.raw.decode(), "checkpoint": finding.head.note.raw.decode()}
    return shown
