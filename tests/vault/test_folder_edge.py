"""A log that grows by single entries, in a plain folder: each append reads the files of the last bundle again, and does
little more for it at its end than at its beginning.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.vault.conftest import CUSTODIANS, NOW, Growing
from tests.vault.fixed_keys import FixedKeys
from tests.vault.folders import opened
from vault.custodian import sealed_files
from vault.custodian.custody import Custodian
from vault.custodian.disk import RealDisk
from vault.custodian.storage import Damaged


class Counting(RealDisk):
    """How often each call was made, and of which files."""

    def __init__(self) -> None:
        super().__init__()
        self.listed, self.read_of = 0, Counter[str]()

    def names(self, folder: str) -> list[str]:
        self.listed += 1
        return super().names(folder)

    def read(self, path: str, start: int = 0, length: int = -1) -> bytes:
        self.read_of[path] += 1
        return super().read(path, start, length)


class Trickling:
    """A custodian that holds one bundle, and whose log then grows by one entry after another."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o700)
        self.disk, self.log = Counting(), Growing(f"vote.example/{folder.name}")
        self.store = opened(folder, [self.log.origin], self.disk)
        self.custodian = Custodian(
            self.store, {self.log.origin: FixedKeys(self.log.policy)}, CUSTODIANS[0], lambda: NOW
        )
        self.heads = folder / "logs" / self.store._logs[self.log.origin] / "heads" / "000" / "000"
        self.append(256)

    def append(self, count: int = 1) -> tuple[int, int, int]:
        """How many folders were listed, files parsed, and the most that one file was read."""
        self.disk.listed, before = 0, sealed_files._said.cache_info().misses
        self.disk.read_of.clear()
        old = self.log.grow(count)
        self.custodian.append(self.log.origin, self.log.append(old))
        return (
            self.disk.listed,
            sealed_files._said.cache_info().misses - before,
            max(self.disk.read_of.values(), default=0),
        )

    def file(self, number: int) -> Path:
        return self.heads / f"{number // 1000:03d}" / f"{number % 1000:03d}"


@pytest.fixture
def trickling(tmp_path: Path) -> Trickling:
    return Trickling(tmp_path)


def test_of_what_an_append_reads_only_the_bytes_become_more(trickling: Trickling) -> None:
    costs = [trickling.append() for _ in range(60)]
    read = {path.rpartition("/")[2] for path in trickling.disk.read_of}
    assert read >= {f"{number:03d}" for number in range(256, 315)}
    # The newest is asked for more often, as at the beginning.
    assert costs[50:] == [costs[9]] * 10
    assert costs[9][1] == 1


@pytest.mark.parametrize("place", ["what it says", "its entry"])
@pytest.mark.parametrize("number", [256, 260, 275])
def test_a_bit_that_flips_where_this_process_has_read_before_is_found_before_anything_is_signed(
    trickling: Trickling, number: int, place: str
) -> None:
    for _ in range(20):
        trickling.append()
    file = trickling.file(number)
    raw = bytearray(file.read_bytes())
    raw[60 if place == "what it says" else raw.index(b"entry %d" % number)] ^= 1
    file.write_bytes(raw)
    with pytest.raises(Damaged):
        trickling.append()
    assert not trickling.file(276).exists()


def test_a_file_that_is_gone_is_found_too(trickling: Trickling) -> None:
    for _ in range(20):
        trickling.append()
    trickling.file(260).unlink()
    with pytest.raises(Damaged):
        trickling.append()
