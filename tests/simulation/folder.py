"""The disk of a custodian that keeps its log in a plain folder: the real `FolderStore` over files in memory. A process
may end between any two things that it asks of them, and the power fail then.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress

from tests.simulation.disk import Disk
from tests.simulation.kernel import Crash, Kernel, Process
from tests.simulation.stores import VaultState, answers_of
from tests.vault.power import MemoryDisk
from vault.custodian.folder_mending import MendableFolder
from vault.custodian.folder_store import FolderStore, make_folder
from vault.custodian.storage import Damaged, Unsafe

ROOT = "/kept"
OPERATIONS = 2
"""One write is several of them: each is by so much less likely to fail, or to be the last one, than a write is."""
TAKES_ROOM = ("create", "link", "make-folder")


class FolderDisk(Disk):
    """`state` is what the files say to whoever reads them now, as the real store reads it. `failpoint` is told of every
    operation before it is done, and may end the process.
    """

    def __init__(self, kernel: Kernel, name: str, origin: str, failpoint: Callable[[float], None]) -> None:
        super().__init__(kernel, name, VaultState)
        self._origin, self._failpoint = origin, failpoint
        self.restore(0)

    def open(self, process: Process) -> FolderStore:
        """The store, as a process that begins opens it. OSError."""
        life = process.lives
        fate = 0.0

        def before(operation: str) -> None:
            nonlocal fate
            if process.lives != life:
                # What the code does on its way out, a process that has ended does not.
                raise Crash
            self._sure = None
            self._failpoint(1 / OPERATIONS)
            fate = self._kernel.dice.random() * OPERATIONS
            if self.failures:
                self.failures -= 1
                raise _error(errno.EIO)
            if self.full and operation in TAKES_ROOM:
                raise _error(errno.ENOSPC)
            if fate < self.unreliable:
                raise _error(errno.EIO)

        def after(operation: str) -> None:
            if operation == "link":
                self._read_on()
            if fate > OPERATIONS - self.unreliable:
                raise _error(errno.EIO)

        return FolderStore(ROOT, [self._origin], MemoryDisk(self._files.root, before, after))

    def lose_power(self) -> None:
        self._files.cut(self._kernel.dice)
        self._read()

    def restore(self, length: int) -> None:
        """Only to what it was at first."""
        assert length == 0, "no old copy of a custodian's folder is put in its place"
        self._files = MemoryDisk()
        make_folder(ROOT, self._files)
        self._read()

    def durable(self) -> VaultState:
        if self._sure is None:
            self._sure = read(self._files.copy(sure=True), self._origin)
        return self._sure

    def _read(self) -> None:
        self._sure = None
        self.state = read(self._files.copy(), self._origin)

    def _read_on(self) -> None:
        """A file has come to its name: what there is more than before."""
        store = MendableFolder(ROOT, [self._origin], self._files.copy())
        size = store.newest(self._origin).size
        if size > self.state.newest.size:
            _take(self.state, store, self._origin, size)
        self.state.published = store.published(self._origin)


def read(files: MemoryDisk, origin: str) -> VaultState:
    """What a folder holds of a log, up to the first thing that is damaged."""
    state = VaultState()
    with suppress(Damaged, Unsafe):
        store = MendableFolder(ROOT, [origin], files)
        for size in store.heads(origin):
            _take(state, store, origin, size)
        state.published = store.published(origin)
    return state


def _take(state: VaultState, store: FolderStore, origin: str, size: int) -> None:
    head, start = store.head_at(origin, size), len(state.entries)
    entries = store.entries(origin, start, size)
    if head is None or len(entries) < size - start:
        raise Damaged(f"of {size} entries some are gone")
    state.entries += entries
    state.answers.update(answers_of(entries))
    state.heads[size] = state.newest = head


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
