"""Whose signatures count over the tree that a custodian shows, which may be longer than the ledger, and hold rekeys
that the ledger has not.
"""

from __future__ import annotations

from audit.log.checkpoint import open_note
from audit.log.merkle import CompactRange, leaf_hash
from audit.log.notes import Note
from audit.log.treehead import parse_checkpoint
from audit.protocol.refused import Refused
from audit.record.heads import is_rekey, succeed
from audit.record.manifest import Manifest
from tally.sequencer.custodian import Custodian


def shown_by(custodian: Custodian, note: Note, manifest: Manifest, known: CompactRange) -> Manifest:
    """The manifest with the keys that count over the tree of this note, which is signed by the log's.

    `manifest` is as the entries under `known`, the frontier of those that are known, have made it. Where its keys do
    not suffice, what the custodian holds beyond is read: a rekey there counts if it is signed by the officials' quorum
    and the entries lead to the root of the note. Refused as `open_note`, `wrong-root`; Unavailable and Rejected.
    """
    head = parse_checkpoint(note.text)
    try:
        open_note(note, manifest.at(head.size).log, witnessed=False)
        return manifest.at(head.size)
    except Refused:
        if head.size <= known.size:
            raise
    tree = known.copy()
    for index, raw in enumerate(custodian.entries(head.size, known.size), known.size):
        tree.append(leaf_hash(raw))
        if is_rekey(raw):
            manifest = succeed(manifest, raw, index)
    if tree.root() != head.root:
        raise Refused("wrong-root", "the entries held do not lead to the root of the tree that is shown")
    open_note(note, manifest.log, witnessed=False)
    return manifest
