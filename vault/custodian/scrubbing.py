"""Re-reads all that a custodian holds of a log, finds what is not as it was stored, and mends it with bytes that are
proven to be right.

What is right follows from signatures alone: the newest head bears the log's, a published checkpoint and a peer's those
of W custodians besides, and under its root lies every entry, leaf hash, tile and older head. An entry, its leaf hash
and the tile above it say the same thing three times, so most damage is placed, and a damaged hash mended, without
asking anybody; an entry's bytes come from a peer, and are taken only with the proof that they are under its root.

Memory is 32 bytes for every 256 entries, and the names of what is damaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from audit.log.checkpoint import open_note
from audit.log.merkle import HASH_SIZE, CompactRange
from audit.log.notes import parse_note
from audit.log.reader import tile_root
from audit.log.tiles import HEIGHT, WIDTH
from audit.log.treehead import parse_checkpoint
from audit.protocol.refused import Refused
from vault.custodian.cosign import Head
from vault.custodian.keys import Keys, learn_stored
from vault.custodian.rows import Row, hash_present, read_rows
from vault.custodian.storage import FOLLOWER, REBUILDING, Damaged, DamagedCheckpoint, DamagedHead, Mendable
from vault.custodian.stored import by_log, check_head

STEP = 4 * WIDTH
"""Entries read at a time: 64 MiB at most, about 300 KiB as a rule."""

Progress = Callable[[int, int], None]
Published = tuple[int, bytes | None] | None


@dataclass(frozen=True, order=True)
class Fault:
    """One thing that is not as it was stored. `kind`: entry, leaf, tile, head, published, tree, or of `storage.AHEAD`;
    `how`: missing, unreadable, differs, earlier, or contradicts."""

    kind: str
    level: int
    number: int
    how: str

    def __str__(self) -> str:
        names = {
            "entry": f"entry {self.number}",
            "leaf": f"leaf hash {self.number}",
            "tile": f"tile hash {self.level}/{self.number}",
            "head": f"head of {self.number} entries",
            "published": f"published checkpoint of {self.number} entries",
            "tree": f"tree of {self.number} entries",
            "against": "evidence that the log contradicts itself",
            "observed": f"head that was seen, number {self.number}",
            "staged": f"entries from {self.number} on that were staged before their head",
            "brought": f"entries from {self.number} on that were brought before their head",
            "keeper": "name of who keeps the log",
            "time": "latest time that was cosigned",
            "follows": f"place of the head that follows {self.number} entries",
        }
        said = {
            "missing": "is missing",
            "unreadable": "cannot be read",
            "differs": "is not as it was stored",
            "earlier": "has an earlier time than one of fewer entries",
            "contradicts": "is of another tree than the one that is held; keep both as they are",
        }
        return f"{names[self.kind]}: {said[self.how]}"


@dataclass
class Found:
    """What an examination found. `bundles`: those in which something is damaged, with the leaf hashes that are most
    likely right; `whole`: whether these are, since all that is held leads, by them, to the root of `head`. `roots` are
    the hashes of all full bundles.
    """

    head: Head
    faults: list[Fault] = field(default_factory=list)
    bundles: dict[int, list[bytes]] = field(default_factory=dict)
    roots: list[bytes] = field(default_factory=list)
    whole: bool = False
    lost: bool = False
    """Whether the newest head is damaged, or gone, and `head` is what was published of it: without its frontier."""
    time: int = 0
    """The latest time of the heads that were read so far."""
    published: CompactRange = field(default_factory=CompactRange)
    """What is held of the tree that was published last."""
    grown: CompactRange = field(default_factory=CompactRange)


class Examination:
    """One pass over what `store` holds of the log of `keys` when it begins: the service may go on meanwhile, and what
    it adds is not looked at. `progress` is called at least once for each bundle and head; `faults` are those that were
    found so far. SQLAlchemyError or OSError if the store cannot be used.
    """

    def __init__(self, store: Mendable, keys: Keys, progress: Progress = lambda done, total: None) -> None:
        # Of the service's own keys a copy: it learns of a rekey after it has stored the head over it.
        self._store, self._keys, self._origin = store, keys.after(0, ()), keys.origin
        self._progress = progress
        self.faults: list[Fault] = []

    def run(self) -> Found:
        """Everything that is damaged. Damaged if the newest head is, and no published checkpoint can stand for it."""
        # Before the newest head, which is never smaller.
        published = self._published()
        found = self._anchor(published)
        self.faults = found.faults
        heads = self._heads(found)
        due = next(heads, None)
        for index, rows in enumerate(self._bundles(found.head.size)):
            leaves = self._bundle(found, index, rows)
            at = index * WIDTH
            if published and at < published[0] <= at + len(leaves):
                found.published = found.grown.copy()
                found.published.extend(leaves[: published[0] - at])
            while due is not None and due.size <= at + len(leaves):
                self._check_head(found, due, leaves[: due.size - at])
                self._progress(found.grown.size, found.head.size)
                due = next(heads, None)
            if len(leaves) == WIDTH:
                found.grown.append(found.roots[-1], HEIGHT)
            else:
                found.grown.extend(leaves)
            self._progress(found.grown.size, found.head.size)
        found.whole = found.grown.root() == found.head.root
        if not found.whole:
            # Where in it the fault is, nothing here says: the heads in between were compared with what is wrong.
            newest = found.head.size if found.lost else None
            found.faults[:] = [fault for fault in found.faults if fault.kind != "head" or fault.number == newest]
            found.faults.append(Fault("tree", 0, found.head.size, "differs"))
        self._check_tiles(found)
        self._check_published(found, published)
        for kind, number, right in self._store.ahead(self._origin, found.head.size):
            if not right:
                found.faults.append(Fault(kind, 0, number, "unreadable"))
            self._progress(found.grown.size, found.head.size)
        return found

    def _anchor(self, published: Published) -> Found:
        """What all else is compared with: the newest head, or what was published of it."""
        try:
            held = self._store.newest(self._origin)
        except DamagedHead as damaged:
            if stands := self._stand_in(published, damaged.above, "unreadable"):
                return stands
            raise
        learn_stored(self._store, self._keys)
        try:
            check_head(held, self._keys.at(held.size))
        except Damaged:
            if stands := self._stand_in(published, held.size - 1, "differs"):
                return stands
            raise
        # A checkpoint was published after its head was stored: if that is larger, heads are gone.
        return self._stand_in(published, held.size, "missing") or Found(held)

    def _stand_in(self, published: Published, above: int, how: str) -> Found | None:
        """The newest head, of more than `above` entries, as it was published; None if it was not. The log and W
        custodians have signed that, and of so many entries there was no other head here.
        """
        size, raw = published or (0, None)
        if raw is None or size <= above:
            return None
        try:
            note = parse_note(raw)
            policy = self._keys.at(size)
            checkpoint = open_note(note, policy, exact=True)
            head = Head(0, size, checkpoint.root, b"", by_log(policy, note).raw, 0)
        except Refused:
            return None
        return None if checkpoint.size != size else Found(head, [Fault("head", 0, size, how)], lost=True)

    def _bundles(self, size: int) -> Iterator[list[Row]]:
        for start in range(0, size, STEP):
            rows = read_rows(self._store, self._origin, start, min(start + STEP, size))
            for at in range(0, len(rows), WIDTH):
                yield rows[at : at + WIDTH]

    def _bundle(self, found: Found, index: int, rows: list[Row]) -> list[bytes]:
        """The leaf hashes of a bundle that most likely are the right ones, and what is damaged in it."""
        leaves = [row.leaf or b"" for row in rows]
        computed = hash_present(rows)
        full = len(rows) == WIDTH
        node = self._node(1, index) if full else None
        if leaves == computed and b"" not in leaves:
            root = tile_root(leaves)
            if full:
                found.roots.append(root)
                if node != root:
                    # Two say the same against one: the root of the whole tree will tell whether they are right.
                    found.faults.append(Fault("tile", 1, index, "missing" if node is None else "differs"))
                    found.bundles[index] = leaves
            return leaves
        likely = [leaf or data for data, leaf in zip(computed, leaves, strict=True)]
        right = next((one for one in (computed, leaves, likely) if self._fits(found, one, node)), likely)
        for offset, row in enumerate(rows):
            found.faults += row_faults(index * WIDTH + offset, row, right[offset], computed[offset])
        right = found.bundles[index] = [leaf or bytes(HASH_SIZE) for leaf in right]
        if full:
            found.roots.append(tile_root(right))
        return right

    def _fits(self, found: Found, leaves: list[bytes], node: bytes | None) -> bool:
        """Whether these are what the tile above was made of; above the last, which is not full, is the root itself."""
        if b"" in leaves:
            return False
        if len(leaves) == WIDTH:
            return tile_root(leaves) == node
        grown = found.grown.copy()
        grown.extend(leaves)
        return grown.root() == found.head.root

    def _node(self, level: int, index: int) -> bytes | None:
        try:
            return next(iter(self._store.hashes(self._origin, level, index, index + 1)), None)
        except Damaged:
            return None

    def _heads(self, found: Found) -> Iterator[Head]:
        # Of one that follows they are those of a clock that may leap, and nobody signs them.
        last, signed = 0, self._keeper() != FOLLOWER
        for size in self._store.heads(self._origin):
            if found.lost and size == found.head.size:
                continue
            try:
                head = self._store.head_at(self._origin, size)
            except Damaged:
                head = None
            if head is None:
                found.faults.append(Fault("head", 0, size, "unreadable"))
                last = size
                continue
            if head.old_size != last:
                # Heads follow each other: one that stood between is gone.
                found.faults.append(Fault("head", 0, head.old_size, "missing"))
            last = size
            # Else who owns the database could have an old tree stated anew at a time after that of a larger one. A head
            # that was lost has no time.
            if signed and head.time and head.time < found.time:
                found.faults.append(Fault("head", 0, size, "earlier"))
            found.time = max(found.time, head.time)
            yield head

    def _check_head(self, found: Found, head: Head, leaves: Sequence[bytes]) -> None:
        grown = found.grown.copy()
        grown.extend(leaves)
        right = (grown.size, grown.root(), grown.to_bytes()) == (head.size, head.root, head.frontier)
        if right and head.note:
            try:
                checkpoint = open_note(parse_note(head.note), self._keys.at(head.size), witnessed=False)
                right = (checkpoint.size, checkpoint.root) == (head.size, head.root)
            except Refused:
                right = False
        if not right:
            found.faults.append(Fault("head", 0, head.size, "differs"))

    def _check_tiles(self, found: Found) -> None:
        """The hashes of level 2 and above, from those of level 1."""
        below, level = found.roots, 2
        while len(below) >= WIDTH:
            hashes = [tile_root(below[at : at + WIDTH]) for at in range(0, len(below) // WIDTH * WIDTH, WIDTH)]
            for index, value in enumerate(hashes):
                node = self._node(level, index)
                if node != value:
                    found.faults.append(Fault("tile", level, index, "missing" if node is None else "differs"))
            below, level = hashes, level + 1

    def _published(self) -> Published:
        """Size and note of the newest published checkpoint, without the note or at all as far as it can be read."""
        try:
            if self._is_unfinished():
                return 0, b""
            return self._store.published(self._origin)
        except DamagedCheckpoint as damaged:
            return damaged.size, None
        except Damaged:
            return None

    def _is_unfinished(self) -> bool:
        """Whether a rebuild is not at its end: what was shown to it stands for no head of this custodian's."""
        with suppress(Damaged):
            return (self._keeper() or "").startswith(REBUILDING) and not self._store.newest(self._origin).size
        return False

    def _keeper(self) -> str | None:
        """What is noted of who keeps the log, None if nothing that can be read."""
        with suppress(Damaged):
            return self._store.keeper(self._origin)
        return None

    def _check_published(self, found: Found, published: Published) -> None:
        if published is None:
            found.faults.append(Fault("published", 0, found.head.size, "unreadable"))
            return
        size, raw = published
        if raw is None:
            found.faults.append(Fault("published", 0, size, "unreadable"))
            return
        if size == 0:
            return
        try:
            note = parse_note(raw)
            checkpoint = open_note(note, self._keys.at(parse_checkpoint(note.text).size), exact=True)
            right = checkpoint.size == size
        except Refused:
            right = False
        if not right:
            found.faults.append(Fault("published", 0, size, "differs"))
        elif found.whole and (size, checkpoint.root) != (found.published.size, found.published.root()):
            # The log signed both, and W custodians this one: nothing here was only damaged.
            found.faults.append(Fault("published", 0, size, "contradicts"))


def row_faults(number: int, row: Row, right: bytes, computed: bytes) -> Iterator[Fault]:
    """What is wrong with a row whose leaf hash should be `right` (b"" if that is not known)."""
    if row.unreadable:
        yield Fault("entry", 0, number, "unreadable")
    elif row.data is None:
        yield Fault("entry", 0, number, "missing")
    elif computed != right:
        yield Fault("entry", 0, number, "differs")
    elif row.leaf != right:
        yield Fault("leaf", 0, number, "missing" if row.leaf is None else "differs")
