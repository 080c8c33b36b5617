"""`psephos export-record`: a verified copy of a whole log, as a folder, or in a bucket that cannot forget it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from audit.log.export import export_record
from audit.log.reader import Head, ReadError, open_reader, unverified_first_entry
from audit.protocol.group import b64, unb64
from audit.protocol.refused import Refused
from audit.record.heads import open_head
from audit.record.manifest import Manifest, open_manifest

Told = Callable[[], AbstractContextManager[Callable[[int, int], None]]]


def export(
    source: str,
    pinned: bytes | None,
    folder: Path | None,
    bucket: str | None,
    told: Told,
    *,
    mode: str,
    days: int,
    endpoint: str | None,
    profile: str | None,
) -> tuple[Manifest, Head]:
    """Copies the log of `source` to a folder or a bucket. ReadError; BucketError; Refused; OSError."""
    reader = open_reader(source)
    raw = unverified_first_entry(reader)
    if raw is None:
        raise ReadError("nothing has been published there", source, "not-found")
    found = open_head(reader, open_manifest(raw, pinned)[0], exact=True, whole=True)
    if found is None:
        raise ReadError("nothing is published there any more", source, "stale")
    _, manifest = found
    with told() as progress:
        if bucket is None:
            assert folder is not None
            head = export_record(reader, manifest.log, folder)
        else:
            from audit.log.bucket import Bucket, Lock, client, export_to_bucket

            lock = Lock.for_days(mode.upper(), days, datetime.now(UTC))
            place = Bucket(client(endpoint, profile), bucket, lock)
            changed = [rekey.index for rekey in manifest.rekeys]
            head = export_to_bucket(
                reader, manifest.log, place, progress, past=lambda size: manifest.at(size).log, rekeys=changed
            )
    if head is None:
        raise ReadError("nothing is published there any more", source, "stale")
    return manifest, head


def register(app: typer.Typer, told: Told) -> None:
    """Adds `export-record`; `told` shows how far it is."""

    @app.command("export-record")
    def export_record_command(
        source: Annotated[str, typer.Argument(metavar="SOURCE", help="A custodian's URL/ORIGIN, or a folder.")],
        folder: Annotated[
            Path | None, typer.Option("--folder", metavar="DIR", help="A new or empty folder to write to.")
        ] = None,
        bucket: Annotated[
            str | None, typer.Option("--bucket", metavar="s3://NAME/PREFIX", help="A bucket with Object Lock.")
        ] = None,
        pinned: Annotated[
            str | None, typer.Option("--manifest", metavar="HASH", help="The manifest's hash, as the letter shows it.")
        ] = None,
        days: Annotated[int, typer.Option("--retain-days", min=1, help="For how long nobody can delete it.")] = 3653,
        mode: Annotated[
            str, typer.Option("--mode", help="`compliance`: nobody ends it early; `governance`: who has a right to.")
        ] = "compliance",
        endpoint: Annotated[
            str | None, typer.Option("--endpoint", metavar="URL", help="The store's address, if it is not Amazon's.")
        ] = None,
        profile: Annotated[
            str | None, typer.Option("--profile", help="Which credentials of ~/.aws; never given here themselves.")
        ] = None,
    ) -> None:
        """Copies a whole log, verified entry by entry, to a folder or to a bucket with Object Lock."""
        if (folder is None) == (bucket is None):
            raise typer.BadParameter("give one of --folder and --bucket")
        if mode not in ("compliance", "governance"):
            raise typer.BadParameter("--mode is compliance or governance")
        wanted = None if pinned is None else _hash(pinned)
        manifest, head = export(
            source, wanted, folder, bucket, told, mode=mode, days=days, endpoint=endpoint, profile=profile
        )
        print(f"{manifest.origin}: {head.size} entries, root {b64(head.root)}, in {bucket or folder}")
        if wanted is None:
            print(f"unchecked: that this is your election; its manifest has the hash {b64(manifest.hash)}")


def _hash(text: str) -> bytes:
    try:
        return unb64(text, 32)
    except Refused as refusal:
        raise Refused(refusal.reason, f"--manifest {text}: {refusal.detail}") from None
