"""What a custodian holds, in a plain folder: no database, nothing but files that are written once.

Of every log there are trees of files (see numbered_files.py), under the SHA-256 of its origin:
    heads/OLD           a head that follows the one of OLD entries, its last entries and their leaf hashes, and the
                        roots of the tiles that became full: an append is one file
    staged/START        entries that a rebuild or a follower stored before their head
    brought-LINE/START  entries that were brought before their head, apart from those of other lines
    observed-LINE/OLD+1 a head that was seen
    against-LINE/0      one by which the log contradicts what is stored
    published/SIZE      a published checkpoint
Of two appends that start from one size only one gets the name. What the loss of the folder buys an attacker: one copy
of N. What its capture buys: nothing that is not public.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256

from audit.log.encoding import decode_base64, encode_base64
from audit.log.merkle import HASH_SIZE
from audit.log.tiles import HEIGHT, frame
from audit.record.heads import is_rekey
from vault.custodian.cosign import EMPTY, Head
from vault.custodian.disk import Disk, RealDisk
from vault.custodian.folder_ahead import FilesAhead, Part, about_head, entries_in, head_from, leaves_in
from vault.custodian.nodes import new_nodes
from vault.custodian.numbered_files import KEEPS, NumberedFiles
from vault.custodian.sealed_files import Sealed, copies, twice
from vault.custodian.storage import WHAT_TO_DO, Damaged, DamagedCheckpoint, DamagedHead, Overtaken, Unsafe


class FolderStore(FilesAhead):
    """The logs of one custodian in the folder at `root`, a `storage.Store`, which `make_folder` has made. Unsafe if the
    folder is not such a one; OSError if it cannot be used.
    """

    def __init__(self, root: str, origins: Sequence[str], disk: Disk | None = None) -> None:
        super().__init__(root, origins, disk)
        self.check_safe()
        self._files.open()

    def __str__(self) -> str:
        return self._root

    def keep(self, origin: str, keeper: str) -> bool:
        """Notes that the custodian of this name keeps a log here; False if that is noted whole, or another one is."""
        name, content = self._logs[origin], twice(_kept(origin, keeper))
        try:
            self._files.note(name, content)
        except FileExistsError:
            if self.keeper(origin) != keeper or self._files.noted(name) == content:
                return False
            self._files.mend_note(name, content)
        return True

    def keeper(self, origin: str) -> str | None:
        """The name of the custodian that keeps a log here, None if none was noted."""
        name = self._logs[origin]
        said = self._files.noted(name)
        if said is None:
            return None
        for copy in copies(said):
            keeper = copy.decode(errors="replace").rpartition(f"\n{origin}\n")[2].partition("\n")[0]
            if copy == _kept(origin, keeper):
                return keeper
        where = f"{self._root}/{KEEPS}/{name}, which says who keeps {origin}"
        what = "if you know that it is this custodian, move the file away and start it again"
        raise Damaged(f"{where}, is not as it was written, in neither of its copies: {what}")

    def check_safe(self) -> None:
        """Unsafe unless the folder is this account's, and no other may change what is in it."""
        try:
            owner, mode = self._disk.owner_and_mode(self._root)
        except FileNotFoundError:
            raise Unsafe(f"{self._root} is not there. {WHAT_TO_DO}") from None
        if owner != os.geteuid():
            raise Unsafe(f"{self._root} belongs to another account than the one this custodian runs as")
        if mode & 0o022:
            raise Unsafe(f"{self._root}: mode {mode:04o} lets others change it; it must be 0700 (chmod 700)")

    def newest(self, origin: str) -> Head:
        """The head with the most entries; of a log that has none yet, the empty tree's."""
        old = self._files.newest(self._tree(origin, "heads"))
        if old is None:
            return EMPTY
        try:
            return head_from(self._open(origin, "heads", old).about)
        except Damaged as error:
            raise DamagedHead(str(error), old) from None

    def head_at(self, origin: str, size: int) -> Head | None:
        """The head of exactly this size, None if there is none."""
        # What is before the newest was on disk before the newest could be stored.
        self._files.newest(self._tree(origin, "heads"))
        return self._of_size(origin, "heads", size, size - 1)

    def head_after(self, origin: str, size: int) -> Head | None:
        """The head that follows the one of `size` entries, None if there is none."""
        self._files.newest(self._tree(origin, "heads"))
        if self._files.highest(self._tree(origin, "heads"), size) != size:
            return None
        return head_from(self._open(origin, "heads", size).about)

    def last_time(self) -> int:
        """The latest time ever cosigned, over all logs (POSIX seconds); 0 if none was."""
        return max((head.time for o in self._logs for head in (self.newest(o), *self._seen(o))), default=0)

    def append(
        self, origin: str, new: Head, leaves: Sequence[bytes], entries: Sequence[bytes], line: str | None = None
    ) -> None:
        """Stores head and entries, as one file, which names the `line` in which others were brought. Overtaken if the
        old size has been continued already.
        """
        first = new.size - len(entries)
        about = {**about_head(new), "first": first, "frontier": encode_base64(new.frontier)}
        about |= self._rekeys(origin, first, entries, line)
        hashes = partial(self.hashes, origin)
        if line is not None:
            start = max(self.staged(origin), new.old_size)
            about["brought"] = [line, start]
            hashes = partial(self._with_brought, origin, line, start)
        held = self.head_at(origin, new.old_size) or EMPTY
        made = new_nodes(hashes, held.frontier, new, first, leaves)
        about["nodes"] = [[level, index, encode_base64(root)] for (level, index), root in made.items()]
        self._put(origin, "heads", new.old_size, about, entries=frame(entries), leaves=b"".join(leaves))

    def rekeys(self, origin: str) -> list[int]:
        """The numbers of the entries that are rekeys: every file says where those up to its own end are. Of a newest
        file that is damaged, those before it.
        """
        found: set[int] = set()
        for kind in ("heads", "staged"):
            number = self._files.newest(self._tree(origin, kind))
            while number is not None:
                try:
                    found.update(self._open(origin, kind, number).about["rekeys"])
                    break
                except Damaged:
                    number = self._files.highest(self._tree(origin, kind), number - 1)
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
            return self._read(origin, start, end, leaves_in)
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
        return self._read(origin, start, end, entries_in)

    def staged(self, origin: str) -> int:
        """How many entries are stored, those included that no head covers yet."""
        size = self.newest(origin).size
        start = self._files.newest(self._tree(origin, "staged"))
        return size if start is None else max(size, self._open(origin, "staged", start).about["end"])

    def stage(self, origin: str, start: int, leaves: Sequence[bytes], entries: Sequence[bytes]) -> None:
        """Stores entries ahead of their head. Overtaken if there is an entry at `start` already."""
        about = {"end": start + len(entries), "start": start} | self._rekeys(origin, start, entries)
        self._put(origin, "staged", start, about, entries=frame(entries), leaves=b"".join(leaves))

    def _rekeys(
        self, origin: str, start: int, entries: Sequence[bytes], line: str | None = None
    ) -> dict[str, list[int]]:
        """Where keys are changed up to the end of these entries, by what is held and, beyond, was brought in a line."""
        known = self.rekeys(origin)
        number = None if line is None else self._files.newest(self._tree(origin, f"brought-{line}"))
        if number is not None:
            end = max(self.newest(origin).size, self.staged(origin))
            said = self._open(origin, f"brought-{line}", number).about["rekeys"]
            known = [index for index in known if index < end] + [index for index in said if index >= end]
        known = [index for index in known if index < start]
        return {"rekeys": known + [index for index, entry in enumerate(entries, start) if is_rekey(entry)]}

    def _with_brought(self, origin: str, line: str, start: int, level: int, at: int, end: int) -> list[bytes]:
        """As `hashes`, the leaf hashes from `start` on as they were brought."""
        if level or end <= start:
            return self.hashes(origin, level, at, end)
        known = self.hashes(origin, 0, at, start) if at < start else []
        return known + self.brought_hashes(origin, line, max(at, start), end)

    def _head_with(self, origin: str, index: int, before: Sealed | None = None) -> Sealed | None:
        """The file of the first head that covers entry `index`, with which that file begins that follows `before`."""
        if before is not None and before.about["size"] == index:
            # Nothing need be listed to find it.
            with suppress(Damaged):
                return self._open(origin, "heads", index)
        old = self._files.highest(self._tree(origin, "heads"), index)
        if old is None:
            return None
        file = self._open(origin, "heads", old)
        return file if index < file.about["size"] else None

    def _read(self, origin: str, start: int, end: int, part: Part) -> list[bytes]:
        """What `part` reads of the files that hold the entries [start, end), fewer if not all are stored."""
        found: list[bytes] = []
        head: Sealed | None = None
        while start < end:
            file = head = self._head_with(origin, start, head)
            first, last = (file.about["first"], file.about["size"]) if file else (start + 1, 0)
            if file is not None and start < first and start >= file.about.get("brought", ["", first])[1]:
                stop = min(end, first)
                found += (there := self._read_brought(origin, file.about["brought"][0], start, stop, part))
                if len(there) < stop - start:
                    break
                start = stop
                continue
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


def _nodes(file: Sealed) -> dict[tuple[int, int], bytes]:
    return {(level, index): decode_base64(root, "a root", HASH_SIZE) for level, index, root in file.about["nodes"]}


def make_folder(root: str, disk: Disk | None = None) -> None:
    """Makes an empty folder, or none yet, one in which a custodian keeps logs; again, it changes nothing. Unsafe if it
    holds other things; OSError.
    """
    disk = disk or RealDisk()
    try:
        disk.names(root)
    except FileNotFoundError:
        disk.make_folder(root)
        disk.sync_folder(os.path.dirname(root))
    NumberedFiles(disk, root).make()


def _kept(origin: str, keeper: str) -> bytes:
    """One of the copies in the file: without it nothing that is held here can be begun with."""
    text = f"psephos/v1 kept log\n{origin}\n{keeper}\n".encode()
    return text + sha256(text).hexdigest().encode() + b"\n"
