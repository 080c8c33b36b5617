"""How fast a custodian re-reads all it holds, and is rebuilt from another's tiles, over a real database."""

from __future__ import annotations

import resource
import time

from audit.log.merkle import CompactRange, leaf_hash
from audit.log.reader import HttpReader
from audit.log.treehead import Checkpoint
from infra.http import application
from infra.postgres import temporary_cluster
from tests.bench.figure import Figure
from tests.databases import make_database
from tests.loopback import serving
from tests.vault.conftest import CUSTODIANS, LOG, NOW, Growing
from tests.vault.fixed_keys import FixedKeys
from vault.custodian import schema
from vault.custodian.cosign import Head
from vault.custodian.custody import Custodian
from vault.custodian.public import add_public
from vault.custodian.rebuilding import Rebuild
from vault.custodian.scrubbing import Examination
from vault.custodian.sql_store import SqlStore

ENTRIES = 100_000
STEP = 4096


def measure() -> list[Figure]:
    log = Growing("vote.example/care")
    keys = FixedKeys(log.policy)
    with temporary_cluster("bench") as cluster:
        full = make_database(cluster, "full", schema.install)
        empty = make_database(cluster, "empty", schema.install)
        store = SqlStore(full.engine)
        fill(store, log)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.monotonic()
        found = Examination(store, keys).run()
        examined = ENTRIES / (time.monotonic() - began)
        memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        assert found.whole and not found.faults
        rebuilt = rebuild(store, SqlStore(empty.engine), log)
        full.close()
        empty.close()
    return [
        Figure(f"re-reading {ENTRIES:,} entries of 300 bytes", f"{examined:,.0f} a second"),
        Figure("memory that takes", f"{memory:.0f} MiB", "flat", memory < 64),
        Figure("rebuilding from another's tiles", f"{rebuilt:,.0f} a second"),
    ]


def fill(store: SqlStore, log: Growing) -> None:
    grown = CompactRange()
    for start in range(0, ENTRIES, STEP):
        entries = [b"entry %06d " % i + b"x" * 287 for i in range(start, min(start + STEP, ENTRIES))]
        leaves = [leaf_hash(entry) for entry in entries]
        store.stage(log.origin, start, leaves, entries)
        grown.extend(leaves)
    head = Checkpoint(log.origin, ENTRIES, grown.root())
    store.append(log.origin, Head(0, ENTRIES, grown.root(), grown.to_bytes(), log.note(head).raw, NOW), [], [])
    store.publish(log.origin, ENTRIES, log.note(head, [*LOG, *CUSTODIANS[1], *CUSTODIANS[2]]).raw)


def rebuild(full: SqlStore, empty: SqlStore, log: Growing) -> float:
    """Entries a second, over HTTP on this machine."""
    keys = FixedKeys(log.policy)
    app = application("care")
    router = app.router
    add_public(router, Custodian(full, {log.origin: keys}, (), lambda: NOW), log.origin)
    with serving(app) as url:
        began = time.monotonic()
        work = Rebuild(empty, keys, [HttpReader(url)], (), lambda: NOW, lambda line: None, at_once=True)
        assert work.step() is not None
        return ENTRIES / (time.monotonic() - began)
