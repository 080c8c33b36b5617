"""Where `psephos dispute` reads the log: what several sources show of it, and which of them count."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audit.log.reader import Head, HttpReader, Reader, ReadError, open_reader
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.entries import Entry
from audit.record.heads import expect_rekeys, open_log
from audit.record.manifest import Manifest
from audit.record.shapes import anything, array, octets, record, string

CARD = record(custodians=array(string(), 1), intakes=anything, manifest=octets(32), origin=string())
MAX_CARD = 1 << 16


@dataclass(frozen=True, slots=True)
class Shown:
    """A reader's newest witnessed head, the manifest with all rekeys under it, and entry 0 that holds that."""

    reader: Reader
    manifest: Manifest
    first: Entry
    head: Head


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


def is_card(election: str) -> bool:
    return Path(election).is_file()


def newest(readers: Sequence[Reader], pinned: bytes | None) -> tuple[list[Shown], list[ReadError | Refused]]:
    """What those readers show that have a witnessed log, the longest first, and why the others do not count: one is
    silent, damaged, or keeps back a rekey that another shows. ReadError saying of each why, if none is left; Refused
    `fork` for two logs of one length.
    """
    opened: list[Shown] = []
    faults: list[ReadError | Refused] = []
    for reader in readers:
        try:
            opened.append(Shown(reader, *open_log(reader, pinned)))
        except (ReadError, Refused) as error:
            faults.append(error)
    found: list[Shown] = []
    for one in opened:
        try:
            others = [(str(other.reader), other.manifest) for other in opened if other is not one]
            expect_rekeys(str(one.reader), one.head, one.manifest, others)
            found.append(one)
        except Refused as refusal:
            faults.append(refusal)
    if opened and not found:
        raise next(fault for fault in faults if isinstance(fault, Refused))
    if not found:
        raise ReadError("; ".join(map(str, faults)))
    roots: dict[int, bytes] = {}
    for one in found:
        if roots.setdefault(one.head.size, one.head.root) != one.head.root:
            raise Refused("fork", f"{one.reader}: two witnessed trees of {one.head.size} entries have different roots")
    return sorted(found, key=lambda one: -one.head.size), faults


def read(file: Path, most: int) -> bytes:
    """The file's bytes. OSError; Refused `too-long`."""
    with file.open("rb") as stream:
        raw = stream.read(most + 1)
    if len(raw) > most:
        raise Refused("too-long", f"{file}: is longer than the {most} bytes it may have")
    return raw
