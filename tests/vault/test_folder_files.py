"""A custodian's folder, on a disk: whose it is, what may stand in it, and that damage to a file is found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.vault.folders import ORIGIN, entry, head, opened, rows
from vault.custodian.disk import RealDisk
from vault.custodian.folder_store import FolderStore
from vault.custodian.numbered_files import NumberedFiles
from vault.custodian.storage import Damaged, Unsafe


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    store = opened(tmp_path, [ORIGIN])
    store.append(ORIGIN, head(0, 3), *rows(0, 3))
    store.append(ORIGIN, head(3, 4), *rows(3, 4))
    return tmp_path


def the_file(folder: Path, number: int) -> Path:
    (found,) = folder.glob(f"logs/*/heads/000/000/000/{number:03d}")
    return found


def test_files_and_folders_are_its_owners_alone(folder: Path) -> None:
    for path in folder.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    assert list((folder / "new").iterdir()) == []


@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_a_folder_that_others_may_change_is_refused(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    with pytest.raises(Unsafe, match=r"lets others change it; it must be 0700 \(chmod 700\)"):
        FolderStore(str(folder), [ORIGIN])


def test_a_folder_of_another_account_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(Unsafe, match="belongs to another account"):
        FolderStore(str(folder), [ORIGIN])


def test_a_folder_that_holds_other_things_is_refused(folder: Path) -> None:
    (folder / "thesis.tex").write_text("mine")
    with pytest.raises(Unsafe, match=r"'thesis\.tex' is not a custodian's"):
        FolderStore(str(folder), [ORIGIN])


def test_the_folder_of_another_version_is_refused(folder: Path) -> None:
    (folder / "format").write_text("psephos/v2 custodian folder\n")
    with pytest.raises(Unsafe, match="not the folder of a custodian of this version"):
        FolderStore(str(folder), [ORIGIN])


@pytest.mark.parametrize("byte", [3, -3], ids=["first copy", "second copy"])
def test_what_kind_of_folder_it_is_is_known_from_either_copy(folder: Path, byte: int) -> None:
    right = (folder / "format").read_bytes()
    raw = bytearray(right)
    raw[byte] ^= 1
    (folder / "format").write_bytes(raw)
    assert FolderStore(str(folder), [ORIGIN]).newest(ORIGIN) == head(3, 4)
    assert (folder / "format").read_bytes() == right
    assert [file.read_bytes() for file in (folder / "aside").iterdir()] == [raw]


def test_of_a_folder_of_which_that_is_damaged_in_both_it_is_said_what_to_write(folder: Path) -> None:
    raw = bytearray((folder / "format").read_bytes())
    raw[3] ^= 1
    raw[-3] ^= 1
    (folder / "format").write_bytes(raw)
    with pytest.raises(Unsafe, match="or the file is damaged; if you know that it is, write into it") as error:
        FolderStore(str(folder), [ORIGIN])
    # Which is also all that an earlier version wrote.
    (folder / "format").write_text(str(error.value).split("`")[1] + "\n")
    assert FolderStore(str(folder), [ORIGIN]).newest(ORIGIN) == head(3, 4)
    assert not (folder / "aside").exists()


def test_a_foreign_file_within_is_named(folder: Path) -> None:
    (the_file(folder, 3).parent / "003.bak").write_text("")
    with pytest.raises(Damaged, match=r"/003\.bak is not a custodian's"):
        FolderStore(str(folder), [ORIGIN]).newest(ORIGIN)


def test_a_symbolic_link_is_not_followed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = the_file(folder, 3)
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "file"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    with pytest.raises(Damaged, match="is a symbolic link"):
        FolderStore(str(folder), [ORIGIN]).newest(ORIGIN)
    path.unlink()
    elsewhere.rename(path)
    path.parent.rename(elsewhere)
    path.parent.symlink_to(elsewhere)
    with pytest.raises(Damaged, match="is a symbolic link"):
        FolderStore(str(folder), [ORIGIN]).newest(ORIGIN)


def test_what_is_no_file_is_refused(folder: Path) -> None:
    path = the_file(folder, 3)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(Damaged, match="is not a file"):
        FolderStore(str(folder), [ORIGIN]).newest(ORIGIN)
    path.unlink()
    path.mkdir()
    with pytest.raises(Damaged, match="is a folder where a file must be"):
        FolderStore(str(folder), [ORIGIN]).newest(ORIGIN)


def test_any_flipped_bit_is_found_before_it_is_used(folder: Path) -> None:
    path = the_file(folder, 0)
    good = path.read_bytes()
    path.chmod(0o600)
    for place in range(0, len(good), 5):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        store = FolderStore(str(folder), [ORIGIN])
        with pytest.raises(Damaged):
            store.hashes(ORIGIN, 0, 0, 3)
            store.entries(ORIGIN, 0, 3)
    path.write_bytes(good[:-1])
    with pytest.raises(Damaged):
        store.hashes(ORIGIN, 0, 0, 3)


def test_a_file_that_is_gone_is_missed(folder: Path) -> None:
    the_file(folder, 0).unlink()
    store = FolderStore(str(folder), [ORIGIN])
    assert store.entries(ORIGIN, 0, 4) == []
    assert store.entries(ORIGIN, 3, 4) == [entry(3)]


def test_a_file_of_another_log_is_refused(folder: Path) -> None:
    log = the_file(folder, 0).parents[4]
    other = opened(folder, ["vote.example/another"])
    other.append("vote.example/another", head(0, 1), *rows(0, 1))
    (mine,) = (path for path in folder.glob("logs/*") if path != log)
    the_file_there = mine / "heads/000/000/000/000"
    the_file_there.unlink()
    os.link(log / "heads/000/000/000/000", the_file_there)
    with pytest.raises(Damaged, match="of another log"):
        other.newest("vote.example/another")


def test_what_a_crash_left_half_written_is_swept_away(folder: Path) -> None:
    (folder / "new" / "0").write_bytes(b"half")
    FolderStore(str(folder), [ORIGIN])
    assert list((folder / "new").iterdir()) == []


class Beside(RealDisk):
    """At its first `link` another process, as a scrub is one, opens the folder and writes there, too."""

    other: FolderStore | None = None

    def link(self, path: str, new: str) -> None:
        if self.other is None:
            folder = path.rsplit("/new/", 1)[0]
            self.other = opened(folder, ["vote.example/another"])
            self.other.append("vote.example/another", head(0, 7), *rows(0, 7))
        super().link(path, new)


def test_another_process_in_the_folder_takes_nothing_away_and_puts_nothing_under(folder: Path) -> None:
    store = FolderStore(str(folder), [ORIGIN], Beside())
    store.append(ORIGIN, head(4, 6), *rows(4, 6))
    assert FolderStore(str(folder), [ORIGIN]).newest(ORIGIN) == head(4, 6)
    assert store.entries(ORIGIN, 4, 6) == rows(4, 6)[1]


def test_what_is_being_written_is_swept_away_by_nobody(folder: Path) -> None:
    running = FolderStore(str(folder), [ORIGIN])
    (folder / "new" / "half").write_bytes(b"half")
    scrub = FolderStore(str(folder), [ORIGIN])
    assert (folder / "new" / "half").exists()
    del running
    FolderStore(str(folder), [ORIGIN])
    assert (folder / "new" / "half").exists()
    del scrub
    FolderStore(str(folder), [ORIGIN])
    assert not (folder / "new" / "half").exists()


class Counting(RealDisk):
    """Counts how often a folder was listed."""

    listed = 0

    def names(self, path: str) -> list[str]:
        self.listed += 1
        return super().names(path)


def test_files_are_given_in_order_and_each_folder_is_listed_once_when_it_is_come_to(tmp_path: Path) -> None:
    disk, numbers = Counting(), [0, 3, 998, 999, 1000, 1_000_000, 5_000_007, 3_000_000_000]
    files = NumberedFiles(disk, str(tmp_path))
    files.make()
    for number in numbers:
        files.put("tree", number, b"")
    for start in (0, 1, 999, 1000, 1001, 4_999_999, 3_000_000_000, 3_000_000_001):
        assert list(files.ascending("tree", start)) == [number for number in numbers if number >= start]
    disk.listed = 0
    begun = files.ascending("tree")
    # Twice the way down: to the newest, and to the first.
    assert (next(begun), disk.listed) == (0, 8)
    assert (next(begun), disk.listed) == (3, 8)
    disk.listed = 0
    assert len(list(files.ascending("tree"))) == len(numbers)
    assert disk.listed == 4 + 1 + 2 + 4 + 5


def test_before_the_first_head_is_given_not_all_are_listed(folder: Path) -> None:
    disk = Counting()
    store = opened(folder, [ORIGIN], disk)
    for size in range(5, 60):
        store.append(ORIGIN, head(size - 1, size), *rows(size - 1, size))
    disk.listed = 0
    heads = store.heads(ORIGIN)
    assert (next(heads), disk.listed) == (3, 8)
    assert (list(heads), disk.listed) == (list(range(4, 60)), 8)
