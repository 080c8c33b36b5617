"""A draft: the text of an entry and the signature lines collected so far, in one file that goes from official to
official.

Once enough have signed, the file is the entry, byte for byte. While nobody has, it is the bare text of three lines. A
draft holds no secret; who has signed may be seen in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from audit.log.keys import Signer
from audit.protocol.refused import Refused
from audit.record.entries import Entry, add_signatures, parse_entry, read_text


def read_draft(path: Path) -> Entry:
    """The entry in a draft file, signed by none or some; nothing in it is verified. Refused with the path in front."""
    raw = path.read_bytes()
    try:
        return parse_entry(raw) if b"\n\n" in raw else read_text(raw)
    except Refused as refusal:
        raise Refused(refusal.reason, f"{path}: {refusal}") from None


def new_draft(path: Path, text: bytes) -> Entry:
    """Writes an unsigned draft. Refused `too-long`, and as `read_text`; FileExistsError if there is a file already."""
    entry = read_text(text)
    with path.open("xb") as file:
        file.write(entry.raw)
    return entry


def sign_draft(path: Path, signers: Sequence[Signer]) -> Entry:
    """Adds the signers' lines. Refused `duplicate` for who has signed already. A crash leaves the draft as it was, or
    signed.
    """
    draft = read_draft(path)
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


def summary(entry: Entry) -> list[str]:
    """What a signer is about to put the name to, one line each."""
    lines = [f"{entry.kind} of {entry.origin}", f"SHA-256 of the text: {entry.identity.hex()}"]
    if entry.kind == "manifest":
        lines += [entry.fields["meeting"]["title"], *(f"{c['id']}: {c['title']}" for c in entry.fields["contests"])]
    if entry.kind == "certify":
        lines += json.dumps(entry.body["result"], indent=1, sort_keys=True).split("\n")
    if "size" in entry.fields:
        lines.append(f"drawn up when the log had {entry.fields['size']} entries")
    if entry.kind == "close" and entry.body["overruled"]:
        lines.append(f"overruled: {', '.join(entry.body['overruled'])}")
    names = ", ".join(line.name for line in entry.signatures) or "nobody"
    return [*lines, f"signed by {names}"]
