"""What the zones have on disk, read past their services: how many entries, and whether each tree that they noted is the
one that its entries make.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import func, select

from audit.log.merkle import CompactRange, leaf_hash
from infra.queue.schema import queued
from intake.door.schema import outbox
from tally.sequencer.ledger import Ledger
from tally.sequencer.schema import stage
from tests.faults.zones import Zones
from vault.custodian.folder_mending import MendableFolder
from vault.custodian.sql_store import SqlStore

WAITING = {"intake": outbox, "queue": queued}


def holds(zones: Zones, name: str) -> int:
    """How many entries an outbox or the queue has waiting, a custodian has stored under a head, or the ledger knows to
    be held by W of them.
    """
    if name in zones.custodians:
        return _custody(zones, name).newest(zones.meeting.origin).size
    engine = zones.databases[name].engine
    if name == "tally":
        found = Ledger(engine, zones.meeting.origin).newest_witnessed()
        return found[0] if found else 0
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(WAITING[name])) or 0


def noted_by(zones: Zones, name: str) -> dict[int, bytes]:
    """The root of every tree that a custodian has stored, or that the ledger has staged, by its size."""
    origin = zones.meeting.origin
    if name == "tally":
        query = select(stage.c.size, stage.c.root).where(stage.c.origin == origin)
        with zones.databases[name].engine.connect() as connection:
            return {size: bytes(root) for size, root in connection.execute(query)}
    store = _custody(zones, name)
    heads = {size: store.head_at(origin, size) for size in store.heads(origin)}
    return {size: head.root for size, head in heads.items() if head is not None}


def false_trees(noted: Mapping[int, bytes], log: Iterable[bytes]) -> list[int]:
    """The sizes, up to that of the log, of which another root is noted than the log's."""
    tree, false = CompactRange(), []
    for entry in log:
        tree.append(leaf_hash(entry))
        if tree.size in noted and noted[tree.size] != tree.root():
            false.append(tree.size)
    return false


def _custody(zones: Zones, name: str) -> MendableFolder | SqlStore:
    if name in zones.folders:
        return MendableFolder(str(zones.folders[name]), [zones.meeting.origin])
    return SqlStore(zones.databases[name].engine)
