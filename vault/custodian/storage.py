"""What a custodian asks of the place where it keeps logs: `SqlStore` keeps them in PostgreSQL, `FolderStore` in a plain
folder.

A store only grows. What it has said to hold it holds after any crash, and a head is stored together with all of its
entries or not at all. Which heads may be stored is not decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from vault.custodian.cosign import Head

Truth = Callable[[int, int], list[bytes]]
"""(start, end) -> the entries [start, end), each shown to be under a signed root."""


class Overtaken(Exception):
    """Another append that starts from the same size has been stored."""


class Unsafe(Exception):
    """The place is such that something stored may be lost, or changed, without anybody noticing. `what`: what it is, a
    word for the log.
    """

    def __init__(self, detail: str, what: str = "place") -> None:
        super().__init__(detail)
        self.what = what


# One that begins empty again, with its old keys, could be led to sign what contradicts what it signed before.
WHAT_TO_DO = (
    "If what this custodian holds is on another disk, mount that; if it is lost, run `psephos custodian rebuild`; "
    "if it is new and has signed nothing, run `psephos custodian create`"
)

AHEAD = ("observed", "against", "staged", "brought", "keeper", "time", "follows")
"""What there is before its head: heads that were seen, evidence against the log, entries that were staged, and those
that were brought; and what else is asked for before the next: who keeps the log, the latest time, and whether a head
follows the newest.
"""

FOLLOWER = ""
"""In the place of the name of a custodian, which one that follows has not."""
REBUILDING = "rebuilding "
"""Before the name of a custodian that keeps a log and has forgotten what it signed; no name has a space."""


class Damaged(Exception):
    """What was stored is not there, or not as it was: this custodian must not answer as if it held it."""


class DamagedCheckpoint(Damaged):
    """The published checkpoint of `size` entries is not as it was stored."""

    def __init__(self, detail: str, size: int) -> None:
        super().__init__(detail)
        self.size = size


class DamagedHead(Damaged):
    """The newest head, which is of more than `above` entries, is not as it was stored."""

    def __init__(self, detail: str, above: int) -> None:
        super().__init__(detail)
        self.above = above


class Store(Protocol):
    """The logs of one custodian, each under its origin. What goes wrong with the disk or the database is raised as
    OSError or SQLAlchemyError; a method that stores has then stored all or nothing, and which of them is seen by
    reading. Damaged from whatever reads.
    """

    def check_safe(self) -> None:
        """Unsafe, with what to do about it, unless what is stored here stays, and is found out if it does not."""

    def keep(self, origin: str, keeper: str) -> bool:
        """Notes that the custodian of this name ("" for one that follows, after REBUILDING for one that has lost what
        it held) keeps a log here, or mends that note; False if it is noted whole, or another one is.
        """

    def keeper(self, origin: str) -> str | None:
        """What `keep` has noted of a log, None if nothing."""

    def newest(self, origin: str) -> Head:
        """The head with the most entries; of a log that has none yet, the empty tree's (`cosign.EMPTY`). DamagedHead if
        it is known of which size the one before it is.
        """

    def head_at(self, origin: str, size: int) -> Head | None:
        """The head of exactly this size, None if there is none."""

    def head_after(self, origin: str, size: int) -> Head | None:
        """The head that follows the one of `size` entries, None if there is none."""

    def last_time(self) -> int:
        """The latest time ever cosigned, over all logs, with any key (POSIX seconds); 0 if none was."""

    def append(
        self, origin: str, new: Head, leaves: Sequence[bytes], entries: Sequence[bytes], line: str | None = None
    ) -> None:
        """Stores the head that follows the newest, and its last entries with their leaf hashes (32 bytes each); the
        entries before those, if any, are staged, and from where that ends were brought towards the trees of `line`.

        When it returns they are on disk. Overtaken if the old size has been continued already.
        """

    def published(self, origin: str, below: int | None = None) -> tuple[int, bytes]:
        """Size and note of the newest published checkpoint, of fewer than `below` entries if that is given; (0, b"")
        if there is none. DamagedCheckpoint if it is known which one is damaged.
        """

    def publish(self, origin: str, size: int, note: bytes) -> None:
        """Stores a published checkpoint. The first one of a size stands: another only bears more cosignatures."""

    def hashes(self, origin: str, level: int, start: int, end: int) -> list[bytes]:
        """The 32-byte hashes [start, end) of a tile level: leaf hashes at 0, roots of full tiles of the level below
        above it. Fewer if not all are stored.
        """

    def entries(self, origin: str, start: int, end: int) -> list[bytes]:
        """The entries [start, end), fewer if not all are stored."""

    def rekeys(self, origin: str) -> list[int]:
        """The numbers of the entries stored that are of the type `rekey`, ascending, as far as they can be told."""

    def staged(self, origin: str) -> int:
        """How many entries are stored from the first on, those included that no head covers yet."""

    def stage(self, origin: str, start: int, leaves: Sequence[bytes], entries: Sequence[bytes]) -> None:
        """Stores entries ahead of their head, and their leaf hashes; `start` is what `staged` says.

        They must be proven to be in a tree that W custodians have cosigned and that continues the newest head's: what
        takes their places must be the same. When it returns they are on disk. Overtaken if there is an entry at
        `start` already.
        """

    def brought(self, origin: str, line: str) -> int:
        """The end of the entries that were brought towards the trees of `line`, 0 if none were. Those below it, as far
        as they are beyond the newest head, are all there.
        """

    def bring(self, origin: str, line: str, start: int, leaves: Sequence[bytes], entries: Sequence[bytes]) -> None:
        """Stores entries ahead of their head, and their leaf hashes, apart from all others: they must be proven to be
        in a tree that the log has signed, and whose head was observed in `line`, and keep nothing else from their
        places.

        When it returns they are on disk. Overtaken if there is an entry at `start` already.
        """

    def brought_hashes(self, origin: str, line: str, start: int, end: int) -> list[bytes]:
        """The leaf hashes of the entries [start, end) that were brought; fewer if not all are stored."""

    def brought_entries(self, origin: str, line: str, start: int, end: int) -> list[bytes]:
        """The entries [start, end) that were brought, fewer if not all are stored."""

    def observed(self, origin: str, line: str | None = None, most: int | None = None) -> Head:
        """The largest tree, of at most `most` entries if that is given, whose head was seen here in `line`, or in any
        if that is None, its entries held or not, as `observe` stored it (`cosign.EMPTY` if none was).
        """

    def observed_beyond(self, origin: str, size: int, most: int) -> list[Head]:
        """Of each line the largest tree of more than `size` and at most `most` entries whose head was seen here: those
        before it in its line are its beginnings.
        """

    def observe(self, origin: str, line: str, new: Head) -> None:
        """Stores a head that was seen and proven to follow the one of `new.old_size`, the largest that is held or was
        seen in `line`; its frontier is empty. `line`
        stands for the keys by which the log signed it (`stored.line_of`).

        When it returns it is on disk. Overtaken if the old size has been continued in this line already.
        """

    def contradict(self, origin: str, line: str, other: Head) -> None:
        """Stores a head by which the log's keys that `line` stands for contradict one that is stored, as evidence
        beside that; nothing builds on it. When it returns it is on disk. Overtaken if there is one of this line
        already.
        """

    def contradicted(self, origin: str, line: str) -> Head | None:
        """What `contradict` has stored of a line, None if nothing."""


class Mendable(Store, Protocol):
    """A store that takes the right bytes beside the damaged ones, which stay as evidence; from then on it gives the
    right ones. Only for bytes that were verified against a signed root.
    """

    def heads(self, origin: str) -> Iterator[int]:
        """The sizes of all heads, ascending, as far as they can be told."""

    def mend_entry(self, origin: str, index: int, truth: Truth) -> None:
        """Repairs entry `index` and its leaf hash, or all that stands in one file with it."""

    def mend_node(self, origin: str, level: int, index: int, truth: bytes) -> None:
        """Repairs a hash of a tile level, 1 and above."""

    def mend_head(self, origin: str, truth: Head, entries: Truth) -> None:
        """Repairs the head of a size, and what stands in one file with it. Damaged if `entries` do not lead to it."""

    def mend_published(self, origin: str, size: int, note: bytes) -> None:
        """Repairs the published checkpoint of a size."""

    def check_growing(self, origin: str) -> None:
        """Damaged if what comes next could not be stored beside what is damaged."""

    def ahead(self, origin: str, size: int) -> Iterator[tuple[str, int, bool]]:
        """What came before its head and is needed as soon as more than `size` entries are to be held, piece by piece:
        which of AHEAD it is, its number, and whether it can be read.
        """

    def mend_ahead(self, origin: str, kind: str, number: int, truth: Truth) -> str:
        """Repairs such a piece, by what else is known of it, or takes it out of the way with those that follow it, over
        which nothing was signed, and which come again; in words, what was done. `truth` gives what a peer proves beyond
        what is held. Only while nothing that is held is damaged. Damaged, with what to do, if it can do neither.
        """
