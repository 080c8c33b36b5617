"""What a custodian knows of a log ahead of what it holds, in a plain folder: heads that were seen, and entries that
were brought before their head. Both are kept by the line of trees they are of, so that one line never stands in the
way of another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any

from audit.log.encoding import decode_base64, encode_base64
from audit.log.merkle import HASH_SIZE
from audit.log.tiles import frame, unframe
from audit.record.heads import is_rekey
from vault.custodian.cosign import EMPTY, Head
from vault.custodian.disk import Disk, RealDisk
from vault.custodian.numbered_files import NumberedFiles
from vault.custodian.sealed_files import Read, Sealed, copies, seal, twice
from vault.custodian.storage import Damaged, Overtaken

TWICE = ("observed", "against")
"""Kinds of files that are two copies in one: which tree was seen nobody else knows."""
Part = Callable[[Sealed, int, int], list[bytes]]
"""(file, start, end) -> what is wanted of its entries [start, end)."""


class FilesAhead:
    """The part of a `storage.Store` that is about what comes before its head, and the files of the folder at `root`."""

    def __init__(self, root: str, origins: Sequence[str], disk: Disk | None = None) -> None:
        self._disk = disk or RealDisk()
        self._root = root
        self._files = NumberedFiles(self._disk, root)
        self._logs = {origin: sha256(origin.encode()).hexdigest() for origin in origins}

    def brought(self, origin: str, line: str) -> int:
        """The end of what was brought in a line, 0 if nothing was."""
        start = self._files.newest(self._tree(origin, f"brought-{line}"))
        return 0 if start is None else self._open(origin, f"brought-{line}", start).about["end"]

    def bring(self, origin: str, line: str, start: int, leaves: Sequence[bytes], entries: Sequence[bytes]) -> None:
        """Stores entries apart from all others. Overtaken if there is one at `start` already."""
        before = self._files.newest(self._tree(origin, f"brought-{line}"))
        rekeys = [] if before is None else self._open(origin, f"brought-{line}", before).about["rekeys"]
        rekeys = rekeys + [index for index, entry in enumerate(entries, start) if is_rekey(entry)]
        about = {"end": start + len(entries), "start": start, "rekeys": rekeys}
        self._put(origin, f"brought-{line}", start, about, entries=frame(entries), leaves=b"".join(leaves))

    def brought_hashes(self, origin: str, line: str, start: int, end: int) -> list[bytes]:
        """The leaf hashes of what was brought of [start, end)."""
        return self._read_brought(origin, line, start, end, leaves_in)

    def brought_entries(self, origin: str, line: str, start: int, end: int) -> list[bytes]:
        """What was brought of the entries [start, end)."""
        return self._read_brought(origin, line, start, end, entries_in)

    def observed(self, origin: str, line: str | None = None, most: int | None = None) -> Head:
        """The largest tree whose head was seen here."""
        return max(self._seen(origin, line, most), key=lambda head: head.size, default=EMPTY)

    def observed_beyond(self, origin: str, size: int, most: int) -> list[Head]:
        """Of each line the largest tree of more than `size` and at most `most` entries whose head was seen here."""
        return [head for head in self._seen(origin, None, most) if head.size > size]

    def observe(self, origin: str, line: str, new: Head) -> None:
        """Stores a head that was seen. Overtaken if the old size has been continued in this line already."""
        # A head of the empty tree follows no size, hence the one more.
        self._put(origin, f"observed-{line}", new.old_size + 1, about_head(new))

    def contradict(self, origin: str, line: str, other: Head) -> None:
        """Stores the head by which the log contradicts itself. Overtaken if there is one of this line already."""
        self._put(origin, f"against-{line}", 0, about_head(other))

    def contradicted(self, origin: str, line: str) -> Head | None:
        """The head by which the log contradicts itself in a line, None if none was stored."""
        kind = f"against-{line}"
        if self._files.newest(self._tree(origin, kind)) is None:
            return None
        return head_from(self._open(origin, kind, 0).about)

    def _read_brought(self, origin: str, line: str, start: int, end: int, part: Part) -> list[bytes]:
        """What `part` reads of the files that were brought in a line, fewer if not all are stored."""
        found: list[bytes] = []
        while start < end:
            number = self._files.highest(self._tree(origin, f"brought-{line}"), start)
            if number is None:
                break
            file = self._open(origin, f"brought-{line}", number)
            stop = min(end, file.about["end"])
            if stop <= start:
                break
            found += part(file, start - number, stop - number)
            start = stop
        return found

    def _seen(self, origin: str, line: str | None = None, most: int | None = None) -> Iterator[Head]:
        """The largest tree, of at most `most` entries if that is given, that was seen in each line, or in the one that
        is given.
        """
        # Of a version that knew no lines there may be a tree `observed`, of no line.
        mine = "observed" if line is None else f"observed-{line}"
        for kind in self._files.trees(self._logs[origin]):
            number = self._files.newest(self._tree(origin, kind)) if kind.startswith(mine) else None
            while number is not None:
                head = head_from(self._open(origin, kind, number).about)
                if most is None or head.size <= most:
                    yield head
                    break
                # Its number is less than its size; what was seen before it is smaller.
                number = self._files.highest(self._tree(origin, kind), min(most, number - 1))

    def _put(self, origin: str, kind: str, number: int, about: dict[str, Any], **blocks: bytes) -> None:
        content = seal(kind, {**about, "origin": origin}, **blocks)
        content = twice(content) if bare(kind) in TWICE else content
        try:
            self._files.put(self._tree(origin, kind), number, content)
        except FileExistsError:
            raise Overtaken(origin) from None

    def _open(self, origin: str, kind: str, number: int) -> Sealed:
        tree = self._tree(origin, kind)
        where = f"{self._root}/logs/{tree}: file {number}"

        def sealed(read: Read) -> Sealed:
            file = Sealed(kind, where, read)
            if file.about["origin"] != origin:
                raise Damaged(f"{where} is of another log")
            return file

        if bare(kind) not in TWICE:
            return sealed(lambda start, length: self._files.read(tree, number, start, length))
        raw = self._files.read(tree, number)
        with suppress(Damaged):
            # With the first copy it begins; before there were two, it was all.
            return sealed(lambda start, length: raw)
        return sealed(lambda start, length: copies(raw)[1])

    def _tree(self, origin: str, kind: str) -> str:
        return f"{self._logs[origin]}/{kind}"

    def _of_size(self, origin: str, kind: str, size: int, most: int) -> Head | None:
        """The head of this size in the file with the highest number up to `most`."""
        number = self._files.highest(self._tree(origin, kind), most)
        if number is None:
            return None
        head = head_from(self._open(origin, kind, number).about)
        return head if head.size == size else None


def bare(kind: str) -> str:
    """A kind without the line that it is of."""
    return kind.partition("-")[0]


def about_head(head: Head) -> dict[str, Any]:
    return {
        "note": head.note.decode(),
        "old": head.old_size,
        "root": encode_base64(head.root),
        "size": head.size,
        "time": head.time,
    }


def head_from(about: Mapping[str, Any]) -> Head:
    frontier = decode_base64(about.get("frontier", ""), "a frontier")
    root = decode_base64(about["root"], "a root", HASH_SIZE)
    return Head(about["old"], about["size"], root, frontier, about["note"].encode(), about["time"])


def leaves_in(file: Sealed, start: int, end: int) -> list[bytes]:
    raw = file.block("leaves")
    return [raw[i * HASH_SIZE : (i + 1) * HASH_SIZE] for i in range(start, end)]


def entries_in(file: Sealed, start: int, end: int) -> list[bytes]:
    raw = file.block("entries")
    # As many as there are, which was decided when the file was written: a follower stores more than a bundle at once.
    return list(unframe(raw, len(raw)))[start:end]
