"""Damage in a custodian's database: each kind is found, named, mended with proven bytes, and kept as evidence; over
what is not mended nothing is signed that is not true.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest
from sqlalchemy import text

from audit.log.export import check_tiles
from audit.log.tiles import bundle_path, frame
from audit.protocol.refused import Refused
from tests.databases import Database
from tests.vault.conftest import CUSTODIANS, NOW, Growing
from tests.vault.damage import Damage
from tests.vault.fixed_keys import FixedKeys
from tests.vault.sources import Shown
from vault.custodian.custody import Custodian
from vault.custodian.examining import Examiner
from vault.custodian.mending import Scrub
from vault.custodian.scrubbing import Examination
from vault.custodian.sql_store import SqlStore
from vault.custodian.storage import Damaged
from vault.custodian.stored import StoreReader, signed_head

_numbers = itertools.count()


@dataclass
class Kept:
    """A custodian that holds 700 entries, appended in four steps, and a peer that shows all of them."""

    database: Database
    log: Growing = field(default_factory=lambda: Growing(f"vote.example/scrubbed-{next(_numbers)}"))
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = SqlStore(self.database.engine)
        self.damage = Damage(self.database, self.log.origin)
        self.start()
        # What it publishes bears the line that it stated.
        self.log.time = self.time
        for count in (200, 200, 200, 100):
            self.append(count)
        self.peer = Shown(self.log).show()
        self.custodian.publish(self.log.origin, self.peer.note)

    def start(self) -> None:
        self.time = max(NOW, self.store.last_time())
        keys = {self.log.origin: FixedKeys(self.log.policy)}
        self.custodian = Custodian(self.store, keys, CUSTODIANS[0], lambda: self.time)

    def append(self, count: int) -> bytes:
        old = self.log.grow(count)
        return self.custodian.append(self.log.origin, self.log.append(old))

    def scrub(self, *peers: Shown) -> int:
        self.said.clear()
        keys, names = FixedKeys(self.log.policy), [CUSTODIANS[0][0].name]
        return Scrub(self.store, keys, peers, self.said.append, clock=lambda: self.time, names=names).run()

    def found(self) -> list[str]:
        return [str(fault) for fault in Examination(self.store, FixedKeys(self.log.policy)).run().faults]

    def check_whole(self) -> None:
        """What is served is the log, to the last tile."""
        reader = StoreReader(self.store, self.log.origin)
        check_tiles(reader, signed_head(self.store.newest(self.log.origin)))
        assert self.found() == []
        assert self.scrub() == 0


@pytest.fixture
def kept(database: Database) -> Kept:
    return Kept(database)


def test_what_is_whole_is_all_right(kept: Kept) -> None:
    assert kept.scrub() == 0
    assert kept.said == [f"{kept.log.origin}: all right, 700 entries"]


ENTRY = [
    ("flip", "entry", "data", "index = 300", "entry 300: is not as it was stored"),
    ("flip", "entry", "data", "index = 699", "entry 699: is not as it was stored"),
    ("remove", "entry", "", "index = 300", "entry 300: is missing"),
    ("remove", "entry", "", "index = 699", "entry 699: is missing"),
]
HASH = [
    ("flip", "entry", "leaf", "index = 300", "leaf hash 300: is not as it was stored"),
    ("flip", "entry", "leaf", "index = 699", "leaf hash 699: is not as it was stored"),
    ("flip", "node", "hash", "level = 1 AND index = 1", "tile hash 1/1: is not as it was stored"),
    ("remove", "node", "", "level = 1 AND index = 1", "tile hash 1/1: is missing"),
    ("flip", "head", "root", "size = 400", "head of 400 entries: is not as it was stored"),
    ("flip", "head", "frontier", "size = 400", "head of 400 entries: is not as it was stored"),
    ("flip", "head", "note", "size = 400", "head of 400 entries: is not as it was stored"),
    ("remove", "head", "", "size = 400", "head of 400 entries: is missing"),
]


def harm(kept: Kept, how: str, table: str, column: str, where: str) -> None:
    if how == "flip":
        kept.damage.flip(table, column, where)
    else:
        kept.damage.remove(table, where)


@pytest.mark.parametrize(("how", "table", "column", "where", "said"), ENTRY)
def test_an_entry_is_mended_from_a_peer_and_from_nowhere_else(
    kept: Kept, how: str, table: str, column: str, where: str, said: str
) -> None:
    harm(kept, how, table, column, where)
    assert said in kept.found()
    assert kept.scrub() == 4
    assert f"{kept.log.origin}: {said}: not repaired" in kept.said
    assert kept.scrub(kept.peer) == 3
    number = said.split(":")[0]
    assert f"{kept.log.origin}: {number}: mended from {kept.peer}" in kept.said
    kept.check_whole()


@pytest.mark.parametrize(("how", "table", "column", "where", "said"), HASH)
def test_what_follows_from_the_entries_is_mended_without_a_peer(
    kept: Kept, how: str, table: str, column: str, where: str, said: str
) -> None:
    harm(kept, how, table, column, where)
    assert said in kept.found()
    assert kept.scrub() == 3
    kept.check_whole()


def test_the_damaged_row_stays_as_evidence(kept: Kept) -> None:
    kept.damage.flip("entry", "data", "index = 300")
    assert kept.scrub(kept.peer) == 3
    with kept.database.engine.connect() as connection:
        query = text("SELECT data FROM public.entry WHERE origin = :o AND index = 300")
        assert bytes(connection.scalar(query, {"o": kept.log.origin})) != kept.log.entries[300]
    assert kept.store.entries(kept.log.origin, 299, 302) == kept.log.entries[299:302]


def test_a_repair_that_is_damaged_is_repaired(kept: Kept) -> None:
    kept.damage.flip("entry", "data", "index = 300")
    assert kept.scrub(kept.peer) == 3
    kept.damage.flip("mended", "data", "number = 300")
    assert kept.scrub(kept.peer) == 3
    kept.check_whole()


def test_a_published_checkpoint_is_mended_from_a_peer(kept: Kept) -> None:
    kept.damage.flip("published", "note", "size = 700", 40)
    assert kept.scrub() == 4
    assert kept.scrub(kept.peer) == 3
    assert kept.store.published(kept.log.origin) == (700, kept.peer.note)
    kept.check_whole()


def test_an_entry_its_hash_and_its_tile_changed_alike_are_found_with_a_peer(kept: Kept) -> None:
    # Whoever owns the database can make the three agree; the signed root he cannot make agree.
    other = Growing(kept.log.origin, [*kept.log.entries[:300], b"other", *kept.log.entries[301:]])
    leaf, node = other.source(0, 300), other.source(8, 1)
    set_entry = "UPDATE entry SET data = :d, leaf = :l WHERE origin = :o AND index = 300"
    kept.damage.do("entry", set_entry, d=b"other", l=leaf)
    kept.damage.do("node", "UPDATE node SET hash = :h WHERE origin = :o AND level = 1 AND index = 1", h=node)
    assert kept.found() == ["tree of 700 entries: is not as it was stored"]
    assert kept.scrub() == 4
    assert kept.scrub(kept.peer) == 3
    kept.check_whole()


def test_many_faults_at_once(kept: Kept) -> None:
    kept.damage.flip("entry", "data", "index IN (0, 10, 500, 650)")
    kept.damage.remove("entry", "index BETWEEN 250 AND 270")
    kept.damage.flip("entry", "leaf", "index = 100")
    kept.damage.flip("node", "hash", "level = 1")
    kept.damage.remove("head", "size = 200")
    assert kept.scrub(kept.peer) == 3
    kept.check_whole()


def test_a_peer_that_lies_mends_nothing(kept: Kept) -> None:
    kept.damage.flip("entry", "data", "index = 300")
    kept.peer.instead[bundle_path(1)] = frame([*kept.log.entries[256:300], b"lie", *kept.log.entries[301:512]])
    assert kept.scrub(kept.peer) == 4
    honest = Shown(kept.log, "http://honest.example/x").show()
    assert kept.scrub(kept.peer, honest) == 3
    assert f"{kept.log.origin}: entry 300: mended from {honest}" in kept.said
    kept.check_whole()


def test_a_peer_whose_checkpoint_fewer_than_w_have_cosigned_mends_nothing(kept: Kept) -> None:
    kept.damage.flip("entry", "data", "index = 300")
    assert kept.scrub(kept.peer.show(custodians=1)) == 4
    assert any("not-witnessed" in line or "cosigned by 1" in line for line in kept.said)


def test_a_peer_with_another_tree_is_told_and_mends_nothing(kept: Kept) -> None:
    kept.damage.flip("entry", "data", "index = 300")
    other = Growing(kept.log.origin, [*kept.log.entries[:290], b"other", *kept.log.entries[291:]])
    assert kept.scrub(Shown(other).show()) == 4
    assert any("FORK" in line for line in kept.said)


@pytest.mark.parametrize(("how", "table", "column", "where", "said"), [*ENTRY[:1], *ENTRY[2:3], *HASH[:1], *HASH[2:3]])
def test_one_that_begins_signs_nothing_before_it_has_read_everything_and_nothing_over_damage(
    kept: Kept, how: str, table: str, column: str, where: str, said: str
) -> None:
    keys = {kept.log.origin: FixedKeys(kept.log.policy)}
    old = kept.log.grow(1)
    body = kept.log.append(old)

    def refused(examiner: Examiner) -> str:
        custodian = Custodian(kept.store, keys, CUSTODIANS[0], lambda: kept.time, examiner.check)
        with pytest.raises(Refused) as refusal:
            custodian.append(kept.log.origin, body)
        return str(refusal.value)

    harm(kept, how, table, column, where)
    examiner = Examiner(kept.store, keys)
    assert "before" in refused(examiner)
    examiner.run()
    assert said in refused(examiner)
    del kept.log.entries[old:]
    assert kept.scrub(kept.peer) == 3
    examiner = Examiner(kept.store, keys)
    examiner.run()
    custodian = Custodian(kept.store, keys, CUSTODIANS[0], lambda: kept.time, examiner.check)
    assert custodian.append(kept.log.origin, body)


def test_hashes_that_changed_since_get_into_no_new_tile(kept: Kept) -> None:
    # Of the tile that is begun: the next append completes it.
    kept.damage.flip("entry", "leaf", "index = 600")
    with pytest.raises(Damaged, match="stored at the edge"):
        kept.append(100)
    kept.log.entries[700:] = []
    assert kept.scrub() == 3
    kept.append(100)
    kept.check_whole()


def test_a_head_that_was_mended_stands_between_its_neighbours(kept: Kept) -> None:
    kept.damage.remove("head", "size = 400")
    assert kept.scrub() == 3
    sizes = [head and head.size for head in (kept.store.head_after(kept.log.origin, at) for at in (0, 200, 400, 700))]
    assert sizes == [200, 400, 600, None]
    # One that has no time says nothing of the times of those beside it.
    assert kept.custodian.append(kept.log.origin, kept.log.append(0, 200))
    assert kept.custodian.append(kept.log.origin, kept.log.append(400, 600))


def test_a_mended_head_whose_time_is_lost_is_never_signed_again(kept: Kept) -> None:
    again = kept.log.append(200, 400)
    first = kept.custodian.append(kept.log.origin, again)
    assert first
    kept.damage.remove("head", "size = 400")
    assert kept.scrub() == 3
    with pytest.raises(Exception, match="this custodian holds 700 entries"):
        kept.custodian.append(kept.log.origin, again)


def test_a_peer_that_gives_nothing_is_asked_once_and_then_last(kept: Kept) -> None:
    for index in (10, 300, 520):
        kept.damage.flip("entry", "data", f"index = {index}")
    other = Shown(kept.log, "http://dead.example/x").show()
    other.gone = {bundle_path(0), bundle_path(1), bundle_path(2, 700 - 512)}
    assert kept.scrub(other, kept.peer) == 3, kept.said
    assert [path for path in other.asked if path in other.gone] == [bundle_path(0)]
    kept.check_whole()
