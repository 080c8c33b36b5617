"""What a voter keeps, and what it shows: intake's receipt, a promise, and the proof that the ballot was recorded.

The proof is a tlog-proof whose extra data is the entry itself. Nothing has to be believed for that: the leaf hash is
computed from it, and the inclusion proof and the cosignatures of W custodians bind that hash. With the receipt alone,
and no such entry in the log after its deadline, the voter shows that an intake broke its word.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from audit.log.checkpoint import cosigned_by
from audit.log.proof import EXTENSION, HEADER, MAX_FILE, Proof, open_proof, parse_proof
from audit.log.proving import TreeTiles
from audit.log.treehead import parse_checkpoint
from audit.protocol.group import b64, unb64
from audit.protocol.refused import Refused
from audit.record.admission import check_signatures
from audit.record.election import check_binding
from audit.record.entries import Entry, check_lines, parse_entry
from audit.record.heads import succeed
from audit.record.manifest import Manifest, check_pinned, load_manifest, parse_manifest

_HASH_HELP = "The manifest's hash, as printed on the letter."
_NOTE_HELP = "The manifest; by default the file `manifest` beside each FILE."

MANIFEST = "manifest"
"""The file, beside a receipt, that holds the election's manifest."""
REKEY = "rekey-"
"""How the files beside it begin, each the proof of an entry that has replaced keys: needed for what came after it."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entry that is in the log, and on the disks of the custodians named."""

    entry: Entry
    index: int
    size: int
    custodians: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "shows": "recorded",
            "kind": self.entry.kind,
            "identity": b64(self.entry.identity),
            "leaf": b64(self.entry.leaf),
            "index": self.index,
            "size": self.size,
            "custodians": list(self.custodians),
        }

    def __str__(self) -> str:
        what = f"{self.entry.kind} {b64(self.entry.identity)} is entry {self.index} of the log"
        return f"{what}, which {', '.join(self.custodians)} held on disk when it had {self.size} entries"


@dataclass(frozen=True, slots=True)
class Promise:
    """An intake's promise that an entry will be in the log by `deadline` (POSIX seconds). It does not show that it is.
    `kind`: what the intake says the entry is, so that a ballot's receipt can be told from an office's act.
    `replaced`: the number of the entry that replaced the key it is signed with, if one has: whoever has got hold of
    that key may have signed it since.
    """

    intake: str
    kind: str
    identity: bytes
    leaf: bytes
    deadline: int
    replaced: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "shows": "promised",
            "kind": self.kind,
            "identity": b64(self.identity),
            "leaf": b64(self.leaf),
            "intake": self.intake,
            "deadline": self.deadline,
            **({} if self.replaced is None else {"replaced": self.replaced}),
        }

    def __str__(self) -> str:
        key = "" if self.replaced is None else f", with a key that entry {self.replaced} replaced"
        what = f"{self.kind} {b64(self.identity)}"
        return f"{self.intake} promised to have {what} in the log by {utc(self.deadline)}{key}"


