"""Whose signatures count over the tree that a custodian shows, which may be longer than the ledger, and hold rekeys
that the ledger has not; and what it publishes.

The size of a tree whose signatures nobody can check yet is a claim, and costs nothing to make: so what is read for its
sake is bounded, in entries and in time, and is nothing but rekeys. These bear the signatures of the officials' quorum;
that they stand in the tree is shown when it is adopted, which is not believed before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic

from audit.log.checkpoint import open_note
from audit.log.merkle import CompactRange
from audit.log.notes import Note
from audit.log.treehead import Checkpoint, parse_checkpoint
from audit.protocol.refused import Refused
from audit.record.heads import is_rekey, succeed
from audit.record.manifest import Manifest
from tally.sequencer.custodian import Custodian, Rejected, Unavailable

TAIL = 2048
"""Entries read at the end of what is held: a rekey that nobody has published yet is among the last."""
SECONDS = 60.0
"""That one custodian may take to show rekeys."""


def shown_by(
    custodian: Custodian,
    note: Note,
    manifest: Manifest,
    known: CompactRange,
    peers: Sequence[Custodian] = (),
    check: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = monotonic,
) -> Manifest:
    """The manifest with the keys that count over the tree of this note, which is signed by the log's.

    `manifest` is as the entries under `known`, the frontier of those that are known, have made it. Where its keys do
    not suffice, the rekeys are sought that the custodian says it has published, then those of `peers`, and then in the
    last 2048 entries that it holds. `check` raises to give up. Refused as `open_note`, or by a rekey that is none;
    Unavailable and Rejected.
    """
    size = parse_checkpoint(note.text).size

    def signed(by: Manifest) -> Refused | None:
        try:
            open_note(note, by.at(size).log, witnessed=False)
        except Refused as refusal:
            return refusal
        return None

    doubt = signed(manifest)
    if doubt is None:
        return manifest.at(size)
    if size <= known.size:
        raise doubt
    best = manifest
    for source in (custodian, *peers):
        found = _published(source, manifest, size, _watched(check, clock))
        if signed(found) is None:
            return found.at(size)
        best = max(best, found, key=lambda one: len(one.rekeys))
    found = _last(custodian, best, max(known.size, size - TAIL), size, _watched(check, clock))
    doubt = signed(found)
    if doubt is not None:
        raise doubt
    return found.at(size)


def published_by(custodian: Custodian, over: Manifest) -> Checkpoint | None:
    """The tree that it publishes, if W custodians have cosigned that; `over`: with the keys over all that it holds."""
    with suppress(Unavailable, Rejected, Refused):
        note = custodian.published()
        return open_note(note, over.at(parse_checkpoint(note.text).size).log)
    return None


def signs(manifest: Manifest, note: Note) -> bool:
    """Whether the log has signed this note with the keys that `manifest` ends with."""
    with suppress(Refused):
        open_note(note, manifest.log, witnessed=False)
        return True
    return False


def successors(manifest: Manifest, name: str) -> set[str]:
    """The custodian of this name in the manifest, and those that have taken its place since."""
    place = [other for other, _ in manifest.history[0].log.custodians].index(name)
    return {past.log.custodians[place][0] for past in manifest.history}


def _published(source: Custodian, manifest: Manifest, size: int, check: Callable[[], None]) -> Manifest:
    """With the rekeys below `size` that a custodian names; as far as it tells the truth and answers."""
    try:
        for index in source.rekeys():
            check()
            if index < size and (manifest.rekey is None or index > manifest.rekey.index):
                (raw,) = source.entries(index + 1, index)
                manifest = succeed(manifest, raw, index)
    except (Unavailable, Rejected, Refused):
        # What one says of itself, or of another, may be false.
        pass
    return manifest


def _last(custodian: Custodian, manifest: Manifest, start: int, size: int, check: Callable[[], None]) -> Manifest:
    for index, raw in enumerate(custodian.entries(size, start), start):
        check()
        if is_rekey(raw) and (manifest.rekey is None or index > manifest.rekey.index):
            manifest = succeed(manifest, raw, index)
    return manifest


def _watched(check: Callable[[], None], clock: Callable[[], float]) -> Callable[[], None]:
    end = clock() + SECONDS

    def watched() -> None:
        check()
        if clock() > end:
            raise Unavailable("too slow")

    return watched
