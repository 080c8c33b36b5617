"""A folder of files that are written once, each under a number in a tree of its own, and never changed or removed.

`format` says what the folder is, `keeps` which logs are kept there, and by whom; `new` holds what is being written,
`aside` what was found damaged, or came to be of no use by that. Under `logs` the file 1234 of a tree stands at
`TREE/000/000/001/234`, so that the highest number, or the highest below another, is found without reading the rest.

A file comes to its name whole, on disk before it has the name, and the name is given by `link`, which of two that want
it lets one have it. A crash leaves at most a file in `new`, which is removed by the next process that is alone with the
folder, and folders with nothing in them: what another one is writing nobody removes. Whether a name that is there is on
disk, too, only the process knows that put it there; every other one sees to it before it relies on it (`settle`).
"""

from __future__ import annotations

import errno
import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import suppress

from infra import failpoints
from vault.custodian.disk import Disk
from vault.custodian.sealed_files import copies, twice
from vault.custodian.storage import WHAT_TO_DO, Damaged, Unsafe

FORMAT = b"psephos/v1 custodian folder\n"
GROUPS = 4
MOST = 1000**GROUPS - 1
"""The highest number there can be."""
MAX_KNOWN = 64
ASIDE = "aside"
"""Where files that were found damaged are kept."""
KEEPS = "keeps"
_GROUP = re.compile("[0-9]{3}")


