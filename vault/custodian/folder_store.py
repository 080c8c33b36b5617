"""What a custodian holds, in a plain folder: no database, nothing but files that are written once.

Of every log there are four trees of files (see numbered_files.py), under the SHA-256 of its origin:
    heads/OLD      a head that follows the one of OLD entries, its last entries and their leaf hashes, and the roots of
                   the tiles that became full: an append is one file
    staged/START   entries that came before their head
    observed/OLD+1 a head that was seen
    published/SIZE a published checkpoint
Of two appends that start from one size only one gets the name. What the loss of the folder buys an attacker: one copy
of N. What its capture buys: nothing that is not public.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import Any

from audit.log.encoding import decode_base64, encode_base64
from audit.log.merkle import HASH_SIZE
from audit.log.tiles import HEIGHT, frame, unframe
from audit.record.heads import is_rekey
from vault.custodian.cosign import EMPTY, Head
from vault.custodian.disk import Disk, RealDisk
from vault.custodian.nodes import new_nodes
from vault.custodian.numbered_files import NumberedFiles
from vault.custodian.sealed_files import Sealed, seal
from vault.custodian.storage import Damaged, DamagedCheckpoint, Overtaken, Unsafe


class FolderStore:
    """The logs of one custodian in the folder at `root`, a `storage.Store`; at its first use the folder is empty.

    `origins` are the logs kept there. Unsafe if the folder is not such a one; OSError if it cannot be used.
    """

    def __init__(self, root: str, origins: Sequence[str], disk: Disk | None = None) -> None:
        self._disk = disk or RealDisk()
        self._root = root
        self._files = NumberedFiles(self._disk, root)
        self._logs = {origin: sha256(origin.encode()).hexdigest() for origin in origins}
        self.check_safe()
        self._files.open()

    def check_safe(self) -> None:
        """Unsafe unless the folder is this account's, and no other may change what is in it."""
        owner, mode = self._disk.owner_and_mode(self._root)
        if owner != os.geteuid():
            raise Unsafe(f"{self._root} belongs to another account than the one this custodian runs as")
        if mode & 0o022:
            raise Unsafe(f"{self._root}: mode {mode:04o} lets others change it; it must be 0700 (chmod 700)")

    def newest(self, origin: str) -> Head:
        """The head with the most entries; of a log that has none yet, the empty tree's."""
        old = self._files.newest(self._tree(origin, "heads"))
        return EMPTY if old is None else _head(self._open(origin, "heads", old).about)

    def head_at(self, origin: str, size: int) -> Head | None:
        """The head of exactly this size, None if there is none."""
        # What is before the newest was on disk before the newest could be stored.
        self._files.newest(self._tree(origin, "heads"))
        return self._of_size(origin, "heads", size, size - 1)

    def last_time(self) -> int:
        """The latest time ever cosigned, over all logs (POSIX seconds); 0 if none was."""
        return max((head.time for o in self._logs for head in (self.newest(o), self.observed(o))), default=0)

    def append(self, origin: str, new: Head, leaves: Sequence[bytes], entries: Sequence[bytes]) -> None:
        """Stores head and entries, as one file. Overtaken if the old size has been continued already."""
        first = new.size - len(entries)
        about = {**about_head(new), "first": first, "frontier": encode_base64(new.frontier)}
        about |= self._rekeys(origin, first, entries)
        held = self.head_at(origin, new.old_size) or EMPTY
        made = new_nodes(partial(self.hashes, origin), held.frontier, new, first, leaves)
        about["nodes"] = [[level, index, encode_base64(root)] for (level, index), root in made.items()]
        self._put(origin, "heads", new.old_size, about, entries=frame(entries), leaves=b"".join(leaves))

    def rekeys(self, origin: str) -> list[int]:
        """The numbers of the entries that are rekeys: every file says where those up to its own end are."""
        found: set[int] = set()
        for kind in ("heads", "staged"):
            number = self._files.newest(self._tree(origin, kind))
            if number is not None:
                found.update(self._open(origin, kind, number).about["rekeys"])
        return sorted(found)

    def published(self, origin: str, below: int | None = None) -> tuple[int, bytes]:
        """Size and note of the newest published checkpoint, or of the newest of fewer than `below` entries; (0, b"") if
        there is none. DamagedCheckpoint.
        """
        tree = self._tree(origin, "published")
        size = self._files.newest(tree) if below is None else self._files.highest(tree, below - 1)
        if size is None:
            return 0, b""
        try:
            return size, self._open(origin, "published", size).about["note"].encode()
        except Damaged as error:
            raise DamagedCheckpoint(str(error), size) from None

    def publish(self, origin: str, size: int, note: bytes) -> None:
        """Stores a published checkpoint. The first one of a size stands."""
        try:
            self._put(origin, "published", size, {"note": note.decode(), "size": size})
        except Overtaken:
            self._files.newest(self._tree(origin, "published"))

    def hashes(self, origin: str, level: int, start: int, end: int) -> list[bytes]:
        """The 32-byte hashes [start, end) of a tile level; fewer if not all are stored."""
        if level == 0:
            return self._read(origin, start, end, _leaves)
        found: list[bytes] = []
        nodes: tuple[int, Mapping[tuple[int, int], bytes]] = (0, {})
        for index in range(start, end):
            last = ((index + 1) << (HEIGHT * level)) - 1
            if last >= nodes[0]:
                file = self._head_with(origin, last)
                if file is None:
                    break
                nodes = file.about["size"], _nodes(file)
            found.append(nodes[1][level, index])
        return found

    def entries(self, origin: str, start: int, end: int) -> list[bytes]:
        """The entries [start, end), fewer if not all are stored."""
        return self._read(origin, start, end, _entries)

    def staged(self, origin: str) -> int:
        """How many entries are stored, those included that no head covers yet."""
        size = self.newest(origin).size
        start = self._files.newest(self._tree(origin, "staged"))
        return size if start is None else max(size, self._open(origin, "staged", start).about["end"])

    def stage(self, origin: str, start: int, leaves: Sequence[bytes], entries: Sequence[bytes]) -> None:
        """Stores entries ahead of their head. Overtaken if there is an entry at `start` already."""
        about = {"end": start + len(entries), "start": start} | self._rekeys(origin, start, entries)
        self._put(origin, "staged", start, about, entries=frame(entries), leaves=b"".join(leaves))

    def observed(self, origin: str) -> Head:
        """The largest tree whose head was seen here."""
        number = self._files.newest(self._tree(origin, "observed"))
        return EMPTY if number is None else _head(self._open(origin, "observed", number).about)

    def observed_at(self, origin: str, size: int) -> Head | None:
        """The observed head of exactly this size, None if there is none."""
        self._files.newest(self._tree(origin, "observed"))
        return self._of_size(origin, "observed", size, size)

    def observe(self, origin: str, new: Head) -> None:
        """Stores a head that was seen. Overtaken if the old size has been continued already."""
        # A head of the empty tree follows no size, hence the one more.
        self._put(origin, "observed", new.old_size + 1, about_head(new))

    def _rekeys(self, origin: str, start: int, entries: Sequence[bytes]) -> dict[str, Any]:
        known = [index for index in self.rekeys(origin) if index < start]
        return {"rekeys": known + [index for index, entry in enumerate(entries, start) if is_rekey(entry)]}

    def _put(self, origin: str, kind: str, number: int, about: dict[str, Any], **blocks: bytes) -> None:
        content = seal(kind, {**about, "origin": origin}, **blocks)
        try:
            self._files.put(self._tree(origin, kind), number, content)
        except FileExistsError:
            raise Overtaken(origin) from None

    def _open(self, origin: str, kind: str, number: int) -> Sealed:
        tree = self._tree(origin, kind)
        where = f"{self._root}/logs/{tree}: file {number}"
        file = Sealed(kind, where, lambda start, length: self._files.read(tree, number, start, length))
        if file.about["origin"] != origin:
            raise Damaged(f"{where} is of another log")
        return file

    def _tree(self, origin: str, kind: str) -> str:
        return f"{self._logs[origin]}/{kind}"

    def _of_size(self, origin: str, kind: str, size: int, most: int) -> Head | None:
        """The head of this size in the file with the highest number up to `most`."""
        number = self._files.highest(self._tree(origin, kind), most)
        if number is None:
            return None
        head = _head(self._open(origin, kind, number).about)
        return head if head.size == size else None

    def _head_with(self, origin: str, index: int) -> Sealed | None:
        """The file of the first head that covers entry `index`."""
        old = self._files.highest(self._tree(origin, "heads"), index)
        if old is None:
            return None
        file = self._open(origin, "heads", old)
        return file if index < file.about["size"] else None

    def _read(
        self, origin: str, start: int, end: int, part: Callable[[Sealed, int, int], list[bytes]]
    ) -> list[bytes]:
        """What `part` reads of the files that hold the entries [start, end), fewer if not all are stored."""
        found: list[bytes] = []
        while start < end:
            file = self._head_with(origin, start)
            first, last = (file.about["first"], file.about["size"]) if file else (start + 1, 0)
            if file is None or start < first:
                number = self._files.highest(self._tree(origin, "staged"), start)
                if number is None:
                    break
                file = self._open(origin, "staged", number)
                first, last = number, file.about["end"]
            if start >= last:
                break
            stop = min(end, last)
            found += part(file, start - first, stop - first)
            start = stop
        return found


def about_head(head: Head) -> dict[str, Any]:
    return {
        "note": head.note.decode(),
        "old": head.old_size,
        "root": encode_base64(head.root),
        "size": head.size,
        "time": head.time,
    }


def _head(about: Mapping[str, Any]) -> Head:
    frontier = decode_base64(about.get("frontier", ""), "a frontier")
    root = decode_base64(about["root"], "a root", HASH_SIZE)
    return Head(about["old"], about["size"], root, frontier, about["note"].encode(), about["time"])


def _nodes(file: Sealed) -> dict[tuple[int, int], bytes]:
    return {(level, index): decode_base64(root, "a root", HASH_SIZE) for level, index, root in file.about["nodes"]}


def _leaves(file: Sealed, start: int, end: int) -> list[bytes]:
    raw = file.block("leaves")
    return [raw[i * HASH_SIZE : (i + 1) * HASH_SIZE] for i in range(start, end)]


def _entries(file: Sealed, start: int, end: int) -> list[bytes]:
    return list(unframe(file.block("entries")))[start:end]
