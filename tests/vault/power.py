"""A disk in memory on which the power can fail between any two operations: what was not synced is then there, or not,
or in part, as the dice say.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


class PowerCut(BaseException):
    """The machine stops here."""


@dataclass
class File:
    data: bytes
    synced: bool = False


@dataclass
class Folder:
    """`names` as every process sees them; `kept` as a power cut leaves them at least."""

    names: dict[str, File | Folder] = field(default_factory=dict)
    kept: dict[str, File | Folder] = field(default_factory=dict)


@dataclass
class MemoryDisk:
    """A `vault.custodian.disk.Disk` with one folder at `/kept`. `before` and `after` are told of every operation that
    changes something, by name, and may raise.
    """

    root: Folder = field(default_factory=Folder)
    before: Callable[[str], None] = lambda name: None
    after: Callable[[str], None] = lambda name: None
    mode: int = 0o700
    given: int = 0

    def owner_and_mode(self, path: str) -> tuple[int, int]:
        self._folder(path)
        return os.geteuid(), self.mode

    def names(self, folder: str) -> list[str]:
        return list(self._folder(folder).names)

    def read(self, path: str, start: int = 0, length: int = -1) -> bytes:
        found = self._at(path)
        if isinstance(found, Folder):
            raise IsADirectoryError(errno.EISDIR, "is a folder")
        return found.data[start : None if length < 0 else start + length]

    def share(self, folder: str, sweep: Callable[[], None]) -> None:
        sweep()

    def alone(self, folder: str, work: Callable[[], None]) -> bool:
        work()
        return True

    def fresh_name(self) -> str:
        self.given += 1
        return str(self.given)

    def create(self, path: str, data: bytes) -> None:
        def create() -> None:
            self._add(path, File(data))

        self._change("create", create)

    def sync(self, path: str) -> None:
        def sync() -> None:
            found = self._at(path)
            assert isinstance(found, File)
            found.synced = True

        self._change("sync", sync)

    def link(self, path: str, new: str) -> None:
        self._change("link", lambda: self._add(new, self._at(path)))

    def remove(self, path: str) -> None:
        def remove() -> None:
            self._at(path)
            folder, name = path.rsplit("/", 1)
            del self._folder(folder).names[name]

        self._change("remove", remove)

    def make_folder(self, path: str) -> None:
        self._change("make-folder", lambda: self._add(path, Folder()))

    def sync_folder(self, path: str) -> None:
        def sync() -> None:
            folder = self._folder(path)
            folder.kept = dict(folder.names)

        self._change("sync-folder", sync)

    def cut(self, dice: random.Random) -> None:
        """Everything that was not synced is there or not, each by a throw of its own."""
        for folder in self._folders(self.root):
            for name in sorted(folder.names.keys() | folder.kept.keys()):
                now, then = folder.names.get(name), folder.kept.get(name)
                if now is not then and dice.random() < 0.5:
                    now = then
                folder.names.pop(name, None)
                if now is not None:
                    folder.names[name] = now
        for folder in self._folders(self.root):
            folder.kept = dict(folder.names)
            for file in folder.names.values():
                if isinstance(file, File) and not file.synced:
                    # As ext4 may leave it: shorter, or of zeros where nothing was written.
                    whole = len(file.data)
                    file.data = dice.choice([b"", bytes(whole), file.data[: dice.randrange(whole + 1)], file.data])
                    file.synced = True

    def copy(self, sure: bool = False) -> MemoryDisk:
        """As it is now; `sure`: as a power cut leaves it that takes all it can."""
        return MemoryDisk(_copy(self.root, sure))

    def _folders(self, folder: Folder) -> Iterator[Folder]:
        yield folder
        for found in list(folder.names.values()):
            if isinstance(found, Folder):
                yield from self._folders(found)

    def _change(self, name: str, change: Callable[[], None]) -> None:
        self.before(name)
        change()
        self.after(name)

    def _at(self, path: str) -> File | Folder:
        found: File | Folder = self.root
        for name in path.removeprefix("/kept").split("/")[1:]:
            if not isinstance(found, Folder):
                raise NotADirectoryError(errno.ENOTDIR, "is no folder")
            if name not in found.names:
                raise FileNotFoundError(errno.ENOENT, "is not there")
            found = found.names[name]
        return found

    def _folder(self, path: str) -> Folder:
        found = self._at(path)
        if not isinstance(found, Folder):
            raise NotADirectoryError(errno.ENOTDIR, "is no folder")
        return found

    def _add(self, path: str, what: File | Folder) -> None:
        parent, name = path.rsplit("/", 1)
        folder = self._folder(parent)
        if name in folder.names:
            raise FileExistsError(errno.EEXIST, "is there already")
        folder.names[name] = what


def _copy(folder: Folder, sure: bool) -> Folder:
    made = Folder()
    for name, found in (folder.kept if sure else folder.names).items():
        if isinstance(found, Folder):
            made.names[name] = _copy(found, sure)
        else:
            made.names[name] = File(found.data if found.synced or not sure else b"", True)
    made.kept = dict(made.names)
    return made
