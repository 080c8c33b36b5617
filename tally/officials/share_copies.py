"""A trustee's folder copied for the day its disk is lost: sealed, and bound to the election, the trustee and the
attempt at the key.

What the capture of a copy buys an attacker without passphrase or key file: nothing; with it, one share of t. A copy
that is put back has forgotten what was handed in after it was made. So what a trustee has answered is asked of the log,
where it stands for good: it answers once, whatever its folder says.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.protocol.canonical import canonical, parse_canonical
from audit.protocol.group import G, b64, unb64
from audit.protocol.refused import Refused
from audit.protocol.threshold import Ceremony, KeyShare
from audit.record.manifest_shape import NAME
from audit.record.shapes import integer, octets, one_of, record, table
from infra.keys import read_secret, sync_folder, write_secret
from infra.sealed import Lock, read_sealed, write_sealed
from tally.officials.draft import expect_free

KIND = "psephos/v1 trustee-copy"
_COPY = record(
    attempt=integer(1, 1_000), files=table(octets(None)), kind=one_of(KIND), manifest=octets(32), trustee=NAME
)
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._%-]{0,250}")


@dataclass(frozen=True)
class Copy:
    """What is in a copy: the files of a trustee's folder, by name."""

    manifest: bytes
    trustee: str
    attempt: int
    files: dict[str, bytes]


def back_up(folder: Path, trustee: str, out: Path, lock: Lock) -> Copy:
    """Copies the folder of this trustee to a new sealed file. FileExistsError; KeyFileError; Refused if the folder is
    not a trustee's, or another's.
    """
    expect_free(out)
    files = {path.name: read_secret(path) for path in sorted(folder.iterdir()) if _FILE.fullmatch(path.name)}
    copy = Copy(_manifest_of(folder, files), trustee, _attempt_of(folder, files), files)
    _check_share(copy, folder)
    write_sealed(out, canonical(_to_json(copy)), lock)
    return copy


def open_copy(path: Path, lock: Lock) -> Copy:
    """What a sealed copy holds. SealedError; Refused with the path in front if it is sealed, but no trustee's copy."""
    try:
        body = parse_canonical(read_sealed(path, lock))
        fields = _COPY(body, "")
        for name in fields["files"]:
            if not _FILE.fullmatch(name):
                raise Refused("bad-name", "is no name of a file in a trustee's folder", f"files.{name[:60]}")
    except Refused as refusal:
        raise Refused(refusal.reason, f"{path}: this is no copy of a trustee's folder ({refusal})") from None
    copy = Copy(fields["manifest"], fields["trustee"], fields["attempt"], fields["files"])
    _check_share(copy, path)
    return copy


def check_copy(copy: Copy, path: Path, manifest: bytes, trustee: str, ceremony: Ceremony) -> None:
    """Refuses a copy that is of another election (`another-election`) or trustee (`wrong-signers`), of another attempt
    at the key than the log has come to (`wrong-attempt`), or whose share is not the one of the log (`wrong-secret`).
    """
    if copy.manifest != manifest:
        raise Refused("another-election", f"{path} is a copy of another election, {b64(copy.manifest)}")
    if copy.trustee != trustee:
        raise Refused("wrong-signers", f"{path} is a copy of {copy.trustee}'s folder, not of {trustee}'s")
    if copy.attempt != ceremony.attempt:
        text = f"{path} is of attempt {copy.attempt} at the key; the log has come to attempt {ceremony.attempt}"
        raise Refused("wrong-attempt", text)
    share = _share_of(copy)
    if share is not None and (not ceremony.complete or share.x_j * G != ceremony.Y_j[trustee]):
        raise Refused("wrong-secret", f"{path} holds a share that is not the one by which {trustee} made the key")


def restore(copy: Copy, folder: Path) -> None:
    """Puts the files of a checked copy into a new folder, all of it or nothing. FileExistsError."""
    expect_free(folder)
    part = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
    part.mkdir(mode=0o700, parents=True)
    try:
        for name, content in copy.files.items():
            write_secret(part / name, content)
        os.rename(part, folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    # Whoever is told that it is restored may destroy the copy.
    sync_folder(folder.parent)


def _to_json(copy: Copy) -> dict[str, Any]:
    files = {name: b64(content) for name, content in copy.files.items()}
    bound = {"attempt": copy.attempt, "manifest": b64(copy.manifest), "trustee": copy.trustee}
    return {**bound, "files": files, "kind": KIND}


def _manifest_of(folder: Path, files: dict[str, bytes]) -> bytes:
    if "manifest" not in files:
        raise Refused("missing-field", f"{folder} is not the folder of a trustee: it names no election")
    return unb64(files["manifest"].decode("ascii", "replace"), 32)


def _attempt_of(folder: Path, files: dict[str, bytes]) -> int:
    """The last attempt that the folder has taken part in."""
    attempts = [int(found[1]) for name in files if (found := re.match(r"(?:ceremony|trustee-commit)-([0-9]+)", name))]
    if not attempts:
        raise Refused("not-complete", f"{folder} holds nothing of the key ceremony yet: there is nothing to lose")
    return max(attempts)


def _share_of(copy: Copy) -> KeyShare | None:
    return KeyShare.from_json(json.loads(copy.files["share"])) if "share" in copy.files else None


def _check_share(copy: Copy, where: Path) -> None:
    """Refuses a share that is of another trustee or election than the rest."""
    try:
        share = _share_of(copy)
    except ValueError:
        raise Refused("wrong-secret", f"{where}: its share cannot be read") from None
    if share is not None and (share.manifest, share.trustee) != (copy.manifest, copy.trustee):
        raise Refused("wrong-secret", f"{where} holds the share of {share.trustee}, or of another election")
