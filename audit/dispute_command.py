"""`psephos dispute`: what the log says to a receipt or a ballot, for people, for programs, and as a file for third
parties. Its exit code tells the answers apart.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from audit.dispute import Finding, Verdict, open_claim, search
from audit.dispute_report import Asked, to_json, told
from audit.dispute_sources import is_card, newest, read, sources
from audit.evidence import MAX_EVIDENCE, Evidence, is_evidence, open_evidence, parse_evidence, proved
from audit.kept_entry import read_kept
from audit.log.checkpoint import Checkpoint
from audit.log.proving import TreeTiles
from audit.log.reader import Reader, ReadError, bundle_entries
from audit.log.tiles import WIDTH, width_of
from audit.protocol.refused import Refused
from audit.receipts import hash_in, prove_recorded
from audit.record.entries import MAX_ENTRY, Entry

EXITS = {
    Verdict.RECORDED: 0,
    Verdict.REFUSED: 3,
    Verdict.UNDECIDED: 4,
    Verdict.MISSING: 5,
    Verdict.OTHERWISE: 6,
    Verdict.SPOILED: 7,
}
"""1 is left to what it means everywhere: nothing could be decided."""

_FILE_HELP = "A .receipt, a .ballot, or a file that --out has written."
_ELECTION_HELP = "The election's card, a record's folder, or a custodian's URL/ORIGIN; again for another."
_REFUSED_HELP = "The refused entry, as `psephos refused` of tally writes it."


def register(app: typer.Typer) -> None:
    """Adds `dispute`."""
    app.command("dispute")(dispute)


def dispute(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=_FILE_HELP)],
    elections: Annotated[
        list[str] | None, typer.Option("--election", metavar="CARD|SOURCE", help=_ELECTION_HELP)
    ] = None,
    pinned: Annotated[
        str | None, typer.Option("--manifest", metavar="HASH", help="The manifest's hash, as the letter shows it.")
    ] = None,
    kept: Annotated[Path | None, typer.Option("--refused", metavar="FILE", help=_REFUSED_HELP)] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to write what a third party can check.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Says whether the log holds a receipt's entry, or its refusal, or neither.

    Exits 0 if the entry is recorded, 3 if the log refuses it, 4 if neither and nothing is shown by that yet, 5 if
    neither although it was promised, 6 if the log refuses other bytes of it than were promised, 7 if what it refuses
    was spoiled by its intake, and 1 if that could not be decided.
    """
    elections = elections or []
    try:
        wanted = hash_in(pinned)
        raw = read(file, MAX_EVIDENCE)
        refused = b"" if kept is None else read(kept, MAX_ENTRY)
        with of_file(file):
            before = parse_evidence(raw) if is_evidence(raw) else None
        if before is not None and not elections:
            with of_file(file):
                finding, evidence, asked = proved(before, wanted), before, Asked()
        else:
            finding, evidence, asked = decide(file, raw, refused, before, elections, wanted)
    except (Refused, ReadError, OSError) as error:
        fail(error, as_json)
    if out is not None:
        write_new(out, evidence.raw)
    for fault in asked.faults:
        print(f"psephos: not counted: {fault}", file=sys.stderr)
    known = wanted is not None or any(map(is_card, elections))
    if as_json:
        print(json.dumps(to_json(finding, known, asked)))
    else:
        print("\n".join(told(finding, known, asked)))
    raise typer.Exit(EXITS[finding.verdict])


@contextmanager
def of_file(file: Path) -> Iterator[None]:
    """What is refused of this file is told with its name, and if it is nothing of the kind, with what it should be."""
    try:
        yield
    except Refused as refusal:
        wanted = "is no receipt, ballot or evidence: " if refusal.reason == "syntax" else ""
        raise Refused(refusal.reason, f"{file}: {wanted}{refusal}") from None


def decide(
    file: Path, raw: bytes, refused: bytes, before: Evidence | None, elections: Sequence[str], wanted: bytes | None
) -> tuple[Finding, Evidence, Asked]:
    """The log's answer by whichever source shows it, the longest log first, the evidence of it, and who was asked.
    `raw` is what the file holds; `refused`: a refused entry, if it is at hand. ReadError; Refused.
    """
    if not elections:
        raise Refused("missing-field", "a receipt or a ballot is looked for in a log: give --election")
    readers: list[Reader] = []
    for election in elections:
        named, wanted = sources(election, wanted)
        readers += named
    earlier: Checkpoint | None = None
    if before is not None:
        with of_file(file):
            _, claim, earlier = open_evidence(before, wanted)
        raw, refused = claim.raw, refused or before.refused
    found, faults = newest(readers, wanted)
    failed: list[ReadError | Refused] = []
    for one in found:
        try:
            with of_file(file):
                claim = open_claim(raw, one.manifest)
            kept = read_kept(refused, claim.identity) if refused else None
            finding = search(one.reader, one.head, claim, one.manifest, earlier, kept)
            others = tuple(str(other.reader) for other in found if other is not one)
            asked = Asked(str(one.reader), others, tuple(map(str, [*faults, *failed])))
            return finding, evidence_of(one.reader, finding, one.first), asked
        except (ReadError, Refused) as error:
            # Also a receipt by no key of an intake: the next may have come further, to the entry that made it one.
            failed.append(error)
    raise next((error for error in failed if isinstance(error, Refused)), failed[0])


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
    kept = finding.kept.entry.raw if finding.kept else b""
    return Evidence(finding.claim.raw, manifest.raw, shown, tuple(rekeys), kept)


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


def write_new(path: Path, content: bytes) -> None:
    """Writes the evidence. FileExistsError if there is a file already."""
    with path.open("xb") as file:
        file.write(content)