class NumberedFiles:
    """The files under `root`, an absolute path. Damaged for what is not of such a folder; OSError from the disk."""

    def __init__(self, disk: Disk, root: str) -> None:
        self._disk, self._root = disk, root
        self._known: set[str] = set()
        self._settled: dict[str, int] = {}
        self._broken = False

    def make(self) -> None:
        """Makes an empty folder one of these; in one that is it already, what a crash left out. Unsafe if it holds
        other things.
        """
        found = self._names()
        self._make("new")
        self._disk.share(self._root, self._sweep)
        self._make("logs")
        self._make(KEEPS)
        if "format" not in found:
            self._write("format", twice(FORMAT))

    def open(self) -> None:
        """Unsafe if the folder is none of these, or holds other things."""
        if "format" not in self._names():
            raise Unsafe(f"{self._root}: no custodian keeps anything here. {WHAT_TO_DO}")
        said = self._read("format")
        if FORMAT not in (said, *copies(said)):
            text = f"{self._root}/format: this is not the folder of a custodian of this version, or the file is damaged"
            raise Unsafe(f"{text}; if you know that it is, write into it the line `{FORMAT.decode().strip()}`")
        self._make("new")
        self._disk.share(self._root, self._sweep)
        if said not in (FORMAT, twice(FORMAT)):
            # On a full disk one copy is enough to begin with. Before there were two, it was all.
            with suppress(OSError):
                self._mend("format", twice(FORMAT))

    def note(self, name: str, content: bytes) -> None:
        """Notes once that a log is kept here. FileExistsError."""
        self._make(KEEPS)
        self._write(f"{KEEPS}/{name}", content)

    def noted(self, name: str) -> bytes | None:
        """What was noted of a log, None if nothing was. Damaged if it cannot be read."""
        try:
            return self._disk.read(f"{self._root}/{KEEPS}/{name}")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._as_damage(f"{KEEPS}/{name}", error) from None

    def _names(self) -> set[str]:
        try:
            found = set(self._disk.names(self._root))
        except FileNotFoundError:
            raise Unsafe(f"{self._root} is not there. {WHAT_TO_DO}") from None
        foreign = sorted(found - {"format", "new", "logs", ASIDE, KEEPS})
        if foreign:
            raise Unsafe(f"{self._root}: {foreign[0]!r} is not a custodian's; its folder must hold nothing else")
        return found

    def _sweep(self) -> None:
        for name in self._disk.names(f"{self._root}/new"):
            self._disk.remove(f"{self._root}/new/{name}")

    def highest(self, tree: str, most: int = MOST) -> int | None:
        """The highest number in a tree that is at most `most`; None if there is none."""
        digits = self._highest(f"logs/{tree}", _digits(min(most, MOST))) if most >= 0 else None
        return None if digits is None else int(digits)

    def newest(self, tree: str) -> int | None:
        """The highest number of a tree, once its name is on disk: who reads it may then vouch for it."""
        self._check_alive()
        number = self.highest(tree)
        if number is not None and self._settled.get(tree) != number:
            self._settle(tree, number)
        return number

    def put(self, tree: str, number: int, content: bytes) -> None:
        """A new file. When this returns it is on disk. FileExistsError if the number is taken."""
        self._check_alive()
        path = _path(tree, number)
        self._make_folders(path)
        self._write(path, content)
        self._settled[tree] = number

    def mend(self, tree: str, number: int, content: bytes) -> None:
        """The right content for a file that is damaged or gone. What stood there stays, in `aside`.

        A crash leaves either file under the name, whole; at worst the damaged one under two names.
        """
        self._mend(_path(tree, number), content)

    def mend_note(self, name: str, content: bytes) -> None:
        """The right content for a note that is damaged, as `mend`."""
        self._mend(f"{KEEPS}/{name}", content)

    def _mend(self, path: str, content: bytes) -> None:
        self._check_alive()
        self._make_folders(path)
        self._make(ASIDE)
        new = self._new_file(content)
        try:
            self._set_aside(path)
            failpoints.at("scrub.set-aside")
            self._disk.replace(new, f"{self._root}/{path}")
            self._sync_folder(_parent(path))
        finally:
            with suppress(OSError):
                self._disk.remove(new)

    def alone(self, work: Callable[[], None]) -> bool:
        """Calls `work` while no other process works in this folder; False if one does."""
        self._check_alive()
        return self._disk.alone(self._root, work)

    def drop(self, tree: str, number: int) -> None:
        """Takes a file that is not needed out of a tree; it stays in `aside`. A crash leaves it there, or in both."""
        self._check_alive()
        path = _path(tree, number)
        self._make(ASIDE)
        self._set_aside(path)
        self._disk.remove(f"{self._root}/{path}")
        self._sync_folder(_parent(path))
        failpoints.at("scrub.dropped")

    def _set_aside(self, path: str) -> None:
        for attempt in itertools.count():
            try:
                self._disk.link(f"{self._root}/{path}", f"{self._root}/{ASIDE}/{path.replace('/', '-')}.{attempt}")
            except FileNotFoundError:
                return
            except FileExistsError:
                continue
            self._sync_folder(ASIDE)
            return

    def trees(self, folder: str) -> list[str]:
        """The names of the trees in a folder of them, in order."""
        self._check_alive()
        try:
            return sorted(self._disk.names(f"{self._root}/logs/{folder}"))
        except FileNotFoundError:
            return []

    def all(self, tree: str) -> list[int]:
        """The numbers of all files of a tree, ascending."""
        return list(self.ascending(tree))

    def ascending(self, tree: str, start: int = 0) -> Iterator[int]:
        """As `all`, from `start` on, while they are asked for: each folder is listed once, when it is come to. Of what
        comes meanwhile at most the last is left out.
        """
        # Its name is on disk from here on, and so are those before it.
        self.newest(tree)
        for digits in self._ascending(f"logs/{tree}", _digits(start)):
            yield int(digits)

    def read(self, tree: str, number: int, start: int = 0, length: int = -1) -> bytes:
        """At most `length` bytes of a file from `start` on, all of them if -1. Damaged if it is not there."""
        return self._read(_path(tree, number), start, length)

    def _highest(self, folder: str, digits: tuple[str, ...]) -> str | None:
        depth = len(digits)
        for name in self._groups(folder):
            if name > digits[0]:
                continue
            if depth == 1:
                return name
            below = digits[1:] if name == digits[0] else ("999",) * (depth - 1)
            # A folder is empty if a crash came between making it and filling it: then the one before it counts.
            found = self._highest(f"{folder}/{name}", below)
            if found is not None:
                return name + found
        return None

    def _ascending(self, folder: str, digits: tuple[str, ...]) -> Iterator[str]:
        first, *rest = digits
        for name in reversed(self._groups(folder)):
            if name < first:
                continue
            if not rest:
                yield name
                continue
            below = tuple(rest) if name == first else ("000",) * len(rest)
            for found in self._ascending(f"{folder}/{name}", below):
                yield name + found

    def _groups(self, folder: str) -> list[str]:
        """The names in a folder of the tree, the highest first."""
        try:
            names = self._disk.names(f"{self._root}/{folder}")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._as_damage(folder, error) from None
        for name in names:
            if not _GROUP.fullmatch(name):
                raise Damaged(f"{self._root}/{folder}/{name} is not a custodian's; its folder must hold nothing else")
        return sorted(names, reverse=True)

    def _read(self, path: str, start: int = 0, length: int = -1) -> bytes:
        try:
            return self._disk.read(f"{self._root}/{path}", start, length)
        except OSError as error:
            raise self._as_damage(path, error) from None

    def _as_damage(self, path: str, error: OSError) -> Exception:
        what = {
            errno.ENOENT: "is missing",
            errno.ELOOP: "is a symbolic link, which a custodian does not follow",
            errno.ENOTDIR: "is a symbolic link or a file where a folder must be",
            errno.EISDIR: "is a folder where a file must be",
            errno.ESPIPE: "is not a file",
            errno.ENXIO: "is not a file",
            errno.EIO: "cannot be read",
        }.get(error.errno or 0)
        return Damaged(f"{self._root}/{path} {what}") if what else error

    def _write(self, path: str, content: bytes) -> None:
        new = self._new_file(content)
        try:
            self._disk.link(new, f"{self._root}/{path}")
            # From here the name may be on disk or not: nobody is told of it before the next line has returned.
            self._sync_folder(_parent(path))
        finally:
            with suppress(OSError):
                self._disk.remove(new)

    def _new_file(self, content: bytes) -> str:
        # A name of its own: another process, which writes here, too, must not have this one link its file.
        path = f"{self._root}/new/{self._disk.fresh_name()}"
        try:
            self._disk.create(path, content)
            self._disk.sync(path)
        except OSError:
            # Whatever part of it the disk has: without a name among the others it is nothing.
            with suppress(OSError):
                self._disk.remove(path)
            raise
        return path

    def _make_folders(self, path: str) -> None:
        parts = path.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            if folder not in self._known:
                self._make(folder)
                if len(self._known) >= MAX_KNOWN:
                    self._known.clear()
                self._known.add(folder)

    def _make(self, folder: str) -> None:
        with suppress(FileExistsError):
            self._disk.make_folder(f"{self._root}/{folder}")
        # Also if it was there: the process that made it may have ended before this.
        self._sync_folder(_parent(folder))

    def _settle(self, tree: str, number: int) -> None:
        parts = _path(tree, number).split("/")
        for depth in range(len(parts) - 1, -1, -1):
            self._sync_folder("/".join(parts[:depth]))
        self._settled[tree] = number

    def _sync_folder(self, folder: str) -> None:
        try:
            self._disk.sync_folder(f"{self._root}/{folder}" if folder else self._root)
        except OSError:
            # Linux tells of a lost write once: the next sync would return although nothing is on disk.
            self._broken = True
            raise

    def _check_alive(self) -> None:
        if self._broken:
            raise Unsafe(f"{self._root}: the disk did not confirm a write; see to it, then start the custodian again")


def _digits(number: int) -> tuple[str, ...]:
    text = f"{number:0{3 * GROUPS}d}"
    return tuple(text[i : i + 3] for i in range(0, len(text), 3))


def _path(tree: str, number: int) -> str:
    if not 0 <= number <= MOST:
        raise Unsafe(f"a folder cannot hold a file of the number {number}")
    return "/".join(("logs", tree, *_digits(number)))


def _parent(path: str) -> str:
    return path.rpartition("/")[0]
