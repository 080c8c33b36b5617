"""A bit flips on the disk under a custodian's database: the page that holds it cannot be read any more, and is named,
its rows are mended, and what else the database can read is served.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from audit.log.export import check_tiles
from audit.protocol.refused import Refused
from infra.postgres import Cluster, temporary_cluster
from tests.databases import Database, make_database
from tests.vault.conftest import CUSTODIANS, NOW, Growing
from tests.vault.fixed_keys import FixedKeys
from tests.vault.sources import Shown
from tests.vault.test_scrubbing import Kept
from vault.custodian import schema
from vault.custodian.custody import Custodian
from vault.custodian.examining import Examiner
from vault.custodian.mending import Scrub
from vault.custodian.rebuilding import check_finished
from vault.custodian.storage import Damaged, DamagedCheckpoint
from vault.custodian.stored import StoreReader, signed_head

PAGE = 8192


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    """A cluster that may be stopped and damaged."""
    with temporary_cluster("tests") as running:
        yield running


@pytest.fixture
def kept(own: Cluster) -> Iterator[Kept]:
    database = make_database(own, "pages", schema.install)
    # Long entries, so that the log lies on many pages; all of it is on disk before the server stops.
    log = Long(f"vote.example/{database.url.rpartition('_')[0][-8:].replace('/', '-').replace('=', '-')}")
    yield Kept(database, log)
    database.close()


class Long(Growing):
    def grow(self, count: int) -> int:
        size = len(self.entries)
        self.entries += [b"entry %d " % (size + i) + b"x" * 300 for i in range(count)]
        return size


def file_of(database: Database, relation: str) -> str:
    with database.owner.connect() as connection:
        return str(connection.scalar(text("SELECT pg_relation_filepath(CAST(:r AS regclass))"), {"r": relation}))


def long_values_of(database: Database, table: str) -> str:
    """Where those values of a table are that are too long for its rows."""
    with database.owner.connect() as connection:
        return str(connection.scalar(text("SELECT reltoastrelid FROM pg_class WHERE relname = :t"), {"t": table}))


def flip(own: Cluster, path: str, page: int) -> None:
    """One bit in the middle of a page, of the last if -1, while the server does not run."""
    file = own.data / path
    with file.open("r+b") as stream:
        stream.seek(page % (file.stat().st_size // PAGE) * PAGE + PAGE // 2)
        byte = stream.read(1)
        stream.seek(-1, 1)
        stream.write(bytes([byte[0] ^ 1]))


def damaged(own: Cluster, kept: Kept, relation: str, page: int | None) -> None:
    """One bit of a page flipped on the disk, or the whole file gone."""
    path = file_of(kept.database, relation)
    kept.database.engine.dispose()
    kept.database.owner.dispose()
    own.stop()
    if page is None:
        (own.data / path).unlink()
    else:
        flip(own, path, page)
    own.start()


@pytest.mark.parametrize(("relation", "page"), [("entry", 5), ("entry", 0), ("node_pkey", 0), ("node", 0)])
def test_a_page_that_cannot_be_read_is_found_and_its_rows_are_mended(
    own: Cluster, kept: Kept, relation: str, page: int
) -> None:
    damaged(own, kept, relation, page)
    found = kept.found()
    assert found
    if relation == "entry":
        assert all(line.endswith("cannot be read") for line in found if line.startswith("entry"))
        assert kept.scrub() == 4
    said: list[str] = []
    keys, peers = FixedKeys(kept.log.policy), [Shown(kept.log).show()]
    assert Scrub(kept.store, keys, peers, said.append, clock=lambda: NOW).run() == 3, said
    check_tiles(StoreReader(kept.store, kept.log.origin), signed_head(kept.store.newest(kept.log.origin)))
    assert kept.store.entries(kept.log.origin, 0, 700) == kept.log.entries


@pytest.mark.parametrize(("relation", "page"), [("entry", 5), ("entry_rekey", 0), ("node", None)])
def test_a_page_that_cannot_be_read_any_more_is_found_while_the_custodian_runs(
    own: Cluster, kept: Kept, relation: str, page: int | None
) -> None:
    origin, keys = kept.log.origin, {kept.log.origin: FixedKeys(kept.log.policy)}
    examiner = Examiner(kept.store, keys)
    examiner.run()
    kept.custodian = Custodian(kept.store, keys, CUSTODIANS[0], lambda: kept.time, examiner.check)
    kept.append(1)
    # The server begins anew, and so reads the page from the disk; the custodian goes on.
    damaged(own, kept, relation, page)
    examiner.patrol()
    size = len(kept.log.entries)
    with pytest.raises(Refused) as refusal:
        kept.append(1)
    assert refusal.value.reason == "damaged"
    assert kept.store.newest(origin).size == size


def test_a_published_checkpoint_on_a_page_that_cannot_be_read_is_named_and_mended(own: Cluster, kept: Kept) -> None:
    origin, last = kept.log.origin, kept.store.published(kept.log.origin)
    kept.append(1)
    kept.custodian.publish(origin, kept.log.witnessed())
    # The last page of the notes, which are too long for their rows: that of 701 entries begins or ends there.
    damaged(own, kept, long_values_of(kept.database, "published"), -1)
    with pytest.raises(DamagedCheckpoint) as error:
        kept.store.published(origin)
    assert error.value.size == 701
    kept.start()
    assert kept.custodian.checkpoint(origin) == last[1]
    assert kept.found() == ["published checkpoint of 701 entries: cannot be read"]
    assert kept.scrub(kept.peer.show()) == 3
    kept.start()
    assert kept.custodian.checkpoint(origin) == kept.peer.note


def test_when_no_published_checkpoint_can_be_read_none_is_served_until_it_is_mended(own: Cluster, kept: Kept) -> None:
    damaged(own, kept, "published", 0)
    kept.start()
    assert kept.custodian.checkpoint(kept.log.origin) is None
    assert kept.found() == ["published checkpoint of 700 entries: cannot be read"]
    assert kept.scrub() == 4
    assert kept.scrub(kept.peer) == 3
    kept.start()
    assert kept.custodian.checkpoint(kept.log.origin) == kept.peer.note


def test_heads_on_a_page_that_cannot_be_read_are_mended(own: Cluster, kept: Kept) -> None:
    for _ in range(40):
        kept.time += 1
        kept.append(1)
    damaged(own, kept, "head", 0)
    found = kept.found()
    assert found
    assert all(line.startswith("head of") for line in found)
    assert kept.scrub(kept.peer.show()) == 3, kept.said
    kept.start()
    kept.append(1)
    kept.check_whole()


def test_a_newest_head_on_a_page_that_cannot_be_read_stops_signatures_and_no_reader(own: Cluster, kept: Kept) -> None:
    origin, keys = kept.log.origin, {kept.log.origin: FixedKeys(kept.log.policy)}
    damaged(own, kept, "head", 0)
    check_finished(kept.store, origin)
    custodian = Custodian(kept.store, keys, CUSTODIANS[0], lambda: kept.time)
    assert custodian.checkpoint(origin) == kept.peer.note
    kept.log.grow(1)
    with pytest.raises(Damaged):
        custodian.append(origin, kept.log.append(700))
    kept.log.entries.pop()
    # The next head could not be stored on that page either.
    assert kept.scrub(kept.peer) == 4
    assert "rebuild this custodian" in kept.said[-1]
