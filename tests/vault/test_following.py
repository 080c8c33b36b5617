"""A custodian that pulls: it keeps only what is proven, and raises the one alarm that is due."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from audit.log.encoding import decode_base64
from audit.log.export import check_tiles
from audit.log.merkle import verify_consistency
from audit.log.notes import Note, parse_note
from audit.log.tiles import bundle_path, frame, tile_path
from audit.log.treehead import Checkpoint, parse_checkpoint
from tests.databases import Database
from tests.vault.conftest import CUSTODIANS, LOG, NOW, Growing
from tests.vault.fixed_keys import FixedKeys
from tests.vault.sources import Shown
from vault.custodian.alarms import Alarms
from vault.custodian.following import Follower, Fork
from vault.custodian.sql_store import SqlStore
from vault.custodian.storage import Store
from vault.custodian.stored import StoreReader, signed_head

_numbers = itertools.count()


class Watch:
    """A follower of a log of its own, over one or more sources."""

    def __init__(self, store: Store, folder: Path, sources: int = 1, **settings: float) -> None:
        self.store, self.folder, self.settings = store, folder, settings
        self.log = Growing(f"vote.example/followed-{next(_numbers)}")
        self.sources = [Shown(self.log, f"http://source-{i}.example:80/x") for i in range(sources)]
        self.time = 0.0
        self.begin()

    def begin(self) -> Follower:
        """The process begins, perhaps again."""
        self.alarms = Alarms(self.folder / "evidence")
        self.follower = Follower(
            self.store,
            FixedKeys(self.log.policy),
            self.sources,
            self.alarms,
            self.folder / "shown.json",
            clock=lambda: self.time,
            now=lambda: NOW + int(self.time),
            choose=lambda n: n - 1,
            silence=self.settings.get("silence", 100.0),
            idle=self.settings.get("idle"),
            sample=int(self.settings.get("sample", 2)),
        )
        return self.follower

    def fill(self, *steps: int) -> None:
        """The log grows, every source shows it, and the follower takes it."""
        for count in steps:
            self.log.grow(count)
            for source in self.sources:
                source.show()
            self.follower.round()
        assert not self.alarms.raised

    def raised(self) -> dict[str, int]:
        """The alarms of one round."""
        self.alarms.raised.clear()
        self.follower.round()
        return dict(self.alarms.raised)

    def held(self) -> list[bytes]:
        newest = self.store.newest(self.log.origin)
        return self.store.entries(self.log.origin, 0, newest.size)

    def evidence(self, kind: str) -> dict:
        (file,) = self.folder.glob(f"evidence/{kind}-*.json")
        return json.loads(file.read_bytes())


@pytest.fixture
def watch(database: Database, tmp_path: Path) -> Watch:
    return Watch(SqlStore(database.engine), tmp_path)


def forked(log: Growing, number: int, size: int) -> Growing:
    """The log that an operator shows to others: another entry at `number`, and as many entries as said."""
    other = Growing(log.origin, [*log.entries[:number], b"another"])
    other.grow(size - len(other.entries))
    return other


@pytest.mark.parametrize("steps", [(1,), (300,), (256, 256), (3, 250, 10, 1000), (1100,)])
def test_what_is_proven_is_kept_whole_and_served_as_tiles(watch: Watch, steps: tuple[int, ...]) -> None:
    watch.fill(*steps)
    assert watch.held() == watch.log.entries
    assert watch.store.published(watch.log.origin) == (sum(steps), watch.sources[0].note)
    check_tiles(StoreReader(watch.store, watch.log.origin), signed_head(watch.store.newest(watch.log.origin)))


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


def check_proof_of_fork(watch: Watch) -> None:
    """What is kept shows the contradiction to anybody who has the log's keys."""
    kept = watch.evidence("fork")
    notes = {name: parse_note(kept[name].encode()) for name in ("held", "other")}
    heads = {name: parse_checkpoint(note.text) for name, note in notes.items()}
    for note in notes.values():
        for key, line in zip(LOG, note.signatures, strict=False):
            key.verifier.verify(note.text, line.sig)
    larger = heads.pop(kept["larger"])
    (smaller,) = heads.values()
    root = decode_base64(kept["root"], "root")
    verify_consistency(smaller.size, root, larger.size, larger.root, [decode_base64(h, "h") for h in kept["proof"]])
    assert root != smaller.root


@pytest.mark.parametrize("size", [3, 9, 10, 11, 300, 700])
def test_a_fork_ends_it_with_both_notes_as_evidence(watch: Watch, size: int) -> None:
    watch.fill(10)
    other = Shown(forked(watch.log, 2, size)).show()
    watch.sources[0].log, watch.sources[0].note = other.log, other.note
    with pytest.raises(Fork, match="FORK"):
        watch.follower.round()
    assert watch.alarms.code == 3
    assert watch.held() == watch.log.entries
    check_proof_of_fork(watch)


@pytest.mark.parametrize("size", [8, 20, 300])
def test_a_fork_that_the_log_alone_has_signed_is_one(watch: Watch, size: int) -> None:
    watch.fill(10)
    other = Shown(forked(watch.log, 2, size)).show(custodians=0)
    watch.sources[0].log, watch.sources[0].note = other.log, other.note
    with pytest.raises(Fork):
        watch.follower.round()
    check_proof_of_fork(watch)


def test_a_fork_between_two_sources_is_found(database: Database, tmp_path: Path) -> None:
    watch = Watch(SqlStore(database.engine), tmp_path, sources=2)
    watch.fill(5)
    other = Shown(forked(watch.log, 5, 9)).show()
    watch.log.grow(7)
    watch.sources[0].show()
    watch.sources[1].log, watch.sources[1].note = other.log, other.note
    with pytest.raises(Fork):
        watch.follower.round()


