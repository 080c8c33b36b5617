"""A draft: the text of an entry and the signature lines collected so far, in one file that goes from official to
official.

Once enough have signed, the file is the entry, byte for byte. While nobody has, it is the bare text of three lines. A
draft holds no secret; who has signed may be seen in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from audit.log.keys import Signer
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.election import check_binding
from audit.record.entries import Entry, add_signatures, check_lines, parse_entry, read_text
from audit.record.manifest import Manifest, check_pinned, parse_manifest


def read_draft(path: Path) -> Entry:
    """The entry in a draft file, signed by none or some; its lines are for `check_draft`. OSError; Refused with the
    path in front.
    """
    try:
        raw = path.read_bytes()
        return parse_entry(raw) if b"\n\n" in raw else read_text(raw)
    except Refused as refusal:
        raise Refused(refusal.reason, f"{path}: {refusal}") from None


def check_draft(path: Path, entry: Entry, manifest: Manifest | None) -> bool:
    """Whether the lines in a draft could be checked: of a manifest always, for it carries the officials' keys; of
    another act with the manifest of its election.

    Refused with the path in front: of another election; `wrong-signers` for a line by who is no official;
    `bad-signature` for one over another text, as when the draft was altered after it was signed.
    """
    try:
        if entry.kind == "manifest":
            own = parse_manifest(entry)
            check_pinned(own, manifest.hash if manifest else None)
            manifest = own
        if manifest is None:
            return False
        check_binding(manifest.origin, manifest.hash, entry)
        keys = manifest.officials.keys
        check_lines(entry, keys, 0, len(keys), "officials")
    except Refused as refusal:
        raise Refused(refusal.reason, f"{path}: {refusal}") from None
    return True


def new_draft(path: Path, text: bytes) -> Entry:
    """Writes an unsigned draft. Refused `too-long`, and as `read_text`; FileExistsError if there is a file already."""
    entry = read_text(text)
    write_new(path, entry.raw)
    return entry


def write_new(path: Path, content: bytes) -> None:
    """Writes a file. FileExistsError, as a sentence, if there is one already."""
    expect_free(path)
    with path.open("xb") as file:
        file.write(content)


def expect_free(path: Path) -> None:
    """FileExistsError, as a sentence, if something is at `path` already."""
    if path.exists():
        raise FileExistsError(f"{path}: exists already and is not overwritten")


def sign_draft(path: Path, signers: Sequence[Signer], manifest: Manifest | None) -> Entry:
    """Adds the signers' lines. Refused as `check_draft`; `wrong-signers` for who is known to be no official;
    `duplicate` for who has signed already. A crash leaves the draft as it was, or signed.
    """
    draft = read_draft(path)
    if check_draft(path, draft, manifest):
        offices = (parse_manifest(draft) if manifest is None else manifest).officials.keys
        for signer in signers:
            if signer.verifier not in offices:
                raise Refused("wrong-signers", f"{signer.name}, with this key, is no official of this election")
    signed = {line.name for line in draft.signatures}
    for signer in signers:
        if signer.name in signed:
            raise Refused("duplicate", f"{path}: {signer.name} has signed this draft already")
        signed.add(signer.name)
    entry = parse_entry(with_lines(draft, signers))
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(entry.raw)
    os.replace(part, path)
    return entry


def with_lines(draft: Entry, signers: Sequence[Signer]) -> bytes:
    """The note of the draft's text with the lines it bears and one by each of these, sorted by name."""
    return add_signatures(draft.text, [*draft.signatures, *(signer.sign(draft.text) for signer in signers)])


def summary(entry: Entry, checked: bool) -> list[str]:
    """What a signer is about to put the name to, one line each; `checked`: whether the lines it bears were."""
    lines = [f"{entry.kind} of {entry.origin}", f"SHA-256 of the text: {b64(entry.identity)}"]
    if entry.kind == "manifest":
        lines += [entry.fields["meeting"]["title"], *(f"{c['id']}: {c['title']}" for c in entry.fields["contests"])]
    if entry.kind == "certify":
        lines += json.dumps(entry.body["result"], indent=1, sort_keys=True).split("\n")
    if entry.kind == "restart":
        known, until = entry.fields["least"], datetime.fromtimestamp(entry.fields["until"], UTC)
        lines.append(f"the log goes on without: {', '.join(entry.body['without'])}")
        lines.append(f"it had at least {known} entries" if known else "how many entries it had is not known")
        lines.append(f"this counts until {until:%Y-%m-%d %H:%M} UTC")
    if "size" in entry.fields:
        lines.append(f"drawn up when the log had {entry.fields['size']} entries")
    if entry.kind == "open":
        lines.append(f"key {entry.body['key']}")
        for share_class, roll in sorted(entry.body["rolls"].items()):
            mixed = "mixed" if "mix" in roll else "not mixed"
            lines.append(f"roll of {share_class}: {roll['rows']} rows, {mixed}, hash {roll['hash']}")
    if entry.kind == "rekey":
        body = entry.body
        lines.append(f"{body['kind']} {body['name']} is replaced by {body.get('to', body['name'])}")
        lines += [f"old key {vkey}" for vkey in body["old"]] + [f"new key {vkey}" for vkey in body["new"]]
    if entry.kind == "close" and entry.body["overruled"]:
        lines.append(f"overruled: {', '.join(entry.body['overruled'])}")
    names = ", ".join(line.name for line in entry.signatures) or "nobody"
    doubt = "" if checked or not entry.signatures else " (not checked: give --election)"
    return [printable(line) for line in [*lines, f"signed by {names}{doubt}"]]


def printable(text: str) -> str:
    """The text with everything that a terminal might obey written out: what is signed is what is seen."""
    return "".join(sign if sign.isprintable() else f"\\u{ord(sign):04x}" for sign in text)
