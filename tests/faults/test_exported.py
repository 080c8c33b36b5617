"""The power fails the moment a record has been exported: it is on disk, whole."""

from __future__ import annotations

import pytest

from audit.log import export
from audit.log.export import check_folder, export_record
from tests.faults import power
from tests.log.sample import POLICY, MemoryReader, some_entries
from tests.storage.small_disk import SmallDisk, small_disk

SIZE = 600


def come_back(disk: SmallDisk) -> None:
    power.let_go(disk, None)
    disk.mount()


def test_a_record_that_is_exported_is_on_disk() -> None:
    with small_disk() as disk:
        folder = disk.folder / "records" / "record"
        head = export_record(MemoryReader(some_entries(SIZE)), POLICY, folder)
        power.cut(disk)
        come_back(disk)
        assert check_folder(folder, POLICY) == head


def test_all_else_is_on_disk_before_the_checkpoint_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk() as disk:
        folder, write = disk.folder / "record", export._write

        def dies_before(file, data) -> None:
            if file.name == "checkpoint":
                power.cut(disk)
            write(file, data)

        monkeypatch.setattr(export, "_write", dies_before)
        reader = MemoryReader(some_entries(SIZE))
        with pytest.raises(OSError):
            export_record(reader, POLICY, folder)
        come_back(disk)
        found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        del reader.files["checkpoint"]
        assert found == reader.files