def utc(seconds: int) -> str:
    """A moment, POSIX seconds, as people read it."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(sep=" ", timespec="seconds")
    except (OverflowError, ValueError):
        return f"second {seconds}"


def prove_recorded(tiles: TreeTiles, index: int, entry: bytes) -> Proof:
    """The proof to keep that `entry`, the whole note as it stands in the log, is number `index` there. ReadError as
    `inclusion`.
    """
    leaf = parse_entry(entry).leaf
    return Proof(index, tuple(tiles.inclusion(index, leaf)), tiles.head.note, entry)


def open_kept(raw: bytes, manifest: Manifest) -> Recorded | Promise:
    """What a kept file shows in the election of `manifest`, everything in it verified but the entry's own proofs.

    Refused as `open_recorded` and `open_promise`.
    """
    if raw.startswith(f"{HEADER}\n".encode()):
        return open_recorded(parse_proof(raw), manifest)
    return open_promise(raw, manifest)


def open_recorded(proof: Proof, manifest: Manifest) -> Recorded:
    """The entry in a proof, signed as its kind demands and recorded under a witnessed checkpoint.

    The entry's lines count by the keys at its place, the checkpoint's by those over its size: `manifest` holds the
    rekeys that are known. Refused `missing-entry` if the proof holds none, `another-election`, `wrong-signers`,
    `bad-signature`, as `open_proof`, or as `parse_entry`.
    """
    if not proof.extra:
        raise Refused("missing-entry", "the proof does not hold the entry that it proves")
    entry = parse_entry(proof.extra)
    if entry.kind == "manifest":
        check_pinned(parse_manifest(entry), manifest.hash)
    else:
        check_binding(manifest.origin, manifest.hash, entry)
    check_signatures(manifest.at(proof.index), entry)
    policy = manifest.at(parse_checkpoint(proof.note.text).size).log
    checkpoint = open_proof(proof, entry.leaf, policy)
    return Recorded(entry, proof.index, checkpoint.size, tuple(cosigned_by(proof.note, policy)))


def with_kept_rekeys(manifest: Manifest, proofs: Iterable[Proof]) -> Manifest:
    """The manifest with the keys that the entries in these proofs have made it, each shown to be recorded.

    They are taken in the log's order, so that each is signed, and each checkpoint judged, by what those before it have
    left. Refused as `open_recorded`, and as `heads.succeed`; who leaves one out is left with keys that no longer sign.
    """
    ordered = sorted(proofs, key=lambda proof: proof.index)
    for proof in ordered:
        manifest = succeed(manifest, proof.extra, proof.index)
    for proof in ordered:
        open_recorded(proof, manifest)
    return manifest


def open_promise(raw: bytes, manifest: Manifest) -> Promise:
    """The promise in a receipt, signed by one intake of the election.

    Refused `unknown-kind` for another kind of note, `another-election`, `wrong-signers`, `bad-signature`, or as
    `parse_entry`.
    """
    receipt = parse_entry(raw)
    if receipt.kind != "receipt":
        raise Refused("unknown-kind", f"this is neither a proof nor a receipt, but of type {receipt.kind}", "type")
    check_binding(manifest.origin, manifest.hash, receipt)
    # A receipt has no place in the log: any key that the intake has had makes one, and it is said which.
    held = [key for past in manifest.history for key in past.intakes]
    check_lines(receipt, held, 1, 1, "exactly one intake")
    fields, (line,) = receipt.fields, receipt.signatures
    replaced = next((r.index for r in manifest.rekeys if line.key_id in {key.key_id for key in r.old}), None)
    return Promise(line.name, fields["kind"], fields["identity"], fields["leaf"], fields["deadline"], replaced)


def hash_in(text: str | None) -> bytes | None:
    """The 32 bytes of `--manifest`. Refused, naming the option."""
    try:
        return None if text is None else unb64(text, 32)
    except Refused as refusal:
        raise Refused(refusal.reason, f"--manifest {text}: {refusal.detail}") from None


def register(app: typer.Typer) -> None:
    """Adds `verify-receipt`."""
    app.command("verify-receipt")(verify_receipt)


def verify_receipt(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Proofs (.tlog-proof) and receipts.")],
    pinned: Annotated[str | None, typer.Option("--manifest", metavar="HASH", help=_HASH_HELP)] = None,
    note: Annotated[Path | None, typer.Option("--manifest-note", metavar="FILE", help=_NOTE_HELP)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each file.")] = False,
) -> None:
    """Checks, offline, what a voter kept: that a ballot was recorded, or that an intake promised it."""
    wanted = _hash(pinned, files, as_json)
    manifests: dict[Path, Manifest] = {}
    found: dict[Path, Recorded | Promise] = {}
    failed = False
    for file in files:
        try:
            where = note or file.parent / MANIFEST
            if where not in manifests:
                manifests[where] = load_kept(where, wanted)
            shown = open_kept(_read(file), manifests[where])
        except (Refused, OSError) as error:
            failed = True
            _say_wrong(file, error, as_json)
        else:
            found[file] = shown
            _say(file, shown, manifests[where], wanted is not None, as_json)
    if not as_json:
        _say_unkept(found)
    if wanted is None and not as_json:
        _warn_unpinned(manifests.values())
    if failed:
        raise typer.Exit(1)


def load_kept(note: Path, pinned: bytes | None) -> Manifest:
    """The manifest in a file, with the keys that the proofs of rekeys beside it have made it. OSError; Refused with the
    path in front.
    """
    manifest, _ = load_manifest(note, pinned)
    paths = sorted(note.parent.glob(f"{REKEY}*{EXTENSION}"))
    try:
        return with_kept_rekeys(manifest, [parse_proof(_read(path)) for path in paths])
    except Refused as refusal:
        raise Refused(refusal.reason, f"{note.parent}/{REKEY}*{EXTENSION}: {refusal.detail}", refusal.field) from None


def _say_unkept(found: Mapping[Path, Recorded | Promise]) -> None:
    """Of proofs and receipts side by side, which receipt promises what no proof here shows."""
    recorded = {shown.entry.identity for shown in found.values() if isinstance(shown, Recorded)}
    for file, shown in found.items():
        if recorded and isinstance(shown, Promise) and shown.identity not in recorded:
            print(f"{file}: this receipt is for another entry than any of these proofs")


def _hash(text: str | None, files: Iterable[Path], as_json: bool) -> bytes | None:
    """The 32 bytes of `--manifest`. Refused, after it was said of each file with `as_json`."""
    try:
        return hash_in(text)
    except Refused as wrong:
        for file in files if as_json else ():
            _print_wrong(file, wrong.reason, wrong.detail)
        raise


def _read(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(MAX_FILE + 1)


def _say(file: Path, shown: Recorded | Promise, manifest: Manifest, pinned: bool, as_json: bool) -> None:
    if as_json:
        # Unless it is pinned, the keys are those of whoever wrote the manifest beside the file.
        election = {"manifest": b64(manifest.hash), "pinned": pinned}
        print(json.dumps({"file": str(file), **shown.to_json(), **election}))
    else:
        print(f"{file}: {shown}")


def _say_wrong(file: Path, error: Refused | OSError, as_json: bool) -> None:
    if isinstance(error, Refused):
        detail = str(error)
    else:
        # The manifest's file, unless it is the one that is named anyway.
        other = "" if error.filename is None or Path(error.filename) == file else f"{error.filename}: "
        detail = f"{other}{error.strerror}"
    if as_json:
        reason, field = (error.reason, error.field) if isinstance(error, Refused) else ("unreadable", "")
        _print_wrong(file, reason, detail, field)
    print(f"psephos: {file}: {detail}", file=sys.stderr)


def _print_wrong(file: Path, reason: str, detail: str, field: str = "") -> None:
    shown = {"shows": "nothing", "reason": reason, "detail": detail, "field": field}
    print(json.dumps({"file": str(file), **shown}))


def _warn_unpinned(manifests: Iterable[Manifest]) -> None:
    for found in {manifest.hash for manifest in manifests}:
        print(f"manifest {b64(found)}, unchecked: compare it with the letter, or give it as --manifest")
