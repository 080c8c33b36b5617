"""`psephos dispute`: what the log says to a receipt or a ballot, for people, for programs, and as a file for third
parties. Its exit code tells the four answers apart.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from audit.dispute import Finding, Verdict, newest, open_claim, search
from audit.evidence import MAX_EVIDENCE, Evidence, is_evidence, open_evidence, parse_evidence, proved
from audit.log.checkpoint import Checkpoint
from audit.log.proving import TreeTiles
from audit.log.reader import HttpReader, Reader, ReadError, bundle_entries, open_reader
from audit.log.tiles import WIDTH, width_of
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.receipts import hash_in, prove_recorded, utc
from audit.record.entries import Entry
from audit.record.shapes import anything, array, octets, record, string

EXITS = {Verdict.RECORDED: 0, Verdict.REFUSED: 3, Verdict.UNDECIDED: 4, Verdict.MISSING: 5}
"""1 is left to what it means everywhere: nothing could be decided."""
CARD = record(custodians=array(string(), 1), intakes=anything, manifest=octets(32), origin=string())
MAX_CARD = 1 << 16

_FILE_HELP = "A .receipt, a .ballot, or a file that --out has written."
_ELECTION_HELP = "The election's card, a record's folder, or a custodian's URL/ORIGIN."


def register(app: typer.Typer) -> None:
    """Adds `dispute`."""
    app.command("dispute")(dispute)


def dispute(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=_FILE_HELP)],
    election: Annotated[str | None, typer.Option("--election", metavar="CARD|SOURCE", help=_ELECTION_HELP)] = None,
    pinned: Annotated[
        str | None, typer.Option("--manifest", metavar="HASH", help="The manifest's hash, as the letter shows it.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to write what a third party can check.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Says whether the log holds a receipt's entry, or its refusal, or neither.

    Exits 0 if the entry is recorded, 3 if the log refuses it, 4 if neither and nothing is shown by that yet, 5 if
    neither although it was promised, and 1 if that could not be decided.
    """
    try:
        wanted = hash_in(pinned)
        raw = read(file, MAX_EVIDENCE)
        before = parse_evidence(raw) if is_evidence(raw) else None
        if before is not None and election is None:
            finding, evidence = proved(before, wanted), before
        else:
            finding, evidence = decide(raw, before, election, wanted)
    except (Refused, ReadError, OSError) as error:
        fail(error, as_json)
    if out is not None:
        write_new(out, evidence.raw)
    known = wanted is not None or is_card(election)
    if as_json:
        print(json.dumps(to_json(finding, known)))
    else:
        print("\n".join(told(finding, known)))
    raise typer.Exit(EXITS[finding.verdict])


def decide(
    raw: bytes, before: Evidence | None, election: str | None, wanted: bytes | None
) -> tuple[Finding, Evidence]:
    """The log's answer by whichever source shows it, the longest log first, and the evidence of it. ReadError;
    Refused.
    """
    if election is None:
        raise Refused("missing-field", "a receipt or a ballot is looked for in a log: give --election")
    readers, wanted = sources(election, wanted)
    earlier: Checkpoint | None = None
    if before is not None:
        _, claim, earlier = open_evidence(before, wanted)
        raw = claim.raw
    faults: list[ReadError | Refused] = []
    for reader, manifest, entry, head in newest(readers, wanted):
        try:
            finding = search(reader, head, open_claim(raw, manifest), manifest, earlier)
            return finding, evidence_of(reader, finding, entry)
        except (ReadError, Refused) as error:
            # Also a receipt by no key of an intake: the next may say of a rekey that this one keeps to itself.
            faults.append(error)
    raise next((error for error in faults if isinstance(error, Refused)), faults[0])


def evidence_of(reader: Reader, finding: Finding, manifest: Entry) -> Evidence:
    """The proof of the log's answer, or the checkpoint up to which there is none, and what is needed to check it.
    ReadError.
    """
    tiles, place = TreeTiles(reader, finding.head), finding.place
    shown = prove_recorded(tiles, place.index, place.entry.raw) if place else finding.head.note
    rekeys = []
    for rekey in finding.manifest.rekeys:
        bundle, offset = divmod(rekey.index, WIDTH)
        raw = bundle_entries(reader, bundle, width_of(finding.head.size, 0, bundle))[offset]
        rekeys.append(prove_recorded(tiles, rekey.index, raw))
    return Evidence(finding.claim.raw, manifest.raw, shown, tuple(rekeys))


