"""Copies of what a service keeps, in one file: made while the service runs, written whole or not at all, and refused
by whoever restores them if they are not whole, or of another place.

Lines of canonical JSON: what the copy is of, then a row each, and at the end how many rows there were and a hash over
all before it, which the owner signs if it has a key. A file is read in one go into one transaction: what is wrong with
it, at its very end too, is known before anything stands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from audit.protocol.canonical import canonical, parse_canonical
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.shapes import Shape, integer, octets, record, string
from infra.keys import secret_file

FORMAT = "psephos/v1 backup"
LONGEST_LINE = 1 << 18
"""Bytes: an entry of 65,535 bytes, each written as JSON writes it, and what belongs to it."""
LAST = record(rows=integer(0, 2**53 - 1), sha256=octets(32), signature=string(500))

Sign = Callable[[bytes], str]  # a text -> its signature line
Verify = Callable[[bytes, str], None]  # raises Refused unless the line is true


class BackupError(Exception):
    """A copy that cannot be restored; the message names the file, and what is wrong with it."""


def unsigned(text: bytes) -> str:
    """For an owner that has no key."""
    return ""


def expect_unsigned(text: bytes, line: str) -> None:
    """Refused `wrong-signers` for a copy by an owner that has a key."""
    if line:
        raise Refused("wrong-signers", "it is signed, but copies of this kind are not")


def write_backup(path: Path, of: Mapping[str, str], rows: Iterable[Mapping[str, Any]], sign: Sign = unsigned) -> int:
    """Writes a copy to a new file of mode 0600; how many rows it holds. `of` says what it is a copy of.

    KeyFileError as `secret_file`. A crash leaves nothing under `path`, or all of it.
    """
    count, digest = 0, hashlib.sha256()
    with secret_file(path) as file:
        for line in _lines(of, rows):
            file.write(line)
            digest.update(line)
            count += 1
        count -= 1
        last = {"rows": count, "sha256": b64(digest.digest()), "signature": sign(_text(of, count, digest.digest()))}
        file.write(canonical(last) + b"\n")
    return count


def read_backup(
    path: Path, of: Mapping[str, str], row: Shape, verify: Verify = expect_unsigned
) -> Iterator[dict[str, Any]]:
    """The rows of a copy, each by its shape. BackupError, at the end too: nothing may be kept before that is reached.

    OSError.
    """
    with Path(path).open("rb") as file:
        try:
            yield from _rows(file, of, row, verify)
        except Refused as refusal:
            raise BackupError(f"{path}: {refusal}") from None


def _rows(file: BinaryIO, of: Mapping[str, str], row: Shape, verify: Verify) -> Iterator[dict[str, Any]]:
    digest, count = hashlib.sha256(), 0
    first = _line(file)
    _expect(first, of)
    digest.update(first)
    line = _line(file)
    while following := file.readline(LONGEST_LINE + 1):
        yield _shaped(row, line, count)
        count += 1
        digest.update(line)
        line = following
    last = _shaped(LAST, line, count)
    if (last["rows"], last["sha256"]) != (count, digest.digest()):
        raise Refused("damaged", f"is damaged: its {count} rows are not the {last['rows']} that were written")
    try:
        verify(_text(of, count, digest.digest()), last["signature"])
    except Refused as refusal:
        raise Refused(refusal.reason, f"is not signed as such a copy is: {refusal}") from None


def _expect(first: bytes, of: Mapping[str, str]) -> None:
    """Refuses a file that is no copy, or a copy of something else."""
    try:
        found = parse_canonical(first.rstrip(b"\n"))
    except Refused:
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise Refused("foreign", f"is no copy: its first line does not say that it is a {FORMAT}")
    for name, wanted in of.items():
        if found.get(name) != wanted:
            said = str(found.get(name, ""))[:120]
            raise Refused("foreign", f"is of another place: `{name}` is {said!r}, not {wanted!r}")
    if set(found) != {"format", *of}:
        raise Refused("foreign", "says more of itself than copies of this kind do")


def _line(file: BinaryIO) -> bytes:
    line = file.readline(LONGEST_LINE + 1)
    if not line.endswith(b"\n"):
        raise Refused("damaged", "is damaged: it ends too early, or holds too long a line")
    return line


def _shaped(shape: Shape, line: bytes, number: int) -> dict[str, Any]:
    """What stands in a line, `number` of them after the first."""
    if not line.endswith(b"\n"):
        raise Refused("damaged", f"is damaged: it ends within line {number + 2}, or that is too long")
    try:
        shaped: dict[str, Any] = shape(parse_canonical(line[:-1]), "")
    except Refused as refusal:
        raise Refused("damaged", f"is damaged: line {number + 2} is not as it was written ({refusal})") from None
    return shaped


def _lines(of: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    yield canonical({"format": FORMAT, **of}) + b"\n"
    for row in rows:
        yield canonical(dict(row)) + b"\n"


def _text(of: Mapping[str, str], count: int, digest: bytes) -> bytes:
    """What the owner signs."""
    return f"{FORMAT}\n".encode() + canonical({**of, "rows": count, "sha256": b64(digest)}) + b"\n"
