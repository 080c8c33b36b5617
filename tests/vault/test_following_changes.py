"""A source that shows less than it did, or other bytes, and a disk that does: the one alarm that is due."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from audit.log.encoding import decode_base64
from audit.log.merkle import leaf_hash
from audit.log.tiles import bundle_path, frame, tile_path
from audit.protocol.refused import Refused
from tests.databases import Database
from tests.vault.fixed_keys import FixedKeys
from tests.vault.followed import Watch
from vault.custodian.sql_store import SqlStore


@pytest.mark.parametrize("restart", [False, True])
def test_a_shrunken_log(watch: Watch, restart: bool) -> None:
    watch.fill(10)
    watch.sources[0].show(7)
    if restart:
        watch.begin()
    assert watch.raised() == {"shrunken": 1}
    assert watch.alarms.code == 5
    watch.sources[0].note = None
    assert watch.raised() == {"shrunken": 1}
    watch.sources[0].show()
    assert watch.raised() == {}


def test_a_source_that_always_was_behind_has_not_shrunk(database: Database, tmp_path: Path) -> None:
    watch = Watch(SqlStore(database.engine), tmp_path, sources=2)
    watch.log.grow(10)
    watch.sources[0].show()
    watch.sources[1].show(4)
    assert watch.raised() == {}
    assert watch.raised() == {}


def test_a_tile_that_is_not_there_any_more(watch: Watch) -> None:
    watch.fill(10)
    watch.sources[0].gone.add(bundle_path(0, 10))
    assert watch.raised() == {"shrunken": 1}


def test_a_changed_byte_in_an_entry(watch: Watch) -> None:
    watch.fill(600)
    watch.sources[0].instead[bundle_path(1)] = frame([*watch.log.entries[256:300], b"x", *watch.log.entries[301:512]])
    # Bundles 0 and 1 were read again as they came; now it is 2, the first and the last once more.
    assert watch.raised() == {}
    assert watch.raised() == {"changed": 1}
    assert watch.alarms.code == 4
    kept = watch.evidence("changed")
    assert (kept["what"], kept["number"]) == ("entry", 300)
    assert decode_base64(kept["held"], "held") == watch.log.entries[300]
    assert decode_base64(kept["other"], "other") == b"x"


@pytest.mark.parametrize(("level", "index", "width"), [(0, 0, 256), (0, 2, 88), (1, 0, 2)])
def test_a_changed_byte_in_a_tile(watch: Watch, level: int, index: int, width: int) -> None:
    watch.fill(600)
    raw = watch.sources[0].tile(level, index, width)
    watch.sources[0].instead[tile_path(level, index, width)] = raw[:-1] + bytes([raw[-1] ^ 1])
    raised = watch.raised() or watch.raised()
    assert set(raised) == {"changed"}
    assert watch.evidence("changed")["what"] == f"tile-{level}"


def test_everything_is_read_again_over_time(database: Database, tmp_path: Path) -> None:
    watch = Watch(SqlStore(database.engine), tmp_path, sample=1)
    watch.fill(2000)
    watch.follower._choose = lambda n: 0
    watch.sources[0].asked.clear()
    for _ in range(8):
        watch.follower.round()
    assert {bundle_path(i) for i in range(7)} | {bundle_path(7, 208)} <= set(watch.sources[0].asked)


def test_what_changed_on_the_own_disk_is_not_held_against_the_source(watch: Watch, monkeypatch) -> None:
    watch.fill(10)
    real: Callable = SqlStore.entries
    monkeypatch.setattr(SqlStore, "entries", lambda *a: [b"rotten", *real(*a)[1:]])
    assert watch.raised() == {"damaged": 1}
    assert watch.alarms.code == 6


@pytest.mark.parametrize("hashed", [False, True], ids=["an entry", "an entry and its hash"])
@pytest.mark.parametrize("size", [20, 30])
def test_nor_is_what_changed_of_what_was_stored_before_its_head(watch: Watch, size: int, hashed: bool) -> None:
    watch.fill(10)
    watch.log.grow(size - 10)
    staged = [b"rotten", *watch.log.entries[11:20]]
    watch.store.stage(
        watch.log.origin, 10, list(map(leaf_hash, staged if hashed else watch.log.entries[10:20])), staged
    )
    watch.sources[0].show()
    assert watch.raised() == {"damaged": 1}
    assert watch.store.newest(watch.log.origin).size == 10


def test_nothing_is_learned_from_an_entry_that_changed(watch: Watch, monkeypatch) -> None:
    watch.fill(10)
    watch.log.grow(20)
    watch.store.stage(watch.log.origin, 10, [leaf_hash(watch.log.entries[10])], [b"a rekey, and nobody has signed it"])
    watch.sources[0].show()

    def learn(keys: FixedKeys, index: int, entry: bytes) -> None:
        if entry.startswith(b"a rekey"):
            raise Refused("not-signed", "by no official")

    monkeypatch.setattr(FixedKeys, "learn", learn)
    assert watch.raised() == {"damaged": 1}


def test_a_source_that_shows_another_tree_than_its_head_says_is_accused_though_something_is_staged(
    watch: Watch,
) -> None:
    watch.fill(10)
    watch.log.grow(20)
    leaves = [watch.log.source(0, index) for index in range(10, 20)]
    watch.store.stage(watch.log.origin, 10, leaves, watch.log.entries[10:20])
    watch.sources[0].show()
    bundle = [*watch.log.entries[:25], b"other", *watch.log.entries[26:]]
    watch.sources[0].instead[bundle_path(0, 30)] = frame(bundle)
    assert set(watch.raised()) == {"changed"}
    # Nor does it help to have tiles that go with it.
    watch.sources[0].instead[tile_path(0, 0, 30)] = b"".join(map(leaf_hash, bundle))
    assert set(watch.raised()) == {"changed"}
    watch.sources[0].instead.clear()
    assert watch.raised() == {}
    assert watch.held() == watch.log.entries


def test_a_damaged_head_is_followed_no_further(watch: Watch, monkeypatch) -> None:
    watch.fill(10)
    real = SqlStore.newest
    for change in (
        lambda h: type(h)(h.old_size, h.size, bytes(32), h.frontier, h.note, h.time),
        lambda h: type(h)(h.old_size, h.size, h.root, h.frontier[:-1] + b"x", h.note, h.time),
        lambda h: type(h)(h.old_size, h.size, h.root, h.frontier, h.note[:-9] + b"AAAAAAAA\n", h.time),
    ):
        monkeypatch.setattr(SqlStore, "newest", lambda *a, change=change: change(real(*a)))
        watch.log.grow(1)
        watch.sources[0].show()
        assert watch.raised() == {"damaged": 1}
        assert real(watch.store, watch.log.origin).size == 10