def sources(election: str, wanted: bytes | None) -> tuple[list[Reader], bytes | None]:
    """Where the log is read, and the manifest's hash, if one is known. Refused for a card that is none, or of another
    election.
    """
    if not is_card(election):
        return [open_reader(election)], wanted
    try:
        fields = CARD(tomllib.loads(read(Path(election), MAX_CARD).decode()), "")
    except (ValueError, RecursionError):
        raise Refused("syntax", f"{election}: is no election's card") from None
    except Refused as refusal:
        raise Refused(refusal.reason, f"{election}: {refusal}") from None
    if wanted is not None and wanted != fields["manifest"]:
        text = f"{election} is of manifest {b64(fields['manifest'])}, not {b64(wanted)}"
        raise Refused("another-election", text)
    return [HttpReader(f"{url.rstrip('/')}/{fields['origin']}") for url in fields["custodians"]], fields["manifest"]


def is_card(election: str | None) -> bool:
    return election is not None and Path(election).is_file()


def told(finding: Finding, pinned: bool) -> Iterator[str]:
    """What was found, in sentences, and where nothing answers a promise the evidence itself."""
    claim, promise, place = finding.claim, finding.claim.promise, finding.place
    what = f"{b64(claim.identity)}"
    if promise is not None:
        yield str(promise)
    if finding.recorded:
        yield f"recorded: {what} is {described(finding.recorded.entry)}, entry {finding.recorded.index} of the log"
        if finding.recorded.entry.kind == "ballot":
            yield "this shows its place in the log, not that it counts: `verify` does, and `counted` for its voter"
    elif finding.refusal:
        fields = finding.refusal.entry.fields
        yield f"refused: entry {finding.refusal.index} of the log refuses {what}: {fields['detail']}"
        yield f"reason: {fields['reason']}; the refused entry, which tally keeps, shows whether that is so"
        if promise is not None:
            yield f"unless its leaf hash is {b64(promise.leaf)}, {promise.intake} passed on other bytes than promised"
    elif finding.verdict is Verdict.MISSING:
        yield f"missing: the log holds neither {what} nor its refusal"
    else:
        yield f"not decided: the log holds neither {what} nor its refusal, and {undecided(finding)}"
    names = ", ".join(finding.custodians)
    searched = "is among" if place else "is none of"
    yield f"it {searched} the {finding.head.size} entries of {finding.manifest.origin}, cosigned by {names}"
    yield f"the custodians' clocks had reached {utc(finding.time)}"
    if finding.verdict is Verdict.MISSING:
        yield from blame(finding)
        yield "evidence, as signed:"
        yield from claim.raw.decode().splitlines()
        yield from finding.head.note.raw.decode().splitlines()
    if not pinned:
        yield f"manifest {b64(finding.manifest.hash)}, unchecked: compare it with the letter, or give it as --manifest"


def described(entry: Entry) -> str:
    return f"{entry.kind} that {entry.signatures[0].name} passed on" if entry.kind == "ballot" else entry.kind


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


def to_json(finding: Finding, pinned: bool) -> dict[str, Any]:
    """The same for programs; what does not apply is left out."""
    promise, place, refusal = finding.claim.promise, finding.place, finding.refusal
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
    }
    if promise is not None:
        shown |= {"intake": promise.intake, "promised": promise.kind, "leaf": b64(promise.leaf)}
        shown |= {"deadline": promise.deadline}
        shown |= {} if promise.replaced is None else {"replaced": promise.replaced}
    if place is not None:
        shown |= {"index": place.index, "kind": place.entry.kind, "entry": place.entry.raw.decode()}
    if finding.recorded and finding.recorded.entry.kind == "ballot":
        shown["through"] = finding.recorded.entry.signatures[0].name
    if refusal is not None and not finding.recorded:
        shown |= {name: refusal.entry.fields[name] for name in ("reason", "detail")}
    if finding.verdict is Verdict.MISSING:
        shown |= {"closed": finding.too_late, "left_out": finding.left_out, "overruled": finding.overruled}
        shown |= {"receipt": finding.claim.raw.decode(), "checkpoint": finding.head.note.raw.decode()}
    return shown


def fail(error: Refused | ReadError | OSError, as_json: bool) -> None:
    """Ends the command: nothing could be decided."""
    if isinstance(error, OSError):
        named = f"{error.filename}: " if error.filename else ""
        reason, detail = "unreadable", f"{named}{error.strerror or error}"
    else:
        reason, detail = error.reason, str(error)
    if as_json:
        print(json.dumps({"verdict": "nothing", "reason": reason, "detail": detail}))
    print(f"psephos: {detail}", file=sys.stderr)
    raise typer.Exit(1)


def read(file: Path, most: int) -> bytes:
    """The file's bytes. OSError; Refused `too-long`."""
    with file.open("rb") as stream:
        raw = stream.read(most + 1)
    if len(raw) > most:
        raise Refused("too-long", f"{file}: is longer than the {most} bytes it may have")
    return raw


def write_new(path: Path, content: bytes) -> None:
    """Writes the evidence. FileExistsError if there is a file already."""
    with path.open("xb") as file:
        file.write(content)
