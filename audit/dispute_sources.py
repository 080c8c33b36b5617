"""Where `psephos dispute` reads the log: what several sources show of it, and which of them count."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

from audit.log.reader import HttpReader, Reader, ReadError, open_reader
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.heads import Shown, expect_one_log, expect_rekeys, open_log
from audit.record.shapes import anything, array, octets, record, string

CARD = record(custodians=array(string(), 1), intakes=anything, manifest=octets(32), origin=string())
MAX_CARD = 1 << 16


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
    `fork` as `expect_one_log`, of any two.
    """
    opened: list[Shown] = []
    faults: list[ReadError | Refused] = []
    for reader in readers:
        try:
            opened.append(open_log(reader, pinned))
        except (ReadError, Refused) as error:
            faults.append(error)
    # Shortest first, and a longer one that does not show how it begins is compared no further.
    shown: list[Shown] = []
    for one in sorted(opened, key=lambda one: one.head.size):
        try:
            for other in shown:
                expect_one_log(other, one)
            shown.append(one)
        except ReadError as error:
            faults.append(error)
    found: list[Shown] = []
    for one in shown:
        try:
            expect_rekeys(one, [other for other in shown if other is not one])
            found.append(one)
        except Refused as refusal:
            faults.append(refusal)
    if shown and not found:
        raise next(fault for fault in faults if isinstance(fault, Refused))
    if not found:
        raise ReadError("; ".join(map(str, faults)))
    return sorted(found, key=lambda one: -one.head.size), faults


def read(file: Path, most: int) -> bytes:
    """The file's bytes. OSError; Refused `too-long`."""
    with file.open("rb") as stream:
        raw = stream.read(most + 1)
    if len(raw) > most:
        raise Refused("too-long", f"{file}: is longer than the {most} bytes it may have")
    return raw
