"""Damage in a custodian's folder: a file that is not as it was written is set aside, and a right one takes its name."""

from __future__ import annotations

import errno
import itertools
import os
from dataclasses import replace
from pathlib import Path

import pytest

from audit.log.export import check_tiles
from audit.log.merkle import frontier
from tests.vault.conftest import CUSTODIANS, NOW, Growing, Served
from tests.vault.fixed_keys import FixedKeys
from tests.vault.folders import make_folder, opened
from tests.vault.followed import Watch
from tests.vault.sources import Shown
from vault.custodian.cosign import Head
from vault.custodian.custody import Custodian
from vault.custodian.disk import RealDisk
from vault.custodian.folder_mending import MendableFolder
from vault.custodian.mending import Scrub
from vault.custodian.storage import FOLLOWER, Damaged
from vault.custodian.stored import StoreReader, signed_head

_numbers = itertools.count()


class Kept:
    """A custodian in a folder that holds 700 entries, the last hundred of them staged before their head, and a peer."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        self.folder = folder
        self.log = Growing(f"vote.example/folder-{next(_numbers)}")
        self.keys = FixedKeys(self.log.policy)
        self.said: list[str] = []
        self.time = NOW
        self.open()
        for count in (200, 200, 200):
            self.append(count)
        self.log.grow(100)
        self.store.stage(self.log.origin, 600, [self.log.source(0, i) for i in range(600, 700)], self.log.entries[600:])
        self.custodian.append(self.log.origin, self.log.append(600))
        self.peer = Shown(self.log).show()
        self.custodian.publish(self.log.origin, self.peer.note)

    def open(self) -> None:
        self.store = opened(self.folder, [self.log.origin])
        self.custodian = Custodian(self.store, {self.log.origin: self.keys}, CUSTODIANS[0], lambda: self.time)

    def append(self, count: int) -> None:
        old = self.log.grow(count)
        self.custodian.append(self.log.origin, self.log.append(old))

    def file(self, kind: str, number: int) -> Path:
        digits = f"{number:012d}"
        (log,) = (self.folder / "logs").iterdir()
        return log / kind / digits[:3] / digits[3:6] / digits[6:9] / digits[9:]

    def flip(self, kind: str, number: int, byte: int) -> None:
        file = self.file(kind, number)
        raw = bytearray(file.read_bytes())
        raw[byte] ^= 1
        file.write_bytes(raw)

    def scrub(self, *peers: Shown) -> int:
        self.said.clear()
        return Scrub(self.store, self.keys, peers, self.said.append, clock=lambda: NOW + 9).run()

    def check_whole(self, time: int = NOW) -> None:
        self.open()
        self.time = time
        check_tiles(StoreReader(self.store, self.log.origin), signed_head(self.store.newest(self.log.origin)))
        assert self.scrub() == 0
        self.append(1)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "kept")


LOST = [
    ("heads", 200, -40, "leaf hashes", False),
    ("heads", 200, 8_000, "an entry", True),
    ("heads", 200, 40, "what it says it holds", True),
    ("heads", 0, 40, "the first of all", True),
    ("staged", 600, -40, "leaf hashes of entries that came before their head", False),
    ("staged", 600, 1000, "an entry that came before its head", True),
    ("staged", 600, 40, "what it says it holds", True),
]


@pytest.mark.parametrize(("kind", "number", "byte", "what", "peer"), LOST)
def test_a_damaged_file_is_set_aside_and_written_anew(
    kept: Kept, kind: str, number: int, byte: int, what: str, peer: bool
) -> None:
    kept.flip(kind, number, byte)
    damaged = kept.file(kind, number).read_bytes()
    if peer:
        assert kept.scrub() == 4, what
    assert kept.scrub(*[kept.peer] * peer) == 3, kept.said
    assert [file.read_bytes() for file in (kept.folder / "aside").iterdir()] == [damaged]
    kept.check_whole()


def test_a_file_that_is_gone_is_written_anew(kept: Kept) -> None:
    kept.file("heads", 200).unlink()
    assert kept.scrub(kept.peer) == 3, kept.said
    kept.check_whole()


def test_a_published_checkpoint_is_mended(kept: Kept) -> None:
    kept.flip("published", 700, 60)
    assert kept.scrub(kept.peer) == 3, kept.said
    assert kept.store.published(kept.log.origin) == (700, kept.peer.note)
    kept.check_whole()


def test_while_a_published_checkpoint_is_damaged_the_one_before_is_served(kept: Kept) -> None:
    newer = kept.peer
    kept.append(1)
    newer.show()
    kept.custodian.publish(kept.log.origin, newer.note)
    kept.append(1)
    kept.flip("published", 701, 60)
    kept.open()
    assert kept.custodian.checkpoint(kept.log.origin) == kept.store.published(kept.log.origin, 701)[1]
    assert kept.scrub() == 4
    assert f"{kept.log.origin}: published checkpoint of 701 entries: cannot be read" in kept.said
    # The peer has published no more than that, and not the 702 that are held here.
    assert kept.scrub(newer) == 3, kept.said
    assert kept.store.published(kept.log.origin) == (701, newer.note)


@pytest.mark.parametrize("how", ["flip", "unlink"])
@pytest.mark.parametrize("more", [0, 100])
def test_the_newest_head_is_mended_by_what_was_published_of_it(kept: Kept, more: int, how: str) -> None:
    # Its entries came before it, or with it, and end a bundle.
    for _ in range(more and 1):
        kept.append(more)
        kept.custodian.publish(kept.log.origin, kept.peer.show().note)
    number = 700 if more else 600
    if how == "flip":
        kept.flip("heads", number, 40)
    else:
        kept.file("heads", number).unlink()
    before = kept.custodian.checkpoint(kept.log.origin)
    kept.log.grow(1)
    with pytest.raises(Damaged):
        kept.custodian.append(kept.log.origin, kept.log.append(700 + more))
    kept.log.entries.pop()
    # It begins, serves readers and signs nothing.
    kept.open()
    assert kept.custodian.checkpoint(kept.log.origin) == before
    if more or how == "flip":
        assert kept.scrub() == 4
        assert kept.scrub(kept.peer) == 3, kept.said
    else:
        # All of its entries can be read, and lead to the root.
        assert kept.scrub() == 3, kept.said
    head = kept.store.newest(kept.log.origin)
    assert (head.old_size, head.size, head.time) == (number, 700 + more, NOW + 9)
    kept.open()
    kept.check_whole(NOW + 9)


def test_a_sector_that_cannot_be_read_is_mended(kept: Kept) -> None:
    disk, bad = RealDisk(), kept.file("heads", 200)
    read = disk.read

    def read_around(path: str, start: int = 0, length: int = -1) -> bytes:
        if Path(path).samefile(bad) and bad in broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(path, start, length)

    broken = {bad}
    disk.read = read_around  # type: ignore[method-assign]
    kept.store = opened(kept.folder, [kept.log.origin], disk)
    # What takes its name stands elsewhere on the disk.
    mend = disk.replace
    disk.replace = lambda path, name: (mend(path, name), broken.clear())[0]  # type: ignore[method-assign]
    assert kept.scrub(kept.peer) == 3, kept.said
    assert f"{kept.log.origin}: entry 200: cannot be read" in kept.said
    kept.check_whole()


def test_a_newest_head_that_was_not_published_is_not_made_up(kept: Kept) -> None:
    kept.append(1)
    kept.flip("heads", 700, 40)
    assert kept.scrub(kept.peer.show()) == 4
    assert "rebuild this custodian" in kept.said[-1]


@pytest.mark.parametrize("how", ["flip", "unlink"])
def test_what_was_stored_ahead_and_is_held_in_part_hinders_no_append_once_it_is_mended(
    in_folder: Served, tmp_path: Path, how: str
) -> None:
    # As a rebuild leaves it that was broken off, and went on with a peer that has less.
    served, origin = in_folder, in_folder.log.origin
    served.log.grow(512)
    leaves, store = [served.log.source(0, i) for i in range(512)], served.store()
    for start in (0, 256):
        store.stage(origin, start, leaves[start : start + 256], served.log.entries[start : start + 256])
    served.cosigned(served.log.append(0, 200))
    assert served.post("publish", served.log.witnessed(200)).status_code == 204
    (file,) = tmp_path.glob("logs/*/staged/000/000/000/000")
    if how == "unlink":
        file.unlink()
    else:
        raw = bytearray(file.read_bytes())
        raw[-40] ^= 1
        file.write_bytes(raw)
    peer = Shown(Growing(origin, served.log.entries[:200])).show()
    said: list[str] = []
    assert isinstance(store, MendableFolder)
    assert Scrub(store, FixedKeys(served.log.policy), [peer], said.append, clock=lambda: NOW).run() == 3, said
    served.restart()
    served.cosigned(served.log.append(200, 300))
    assert served.store().entries(origin, 0, 300) == served.log.entries[:300]


def following(folder: Path) -> Watch:
    """A follower with a folder, whose clock was once a third of a year ahead."""
    folder.mkdir(mode=0o700)
    make_folder(str(folder / "kept"))
    origin = f"vote.example/followed-{next(_numbers)}"
    store = MendableFolder(str(folder / "kept"), [origin])
    store.keep(origin, FOLLOWER)
    watch = Watch(store, folder, origin=origin)
    watch.time = 1e7
    watch.fill(10)
    watch.time = 100
    return watch


def scrubbed(watch: Watch) -> tuple[int, list[str]]:
    said: list[str] = []
    keys, peers = FixedKeys(watch.log.policy), [watch.sources[0]]
    assert isinstance(watch.store, MendableFolder)
    return Scrub(watch.store, keys, peers, said.append, clock=lambda: NOW + 200).run(), said


def test_the_newest_head_of_one_that_follows_is_mended_whatever_its_clock_says(tmp_path: Path) -> None:
    watch = following(tmp_path / "watch")
    watch.fill(10)
    newest = watch.store.newest(watch.log.origin)
    (file,) = tmp_path.glob("watch/kept/logs/*/heads/000/000/000/010")
    raw = bytearray(file.read_bytes())
    raw[40] ^= 1
    file.write_bytes(raw)
    code, said = scrubbed(watch)
    assert code == 3, said
    assert watch.store.newest(watch.log.origin) == replace(newest, time=NOW + 10**7)


def test_in_what_order_one_that_follows_was_given_heads_is_no_damage(tmp_path: Path) -> None:
    # By a version that stored the time of its clock.
    watch = following(tmp_path / "watch")
    old = watch.log.grow(1)
    head, grown = watch.log.head(), frontier(watch.log.source, 11)
    new = Head(old, 11, head.root, grown.to_bytes(), watch.log.note(head).raw, NOW)
    watch.store.append(watch.log.origin, new, [watch.log.source(0, old)], watch.log.entries[old:])
    assert scrubbed(watch) == (0, [f"{watch.log.origin}: all right, 11 entries"])
