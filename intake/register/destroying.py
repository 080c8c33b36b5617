"""The end of a register: names, addresses, numbers and openings are removed from this disk.

Each file is overwritten where it lies, forced to disk, renamed and removed. What that is worth depends on what is
below: an SSD, a file system that copies on writing (btrfs, ZFS, APFS), a journal, a snapshot or a backup keeps old
blocks that no program can reach. Of a sealed file nothing is left that can be read once its key file, or every note of
its passphrase, is gone too; so those belong to what is destroyed.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path

from infra.keys import KeyFileError

BLOCK = 1 << 20


def expect_files(paths: Sequence[Path]) -> list[Path]:
    """All files among these and in the folders among them, so that nothing is destroyed before all of it was found.

    KeyFileError naming everything that is not there, or is neither a file nor a folder of files.
    """
    faults: list[str] = []
    found: dict[Path, None] = {}
    for path in paths:
        inside = sorted(path.rglob("*")) if path.is_dir() and not path.is_symlink() else []
        for one in [path, *inside]:
            try:
                mode = one.lstat().st_mode
            except OSError as error:
                faults.append(f"{one}: {error.strerror}")
                continue
            if stat.S_ISREG(mode):
                found[one] = None
            elif not stat.S_ISDIR(mode):
                faults.append(f"{one}: is neither a file nor a folder; what it leads to is not touched")
    if faults:
        raise KeyFileError("\n".join(faults))
    return list(found)


def destroy_files(files: Sequence[Path], folders: Sequence[Path]) -> None:
    """Overwrites and removes the files, then the folders among `folders` with what is left in them: folders. OSError.

    A crash leaves files that are whole or overwritten, under their names or meaningless ones.
    """
    for path in files:
        _overwrite(path)
        nameless = path.with_name(secrets.token_hex(8))
        path.rename(nameless)
        nameless.unlink()
        _sync(path.parent)
    for folder in folders:
        if folder.is_dir():
            for inner in sorted(folder.rglob("*"), reverse=True):
                inner.rmdir()
            folder.rmdir()
            _sync(folder.parent)


def _overwrite(path: Path) -> None:
    with path.open("r+b", buffering=0) as file:
        left = os.fstat(file.fileno()).st_size
        while left > 0:
            left -= file.write(os.urandom(min(left, BLOCK)))
        os.fsync(file.fileno())
        file.truncate(0)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
