"""A bit flips on the disk under a custodian's database: the page that holds it cannot be read any more, and is named,
its rows are mended, and what else the database can read is served.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import text

from audit.log.export import check_tiles
from audit.log.merkle import leaf_hash
from audit.protocol.refused import Refused
from audit.record.heads import FIRST_LINE
from infra.postgres import Cluster, temporary_cluster
from tests.databases import Database, make_database
from tests.simulator.meeting import Meeting
from tests.vault.conftest import CUSTODIANS, NOW, Growing
from tests.vault.fixed_keys import FixedKeys
from tests.vault.test_scrubbing import Kept
from vault.custodian import schema
from vault.custodian.cosign import Head
from vault.custodian.custody import Custodian
from vault.custodian.examining import Examiner
from vault.custodian.keys import proven_keys, stored_keys
from vault.custodian.rebuilding import check_finished
from vault.custodian.sql_growing import LONG, ROWS
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


def pages_of(database: Database, relation: str) -> int:
    with database.owner.connect() as connection:
        return (
            int(connection.scalar(text("SELECT pg_relation_size(CAST(:r AS regclass))"), {"r": relation}) or 0) // PAGE
        )


def page_of(kept: Kept, table: str, where: str) -> int:
    """The page on which a row of the log is."""
    with kept.database.owner.connect() as connection:
        query = text(f"SELECT ctid FROM {table} WHERE origin = :o AND {where}")
        return int(str(connection.scalar(query, {"o": kept.log.origin})).strip("()").partition(",")[0])


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


@pytest.mark.parametrize(
    ("relation", "page", "full"),
    [("entry", 5, ""), ("entry", 0, ""), ("entry", -1, "entry"), ("node_pkey", 0, "node"), ("node", 0, "node")],
)
def test_a_page_that_cannot_be_read_is_found_and_its_rows_are_mended(
    own: Cluster, kept: Kept, relation: str, page: int, full: str
) -> None:
    origin, last = kept.log.origin, kept.store.published(kept.log.origin)
    damaged(own, kept, relation, page)
    # It begins, and serves its readers.
    check_finished(kept.store, origin)
    kept.start()
    assert kept.custodian.checkpoint(origin) == last[1]
    found = kept.found()
    assert found
    if relation == "entry":
        assert all(line.endswith("cannot be read") for line in found if line.startswith("entry"))
        assert kept.scrub() == 4
    assert kept.scrub(kept.peer) == (4 if full else 3), kept.said
    check_tiles(StoreReader(kept.store, origin), signed_head(kept.store.newest(origin)))
    assert kept.store.entries(origin, 0, 700) == kept.log.entries
    assert (kept.store.staged(origin), kept.store.rekeys(origin)) == (700, [])
    kept.start()
    if not full:
        kept.append(100)
        kept.custodian.publish(origin, kept.log.witnessed())
        kept.check_whole()
        return
    # All of it can be read again, and the next row would have to be stored on that page.
    said = f"the table {full} takes no further row, for a page of it cannot be read; not repairable, rebuild"
    assert said in kept.said[-1]
    with pytest.raises(Damaged):
        kept.append(100)
    assert kept.store.newest(origin).size == 700
    assert kept.scrub() == 4


def test_entries_on_the_last_page_of_a_log_that_is_not_the_tables_last(own: Cluster, kept: Kept) -> None:
    Kept(kept.database)
    damaged(own, kept, "entry", page_of(kept, "entry", "index = 699"))
    with pytest.raises(Damaged):
        kept.store.staged(kept.log.origin)
    assert kept.scrub(kept.peer) == 3
    assert kept.store.staged(kept.log.origin) == 700
    kept.start()
    kept.append(1)
    assert kept.store.staged(kept.log.origin) == 701
    kept.check_whole()


def test_entries_ahead_of_their_head_that_cannot_be_read_are_not_taken_for_none(own: Cluster, kept: Kept) -> None:
    origin, ahead = kept.log.origin, [b"%d " % number + b"y" * 300 for number in range(100)]
    kept.store.stage(origin, 700, [leaf_hash(entry) for entry in ahead], ahead)
    damaged(own, kept, "entry", -1)
    # Whatever else was repaired.
    kept.store.mend_entry(origin, 300, lambda start, end: kept.log.entries[start:end])
    with pytest.raises(Damaged):
        kept.store.staged(origin)


def test_those_on_a_page_before_the_tables_last_are_mended_from_a_peer(own: Cluster, kept: Kept) -> None:
    origin = kept.log.origin
    kept.log.grow(100)
    leaves = [kept.log.source(0, index) for index in range(700, 800)]
    kept.store.stage(origin, 700, leaves, kept.log.entries[700:])
    Kept(kept.database)
    damaged(own, kept, "entry", page_of(kept, "entry", "index = 799"))
    # The first of them can be read, and how many there are cannot.
    assert kept.store.entries(origin, 700, 701) == kept.log.entries[700:701]
    with pytest.raises(Damaged):
        kept.store.staged(origin)
    assert kept.found() == ["entries from 700 on that were staged before their head: cannot be read"]
    assert kept.scrub(kept.peer.show()) == 3, kept.said
    assert (kept.store.staged(origin), kept.store.entries(origin, 700, 800)) == (800, kept.log.entries[700:])
    kept.start()
    kept.log.grow(1)
    kept.custodian.append(origin, kept.log.append(700))
    kept.check_whole()


def test_a_rekey_on_a_page_that_cannot_be_read_is_known_by_its_place_and_mended(own: Cluster, kept: Kept) -> None:
    origin = kept.log.origin
    kept.log.entries += [*(b"%d " % number + b"z" * 300 for number in range(9)), FIRST_LINE + b"12", b"z" * 300]
    kept.custodian.append(origin, kept.log.append(700))
    kept.append(200)
    page = page_of(kept, "entry", "index = 709")
    damaged(own, kept, "entry", page)
    assert 709 in kept.store.rekeys(origin)
    assert kept.scrub(kept.peer.show()) == 3, kept.said
    assert kept.store.rekeys(origin) == [709]
    # What is repaired of a row that is gone counts, too.
    kept.append(1)
    assert kept.store.rekeys(origin) == [709]


def test_where_the_index_of_rekeys_cannot_be_read_it_begins_and_signs_nothing(own: Cluster, kept: Kept) -> None:
    manifest = replace(Meeting().found().manifest, origin=kept.log.origin)
    damaged(own, kept, "entry_rekey", 0)
    with pytest.raises(Damaged):
        kept.store.rekeys(kept.log.origin)
    assert list(stored_keys(kept.store, manifest).places()) == []
    assert list(proven_keys(kept.store, manifest, [kept.peer]).places()) == []
    assert kept.scrub(kept.peer) == 4
    assert "a page of the database cannot be read; not repairable" in kept.said[-1]


def test_a_table_that_takes_no_further_row_is_told_where_nothing_is_missed(own: Cluster, kept: Kept) -> None:
    # All of those into which a log grows are tried.
    assert {table.name for table, _ in ROWS} | {"keeps"} == set(schema.metadata.tables)
    kept.store.bring(f"{kept.log.origin}/other", "line", 0, [leaf_hash(b"entry")], [b"entry"])
    damaged(own, kept, "brought", 0)
    assert kept.scrub() == 4
    assert "the table brought takes no further row" in kept.said[-1]


def test_what_was_seen_on_a_page_that_cannot_be_read_is_found(own: Cluster, kept: Kept) -> None:
    kept.store.observe(kept.log.origin, "line", Head(0, 9, bytes(32), b"", b"note", NOW))
    damaged(own, kept, "observed", 0)
    assert "head that was seen, number 700: cannot be read" in kept.found()


def test_where_nothing_can_be_mended_any_more_that_is_told(own: Cluster, kept: Kept) -> None:
    kept.store.mend_published(f"{kept.log.origin}/other", 1, b"note")
    kept.damage.flip("node", "hash", "level = 1 AND index = 1")
    damaged(own, kept, "mended", 0)
    assert kept.scrub(kept.peer) == 4
    assert "a page of the database cannot be read; not repairable" in kept.said[-1]


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


@pytest.mark.parametrize("last", [True, False])
def test_a_published_checkpoint_on_a_page_that_cannot_be_read_is_named_and_mended(
    own: Cluster, kept: Kept, last: bool
) -> None:
    origin, before = kept.log.origin, kept.store.published(kept.log.origin)
    kept.append(1)
    kept.custodian.publish(origin, kept.log.witnessed())
    # The last page of the notes, which are too long for their rows: that of 701 entries begins or ends there.
    page = pages_of(kept.database, notes := long_values_of(kept.database, "published")) - 1
    if not last:
        # Of another log, on the pages after it.
        kept.store.publish(f"{origin}/other", 1, LONG * 4)
    damaged(own, kept, notes, page)
    with pytest.raises(DamagedCheckpoint) as error:
        kept.store.published(origin)
    assert error.value.size == 701
    kept.start()
    assert kept.custodian.checkpoint(origin) == before[1]
    assert kept.found() == ["published checkpoint of 701 entries: cannot be read"]
    assert kept.scrub(kept.peer.show()) == (4 if last else 3)
    assert not last or "the table published takes no further row" in kept.said[-1]
    kept.start()
    assert kept.custodian.checkpoint(origin) == kept.peer.note
    if not last:
        kept.append(1)
        kept.custodian.publish(origin, kept.log.witnessed())
        kept.check_whole()


def test_when_no_published_checkpoint_can_be_read_none_is_served_until_it_is_mended(own: Cluster, kept: Kept) -> None:
    damaged(own, kept, "published", 0)
    kept.start()
    assert kept.custodian.checkpoint(kept.log.origin) is None
    assert kept.found() == ["published checkpoint of 700 entries: cannot be read"]
    assert kept.scrub() == 4
    # It is served again, and the next one cannot be stored on that page.
    assert kept.scrub(kept.peer) == 4
    assert "the table published takes no further row" in kept.said[-1]
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