def test_a_head_over_tiles_that_are_not_its_own_is_no_fork(watch: Watch) -> None:
    # Whoever serves tiles can make any up; only what they prove is held against the log.
    watch.fill(10)
    other = forked(watch.log, 2, 20)
    watch.sources[0].note = Shown(other).show().note
    watch.log.grow(10)
    assert watch.raised() == {"changed": 1}
    assert len(watch.held()) == 10


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


def test_silence_is_no_answer_for_too_long_and_an_idle_log_is_not_silent(database: Database, tmp_path: Path) -> None:
    watch = Watch(SqlStore(database.engine), tmp_path, sources=2, silence=100)
    watch.fill(10)
    watch.time = 10_000
    assert watch.raised() == {}
    watch.sources[1].down = True
    watch.time += 99
    assert watch.raised() == {}
    watch.time += 1
    assert watch.raised() == {"silence": 1}
    assert watch.alarms.code == 7
    watch.sources[1].down = False
    assert watch.raised() == {}


def test_a_source_that_stands_still_behind_another_is_silent(database: Database, tmp_path: Path) -> None:
    watch = Watch(SqlStore(database.engine), tmp_path, sources=2, silence=100)
    watch.fill(10)
    watch.log.grow(10)
    watch.sources[0].show()
    watch.time = 99
    assert watch.raised() == {}
    # It lags, and goes on.
    watch.sources[1].show(15)
    assert watch.raised() == {}
    watch.time = 198
    assert watch.raised() == {}
    watch.time = 199
    assert watch.raised() == {"silence": 1}
    watch.sources[1].show()
    assert watch.raised() == {}


def test_a_source_that_shows_nothing_of_use_is_silent(watch: Watch) -> None:
    watch.fill(10)
    watch.log.grow(1)
    watch.sources[0].show(custodians=1)
    watch.time = 99
    assert watch.raised() == {}
    watch.time = 100
    assert watch.raised() == {"silence": 1}


@pytest.mark.parametrize("restart", [False, True])
def test_a_log_that_is_said_to_go_on_is_silent_when_nobody_has_cosigned_since(
    database: Database, tmp_path: Path, restart: bool
) -> None:
    watch = Watch(SqlStore(database.engine), tmp_path, idle=500)
    watch.fill(10)
    watch.time = 499
    assert watch.raised() == {}
    if restart:
        watch.begin()
    watch.time = 500
    assert watch.raised() == {"silence": 1}
    # A custodian whose clock is ahead, or that lies, does not hide it.
    watch.log.grow(1)
    text = watch.log.head().text
    times = {key: NOW + (10_000 if key in CUSTODIANS[0] else 100) for keys in (LOG, *CUSTODIANS[:2]) for key in keys}
    watch.sources[0].note = Note(text, tuple(key.sign(text, time) for key, time in times.items())).raw
    assert watch.raised() == {}
    watch.time = 600
    assert watch.raised() == {"silence": 1}


def test_another_logs_checkpoint_is_nothing(watch: Watch) -> None:
    watch.fill(3)
    elsewhere = Checkpoint("vote.example/elsewhere", 3, watch.log.head().root)
    watch.sources[0].note = watch.log.note(elsewhere, [*LOG, *CUSTODIANS[0], *CUSTODIANS[1]]).raw
    assert watch.raised() == {}


def test_a_slow_source_holds_up_no_other_and_loses_nothing(database: Database, tmp_path: Path) -> None:
    watch = Watch(SqlStore(database.engine), tmp_path, sources=2, silence=100)
    watch.log.grow(2500)
    slow, quick = watch.sources
    real = slow.bundle

    def bundle(index: int, width: int) -> bytes:
        watch.time += 15
        return real(index, width)

    slow.show().bundle = bundle
    quick.show(5)
    assert watch.raised() == {}
    # Cut off, and the second was asked: what came is kept without a head, whose entries the quick one has not.
    assert "checkpoint" in quick.asked
    assert watch.time <= 50
    assert 0 < watch.store.staged(watch.log.origin) < 2500
    slow.bundle = real
    watch.follower.round()
    assert watch.held() == watch.log.entries


def test_sources_that_are_slow_whatever_they_are_asked_delay_no_alarm(database: Database, tmp_path: Path) -> None:
    watch = Watch(SqlStore(database.engine), tmp_path, sources=4, silence=100, sample=8)
    watch.fill(2500)
    for source in watch.sources:

        def bundle(index: int, width: int, real: Callable[[int, int], bytes] = source.bundle) -> bytes:
            watch.time += 5
            return real(index, width)

        source.bundle = bundle
    assert watch.raised() == {}
    # Each gets its part of half of the silence, and at most one answer more.
    assert watch.time <= 50 + 4 * 5


def test_evidence_does_not_grow_for_ever(watch: Watch) -> None:
    for number in range(150):
        assert (watch.alarms.keep("changed", "one", {"number": number}) is not None) == (number < 100)
    # Nor does one source keep out what is found against another, or of another kind.
    assert watch.alarms.keep("changed", "other", {"number": 0})
    assert watch.alarms.keep("fork", "one", {"number": 0})
    assert len(list(watch.folder.glob("evidence/changed-*.json"))) == 101
    first = watch.alarms.keep("changed", "one", {"number": 0})
    assert first is not None and json.loads(first.read_bytes())["number"] == 0
