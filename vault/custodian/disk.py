"""The few things that a custodian's folder asks of a disk. A test or a simulation puts another one in its place.

Nothing is on disk before `sync` for what is in a file, and `sync_folder` for the names in a folder; after a power cut
anything that was not synced may be there, or not, or in part.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

FOLDER_MODE, FILE_MODE = 0o700, 0o600


class Disk(Protocol):
    """Paths are absolute. Everything raises OSError, with the errno of the system call."""

    def owner_and_mode(self, path: str) -> tuple[int, int]:
        """Whose file or folder this is, and its permission bits. FileNotFoundError."""

    def names(self, folder: str) -> list[str]:
        """The names in a folder, in no order. FileNotFoundError if there is no such folder."""

    def read(self, path: str, start: int = 0, length: int = -1) -> bytes:
        """At most `length` bytes of a regular file from `start` on, all of them if -1."""

    def share(self, folder: str, sweep: Callable[[], None]) -> None:
        """Says that this process works in a folder, as long as this disk is used; if no other does, `sweep` is called
        before another may.
        """

    def alone(self, folder: str, work: Callable[[], None]) -> bool:
        """Calls `work` while no other process works in a folder that this one shares, or may begin to; False, and
        nothing is called, if one does.
        """

    def fresh_name(self) -> str:
        """A name that no process has given to anything."""

    def create(self, path: str, data: bytes) -> None:
        """A new file that holds `data`. FileExistsError if the name is taken; in part if another error is raised."""

    def sync(self, path: str) -> None:
        """When it returns the bytes of this file are on disk."""

    def link(self, path: str, new: str) -> None:
        """A second name for a file, at once or not at all. FileExistsError if the name is taken."""

    def replace(self, path: str, name: str) -> None:
        """Gives a file the name that another has, at once or not at all; its own name is gone then."""

    def remove(self, path: str) -> None:
        """Takes a name away."""

    def make_folder(self, path: str) -> None:
        """A new folder. FileExistsError if the name is taken."""

    def sync_folder(self, path: str) -> None:
        """When it returns the names in this folder are on disk."""


class RealDisk:
    """The operating system's. Symbolic links are not followed (ELOOP): a folder's files are in it or are not its."""

    def __init__(self) -> None:
        self._shared: dict[str, int] = {}

    def owner_and_mode(self, path: str) -> tuple[int, int]:
        found = os.lstat(path)
        return found.st_uid, stat.S_IMODE(found.st_mode)

    def names(self, folder: str) -> list[str]:
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return os.listdir(number)
        finally:
            os.close(number)

    def read(self, path: str, start: int = 0, length: int = -1) -> bytes:
        # O_NONBLOCK: to open a pipe that somebody put there would otherwise not return.
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            found = os.fstat(number)
            if not stat.S_ISREG(found.st_mode):
                wrong = errno.EISDIR if stat.S_ISDIR(found.st_mode) else errno.ENXIO
                raise OSError(wrong, os.strerror(wrong), path)
            # A file that is read is whole: its size does not change.
            rest = found.st_size - start
            end = start + (rest if length < 0 else min(length, rest))
            raw = b""
            while start + len(raw) < end and (more := os.pread(number, end - start - len(raw), start + len(raw))):
                raw += more
            return raw
        finally:
            os.close(number)

    def share(self, folder: str, sweep: Callable[[], None]) -> None:
        if folder in self._shared:
            return
        number = self._shared[folder] = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        # The lock goes with the descriptor, and so with the process, however it ends.
        weakref.finalize(self, os.close, number)
        self.alone(folder, sweep)

    def alone(self, folder: str, work: Callable[[], None]) -> bool:
        number, alone = self._shared[folder], False
        try:
            # A disk that knows no such locks never says that one is alone.
            with suppress(OSError):
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                alone = True
            if alone:
                work()
        finally:
            with suppress(OSError):
                # Also after a refusal, by which the shared one may be lost.
                fcntl.flock(number, fcntl.LOCK_SH)
        return alone

    def fresh_name(self) -> str:
        return secrets.token_hex(16)

    def create(self, path: str, data: bytes) -> None:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        try:
            with memoryview(data) as rest:
                written = 0
                while written < len(rest):
                    written += os.write(number, rest[written:])
        finally:
            os.close(number)

    def sync(self, path: str) -> None:
        _sync(path, os.O_RDONLY | os.O_NOFOLLOW)

    def link(self, path: str, new: str) -> None:
        os.link(path, new, follow_symlinks=False)

    def replace(self, path: str, name: str) -> None:
        os.replace(path, name)

    def remove(self, path: str) -> None:
        os.unlink(path)

    def make_folder(self, path: str) -> None:
        os.mkdir(path, FOLDER_MODE)

    def sync_folder(self, path: str) -> None:
        _sync(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _sync(path: str, flags: int) -> None:
    number = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)
