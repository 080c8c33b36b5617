"""A tree of the log as the log has signed it, whatever else stands in the ledger: looked at before a custodian is said
to hold another, since whoever can write to the ledger may have put a false row there after it was read.
"""

from __future__ import annotations

from contextlib import suppress

from audit.log.checkpoint import open_note
from audit.log.merkle import CompactRange, leaf_hash
from audit.log.notes import parse_note
from audit.protocol.refused import Refused
from audit.record.manifest import Manifest
from tally.sequencer.ledger import EMPTY, PAGE, Ledger, Stage

START_EMPTY = "start tally on an empty database, which it fills from the custodians"


def signed_root(ledger: Ledger, manifest: Manifest, size: int) -> bytes | None:
    """The root (32 bytes) of the first `size` entries, of which the log has signed more: those that lead from the stage
    it has signed before to the next. None if they do not lead there. `manifest`: with the rekeys under them.
    """
    newest = ledger.newest_signed().size
    pages = (ledger.stages(start, min(start + PAGE, newest)) for start in range(size - 1, newest, PAGE))
    after = (stage for page in pages for stage in sorted(page, key=lambda one: one.size))
    above = next((stage for stage in after if _is_signed(ledger, manifest, stage)), None)
    if above is None:
        return None
    below = ledger.stage_up_to(size)
    while not _is_signed(ledger, manifest, below):
        below = ledger.stage_up_to(below.size - 1)
    tree = CompactRange.from_bytes(below.frontier)
    tree.extend(map(leaf_hash, ledger.all_entries(size, below.size)))
    root = tree.root()
    tree.extend(map(leaf_hash, ledger.all_entries(above.size, size)))
    return root if tree.root() == above.root else None


def _is_signed(ledger: Ledger, manifest: Manifest, stage: Stage) -> bool:
    if stage == EMPTY:
        return True
    note = ledger.signed(stage.size)
    with suppress(Refused):
        tree = CompactRange.from_bytes(stage.frontier)
        made = note is not None and open_note(parse_note(note), manifest.at(stage.size).log, witnessed=False)
        return made == stage.checkpoint(ledger.origin) and (tree.size, tree.root()) == (stage.size, stage.root)
    return False
