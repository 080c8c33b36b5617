"""A custodian that pulls: it keeps only what is proven, whatever comes between, and waits for nobody."""

from __future__ import annotations

import pytest

from audit.log.export import check_tiles
from audit.log.tiles import bundle_path, frame
from audit.log.treehead import Checkpoint
from tests.vault.conftest import CUSTODIANS, LOG, NOW
from tests.vault.followed import Watch
from vault.custodian.sql_store import SqlStore
from vault.custodian.stored import StoreReader, signed_head


@pytest.mark.parametrize("steps", [(1,), (300,), (256, 256), (3, 250, 10, 1000), (1100,)])
def test_what_is_proven_is_kept_whole_and_served_as_tiles(watch: Watch, steps: tuple[int, ...]) -> None:
    watch.fill(*steps)
    assert watch.held() == watch.log.entries
    assert watch.store.published(watch.log.origin) == (sum(steps), watch.sources[0].note)
    check_tiles(StoreReader(watch.store, watch.log.origin), signed_head(watch.store.newest(watch.log.origin)))


def test_a_clock_that_was_set_back_brings_the_times_of_heads_in_no_disorder(watch: Watch) -> None:
    for second in (50.0, 10.0, 60.0):
        watch.time = second
        watch.fill(3)
    times = [watch.store.head_at(watch.log.origin, size).time - NOW for size in (3, 6, 9)]  # type: ignore[union-attr]
    assert times == [50, 50, 60]


def test_a_head_that_fewer_than_w_have_cosigned_is_not_kept(watch: Watch) -> None:
    watch.log.grow(3)
    watch.sources[0].show(custodians=1)
    assert watch.raised() == {}
    assert watch.held() == []


def test_a_head_that_the_log_has_not_signed_is_not_kept(watch: Watch) -> None:
    watch.log.grow(3)
    head = watch.log.head()
    watch.sources[0].note = watch.log.note(head, [LOG[0], *CUSTODIANS[0], *CUSTODIANS[1]]).raw
    assert watch.raised() == {}
    assert watch.held() == []


def test_a_wrong_entry_is_never_kept(watch: Watch) -> None:
    watch.log.grow(600)
    path = bundle_path(1)
    watch.sources[0].show().instead[path] = frame([*watch.log.entries[256:511], b"other"])
    assert watch.raised() == {"changed": 1}
    assert watch.held() == []
    # What came before it may stand already, without a head; the next round goes on from there.
    assert watch.store.staged(watch.log.origin) <= 256
    watch.sources[0].instead.clear()
    watch.follower.round()
    assert watch.held() == watch.log.entries


def test_a_crash_before_the_head_loses_nothing_and_stores_nothing_twice(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.fill(10)
    watch.log.grow(1500)
    watch.sources[0].show()
    with monkeypatch.context() as patch:
        patch.setattr(SqlStore, "append", lambda *_: (_ for _ in ()).throw(OSError("power cut")))
        with pytest.raises(OSError, match="power cut"):
            watch.follower.round()
    assert watch.store.newest(watch.log.origin).size == 10
    assert watch.store.staged(watch.log.origin) == 1510
    watch.begin()
    assert watch.raised() == {}
    assert watch.held() == watch.log.entries


def test_a_crash_before_publishing_is_made_good(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.log.grow(10)
    watch.sources[0].show()
    with monkeypatch.context() as patch:
        patch.setattr(SqlStore, "publish", lambda *_: (_ for _ in ()).throw(OSError("power cut")))
        with pytest.raises(OSError, match="power cut"):
            watch.follower.round()
    watch.begin().round()
    assert watch.store.published(watch.log.origin)[0] == 10


def test_after_a_crash_before_publishing_nothing_is_published_that_too_few_have_cosigned(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a size the first that is published stands: readers would be shown for good what they cannot take."""
    watch.log.grow(10)
    (source,) = watch.sources
    source.show()
    with monkeypatch.context() as patch:
        patch.setattr(SqlStore, "publish", lambda *_: (_ for _ in ()).throw(OSError("power cut")))
        with pytest.raises(OSError, match="power cut"):
            watch.follower.round()
    source.show(custodians=1)
    assert watch.begin().round() is None
    assert watch.store.published(watch.log.origin)[0] == 0
    source.show()
    watch.follower.round()
    assert watch.store.published(watch.log.origin) == (10, source.note)


def test_another_logs_checkpoint_is_nothing(watch: Watch) -> None:
    watch.fill(3)
    elsewhere = Checkpoint("vote.example/elsewhere", 3, watch.log.head().root)
    watch.sources[0].note = watch.log.note(elsewhere, [*LOG, *CUSTODIANS[0], *CUSTODIANS[1]]).raw
    assert watch.raised() == {}
