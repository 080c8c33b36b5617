"""The small disk is one, and nothing of it stays."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

import pytest

from tests.storage.small_disk import small_disk


def test_a_small_disk_is_full_when_it_is_filled_and_gone_afterwards() -> None:
    with small_disk(16) as disk:
        (disk.folder / "kept").write_bytes(b"kept")
        disk.fill()
        with pytest.raises(OSError) as full:
            (disk.folder / "more").write_bytes(bytes(1 << 16))
        assert full.value.errno == errno.ENOSPC
        disk.empty()
        (disk.folder / "more").write_bytes(bytes(1 << 16))
        disk.unmount()
        assert not (disk.folder / "kept").exists()
        disk.mount()
        assert (disk.folder / "kept").read_bytes() == b"kept"
    assert not disk.image.exists()
    assert str(disk.folder) not in Path("/proc/mounts").read_text()
    assert str(disk.image) not in subprocess.run(["losetup", "-a"], capture_output=True, text=True, check=True).stdout
