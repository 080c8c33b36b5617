"""Backup and restore of an outbox: what was promised, what waits, and the account of ballots.

A copy says nothing that will not be public, and no more of when or in which order things came than the log itself: rows
stand by their identities, which are hashes, and their deadlines are whole batch waits; when an entry was, or will be,
passed on is left out. It is signed by the intake, for a strange row would become part of its account: with the key that
counted then, which may have been replaced since, as the log says; and may be a thief's, so that somebody has to say
that the copy is the intake's own.

An old copy costs nothing but time: what it holds is passed on again and recorded once, and what it does not hold is
learned from the log. But it does not know what was promised after it was made; so an outbox that was restored says so
(`restored`), and accounts for its ballots only if the log holds exactly those that it knows (see `Outbox.drain`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from audit.log.keys import Signer, Verifier
from audit.log.notes import parse_signature_lines, verify_signature
from audit.log.reader import Reader, ReadError
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.entries import parse_entry
from audit.record.heads import open_head
from audit.record.manifest import Manifest
from audit.record.shapes import integer, octets, record, string
from infra import failpoints
from infra.backup import BackupError, read_backup, write_backup
from infra.sole import seize_within
from intake.door.relearning import Kept, note_restored, put_back
from intake.door.schema import ONE_DOOR, accepted, drained, outbox

PAGE = 256
REPLACED = "--replaced-key"
MOST_TEXT = 65_535
ROW = record(
    deadline=integer(0, 2**53 - 1),
    drained=integer(0, 1),
    entry=string(MOST_TEXT),
    identity=octets(32),
    kind=string(40),
    leaf=octets(32),
)


def back_up(engine: Engine, manifest: Manifest, signer: Signer, path: Path) -> int:
    """Writes a copy of the outbox as it is at one moment; how many entries were ever promised. KeyFileError if there is
    a file already.
    """
    of = described(manifest, signer)
    return write_backup(path, of, rows_of(engine, manifest.origin), lambda text: signer.sign(text).line)


def restore(
    engine: Engine, manifest: Manifest, signer: Signer, path: Path, log: Sequence[Reader] = (), replaced: bool = False
) -> int:
    """Takes in a copy, all of it or nothing; how many promises were not known here. What is known stays as it is, and
    what waits with the line of a key that was replaced, the service signs anew. `replaced`: also a copy that another
    key of this intake has signed, which may be in strange hands by now; `log` is read if that is not the manifest's.

    BackupError for a file that is damaged, forged, or of another outbox, and while the service runs; OSError.
    """

    def verify(text: bytes, line: str) -> None:
        (signature,) = parse_signature_lines(line.encode())
        known = (signer.verifier, *_keys(manifest, signer.name))
        key = next((key for key in known if key.key_id == signature.key_id), None)
        if key is None and signature.name == signer.name:
            past = keys_of(path, manifest, signer.name, log)
            key = next((key for key in past if key.key_id == signature.key_id), None)
        verify_signature(key or signer.verifier, text, signature)
        if key != signer.verifier and not replaced:
            said = (
                f"is signed with another key of {signer.name} than `key` is; if that one was replaced, whoever has got"
            )
            told = f"hold of it can have made this copy: if you know that you made it, say so with {REPLACED}"
            raise BackupError(f"{path}: {said} {told}")

    new = 0
    with engine.begin() as connection:
        if not seize_within(connection, manifest.origin, ONE_DOOR):
            raise BackupError(f"the intake service is at work on this outbox: stop it, then restore {path}")
        rows = (read_row(path, row) for row in read_backup(path, described(manifest, signer), ROW, verify))
        while page := list(islice(rows, PAGE)):
            new += put_back(connection, manifest.origin, page)
        note_restored(connection, manifest.origin)
        failpoints.at("outbox.restoring")
    failpoints.at("outbox.restored")
    return new


def keys_of(path: Path, manifest: Manifest, intake: str, log: Sequence[Reader]) -> tuple[Verifier, ...]:
    """Every key that this intake has had, as the log says; `log`: who shows it. BackupError if nobody does."""
    for reader in log:
        with suppress(ReadError):
            if found := open_head(reader, manifest, every=True, others=log):
                return tuple(key for past in found[1].history for key in _keys(past, intake))
    text = "is signed with a key that is neither this intake's present one nor the manifest's, and no custodian shows"
    raise BackupError(f"{path}: {text} the log, which says whether it had that one between: try again when one does")


def _keys(manifest: Manifest, intake: str) -> tuple[Verifier, ...]:
    return tuple(key for key in manifest.intakes if key.name == intake)


def described(manifest: Manifest, signer: Signer) -> dict[str, str]:
    """What a copy is of."""
    return {"intake": signer.name, "manifest": b64(manifest.hash), "of": "outbox", "origin": manifest.origin}


def rows_of(engine: Engine, origin: str) -> Iterator[dict[str, Any]]:
    """Every promise, in the order of identities, with its entry if the log was not seen to hold it yet."""
    waits = (outbox.c.origin == accepted.c.origin) & (outbox.c.identity == accepted.c.identity)
    account = (drained.c.origin == accepted.c.origin) & (drained.c.identity == accepted.c.identity)
    columns = (accepted.c.identity, accepted.c.kind, accepted.c.leaf, accepted.c.deadline)
    query = select(*columns, outbox.c.entry, drained.c.identity.label("drained"))
    query = query.select_from(accepted.outerjoin(outbox, waits).outerjoin(drained, account))
    query = query.where(accepted.c.origin == origin).order_by(accepted.c.identity)
    # One moment for all pages, whatever the service does meanwhile.
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        for row in connection.execute(query, execution_options={"yield_per": PAGE}):
            yield {
                "deadline": row.deadline,
                "drained": int(row.drained is not None),
                "entry": bytes(row.entry or b"").decode(),
                "identity": b64(bytes(row.identity)),
                "kind": row.kind,
                "leaf": b64(bytes(row.leaf)),
            }


def read_row(path: Path, row: dict[str, Any]) -> Kept:
    """The promise in a row. BackupError if its entry is another than was promised: the log would settle that one, and
    this row would wait for ever."""
    entry = row["entry"].encode()
    if entry and _said(entry) != (row["identity"], row["kind"], row["leaf"]):
        raise BackupError(f"{path}: is damaged: it holds another entry than the one promised as {b64(row['identity'])}")
    return Kept(row["identity"], row["kind"], row["leaf"], row["deadline"], entry, bool(row["drained"]))


def _said(raw: bytes) -> tuple[bytes, str, bytes] | None:
    try:
        entry = parse_entry(raw)
    except Refused:
        return None
    return entry.identity, entry.kind, entry.leaf
