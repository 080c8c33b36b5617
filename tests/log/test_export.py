"""A record: written whole, and refused for every byte, file or entry that is not the one the checkpoint covers."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.log.export import check_folder, check_tiles, export_record
from audit.log.reader import FolderReader, ReadError, open_head
from audit.log.tiles import frame, unframe
from tests.log.sample import POLICY, MemoryReader, some_entries

SIZE = 600


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "record"
    export_record(MemoryReader(some_entries(SIZE)), POLICY, folder)
    return folder


@pytest.fixture
def copy(record: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(record, tmp_path / "record"))


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(folder: Path) -> ReadError:
    with pytest.raises(ReadError) as error:
        check_folder(folder, POLICY)
    return error.value


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 512, 600])
def test_exactly_the_files_of_a_tree(size: int, tmp_path: Path) -> None:
    reader = MemoryReader(some_entries(size))
    head = export_record(reader, POLICY, tmp_path / "record")
    assert files_in(tmp_path / "record") == reader.files
    assert check_folder(tmp_path / "record", POLICY) == head


def test_a_tree_of_three_levels(tmp_path: Path) -> None:
    reader = MemoryReader(some_entries(65_536 + 257))
    export_record(reader, POLICY, tmp_path)
    assert files_in(tmp_path) == reader.files
    assert "tile/2/000.p/1" in reader.files
    check_folder(tmp_path, POLICY)


def test_an_empty_log(tmp_path: Path) -> None:
    export_record(MemoryReader([]), POLICY, tmp_path)
    assert list(files_in(tmp_path)) == ["checkpoint"]
    assert check_folder(tmp_path, POLICY).size == 0


def test_nothing_published(tmp_path: Path) -> None:
    reader = MemoryReader(some_entries(3))
    del reader.files["checkpoint"]
    assert export_record(reader, POLICY, tmp_path / "record") is None
    assert not (tmp_path / "record").exists()


def test_never_over_anything(copy: Path) -> None:
    before = files_in(copy)
    with pytest.raises(ReadError) as error:
        export_record(MemoryReader(some_entries(SIZE)), POLICY, copy)
    assert error.value.reason == "exists"
    assert files_in(copy) == before


def test_a_custodian_that_lies_leaves_no_record(tmp_path: Path) -> None:
    reader = MemoryReader(some_entries(SIZE))
    entries = list(unframe(reader.files["tile/entries/001"]))
    reader.files["tile/entries/001"] = frame([*entries[:5], b"another", *entries[6:]])
    with pytest.raises(ReadError, match="entry 261 is not the one"):
        export_record(reader, POLICY, tmp_path)
    assert not (tmp_path / "checkpoint").exists()
    assert refused(tmp_path).reason == "not-found"


def test_tiles_that_lie_do_not_matter(tmp_path: Path) -> None:
    reader = MemoryReader(some_entries(SIZE))
    right = dict(reader.files)
    reader.files["tile/0/001"] = bytes(8192)
    export_record(reader, POLICY, tmp_path)
    assert files_in(tmp_path) == right


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_byte_changed_names_its_file(record: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(files_in(record))))
    file = record / path
    before = file.read_bytes()
    raw = bytearray(before)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    file.write_bytes(raw)
    try:
        assert refused(record).where == str(file)
    finally:
        file.write_bytes(before)


@pytest.mark.parametrize("path", ["tile/0/000", "tile/0/002.p/88", "tile/1/000.p/2", "tile/entries/000", "checkpoint"])
def test_a_file_missing(copy: Path, path: str) -> None:
    (copy / path).unlink()
    error = refused(copy)
    assert (error.reason, error.where) == ("not-found", str(copy / path))


@pytest.mark.parametrize(
    "path", ["extra", ".hidden", "tile/0/003", "tile/0/000.p/3", "tile/3/000", "tile/entries/000.bak", "checkpoint~"]
)
def test_a_file_too_many(copy: Path, path: str) -> None:
    (copy / path).parent.mkdir(parents=True, exist_ok=True)
    (copy / path).write_bytes(b"")
    error = refused(copy)
    assert (error.reason, error.where) == ("unexpected-file", str(copy / path))


def test_an_empty_folder_too_many(copy: Path) -> None:
    (copy / "tile/9").mkdir()
    assert refused(copy).where == str(copy / "tile/9")


def test_a_link_is_no_file_of_a_record(copy: Path, record: Path) -> None:
    (copy / "tile/0/000").unlink()
    os.symlink(record / "tile/0/000", copy / "tile/0/000")
    error = refused(copy)
    assert (error.reason, error.where) == ("unexpected-file", str(copy / "tile/0/000"))


@pytest.mark.parametrize("path", ["tile/0/000", "tile/1/000.p/2", "tile/entries/001"])
@pytest.mark.parametrize("cut", [-1, 1])
def test_another_length(copy: Path, path: str, cut: int) -> None:
    raw = (copy / path).read_bytes()
    (copy / path).write_bytes(raw[:cut] if cut < 0 else raw + b"\0")
    assert refused(copy).where == str(copy / path)


def rewrite(folder: Path, path: str, entries: list[bytes]) -> None:
    (folder / path).write_bytes(frame(entries))


def test_an_entry_removed(copy: Path) -> None:
    entries = list(unframe((copy / "tile/entries/001").read_bytes()))
    rewrite(copy, "tile/entries/001", [*entries[:9], *entries[10:]])
    assert refused(copy).detail == "has 255 entries, not 256"


def test_an_entry_added(copy: Path) -> None:
    entries = list(unframe((copy / "tile/entries/002.p/88").read_bytes()))
    rewrite(copy, "tile/entries/002.p/88", [*entries, b"another"])
    assert refused(copy).detail == "has 89 entries, not 88"


@pytest.mark.parametrize(("path", "first"), [("tile/entries/001", 256), ("tile/entries/002.p/88", 512)])
def test_entries_in_another_order(copy: Path, path: str, first: int) -> None:
    entries = list(unframe((copy / path).read_bytes()))
    entries[3], entries[4] = entries[4], entries[3]
    rewrite(copy, path, entries)
    error = refused(copy)
    assert error.reason == "wrong-entry"
    assert error.detail == f"entry {first + 3} is not the one that the checkpoint covers"


def test_a_record_that_agrees_with_itself_but_not_with_its_checkpoint(copy: Path) -> None:
    entries = some_entries(SIZE)
    entries[300] = b"another"
    for path, raw in MemoryReader(entries).files.items():
        if path != "checkpoint":
            (copy / path).write_bytes(raw)
    error = refused(copy)
    assert (error.reason, error.where) == ("wrong-root", str(copy / "checkpoint"))


def test_the_rows_that_a_migration_lost(copy: Path) -> None:
    for file in (copy / "tile/entries").rglob("001"):
        file.write_bytes(b"")
    assert refused(copy).detail == "has 0 entries, not 256"


def test_any_reader_can_be_checked(record: Path) -> None:
    reader = FolderReader(record)
    head = open_head(reader, POLICY)
    assert head is not None
    check_tiles(reader, head)
