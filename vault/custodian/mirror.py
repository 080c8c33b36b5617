"""The mirror beside a custodian (C2SP tlog-mirror): the log, or who else has the token, brings entries in packages of
256, each proven to be in a tree that the log has signed and that `add-checkpoint` has shown. What is proven is stored
at once, so that an upload that breaks off goes on where it stopped; but apart from what is held, and for each line of
trees by itself (`stored.line_of`): who has stolen the log's keys can bring false entries, which then keep no place from
the true ones that `append` brings, or that come here once the officials have replaced the keys.

The mirror's cosignature is the custodian's own, and says the same: it holds every entry. So it is made only here, and
by `append`, when all entries are stored; never by `add-checkpoint`, which the witness answers with its own key.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from audit.log.encoding import encode_base64
from audit.log.merkle import HASH_SIZE, MAX_PROOF, CompactRange, leaf_hash
from audit.log.notes import parse_note
from audit.log.subtree import verify_subtree
from audit.log.tiles import WIDTH
from audit.protocol.refused import Refused
from audit.record.heads import is_rekey
from vault.custodian.cosign import Head, WrongOldSize
from vault.custodian.kept import Kept
from vault.custodian.keys import of_all_times
from vault.custodian.storage import Overtaken
from vault.custodian.stored import by_log, check_seen, right_leaves, staged_leaves, whole

MAX_PACKAGES = 32
"""Packages of one call; the rest of its body is not read."""
MOST_AHEAD = 1 << 20
"""Entries that may be brought beyond the newest head: more must lead to a smaller tree first, which is then held."""


class NothingSeen(Refused):
    """No checkpoint of this log has been seen here."""

    def __init__(self) -> None:
        super().__init__("nothing-seen", "no checkpoint of this log has been seen: it comes first, by add-checkpoint")


class Elsewhere(Refused):
    """The upload does not begin, or end, where it can: a tree that has been seen has `size` entries, and `next` is the
    first one that is not stored. The ticket that goes with it is empty: every checkpoint seen is remembered.
    """

    def __init__(self, size: int, next: int) -> None:
        super().__init__("elsewhere", f"{next} entries of {size} are stored")
        self.size, self.next = size, next

    @property
    def info(self) -> bytes:
        """The three lines of `text/x.tlog.mirror-info`."""
        return f"{self.size}\n{self.next}\n{encode_base64(b'')}\n".encode()


class Unfinished(Elsewhere):
    """What came is stored, and there is more to come."""


@dataclass(frozen=True)
class Beginning:
    """Whose entries [start, end) a body brings, and at which byte the packages begin."""

    origin: str
    start: int
    end: int
    length: int


def parse_beginning(raw: bytes) -> Beginning | None:
    """The beginning of a body; None if there must be more of it. Refused `syntax`."""
    at = 2 + int.from_bytes(raw[:2], "big")
    if len(raw) < at + 18:
        return None
    start, end = int.from_bytes(raw[at : at + 8], "big"), int.from_bytes(raw[at + 8 : at + 16], "big")
    length = at + 18 + int.from_bytes(raw[at + 16 : at + 18], "big")
    if len(raw) < length:
        return None
    try:
        return Beginning(raw[2:at].decode(), start, end, length)
    except UnicodeDecodeError:
        raise Refused("syntax", "the origin is not UTF-8") from None


@dataclass(frozen=True)
class Package:
    """Entries [start, start + len(entries)), and the proof of all from the multiple of 256 on."""

    start: int
    entries: tuple[bytes, ...]
    proof: tuple[bytes, ...]


class NoPackage(Exception):
    """The bytes are none of a package: its proof is longer than one may be."""


class Packages:
    """Takes the bytes of packages as they come, and gives them back whole."""

    def __init__(self, start: int, end: int) -> None:
        self._start, self._end = start, end
        self._raw = bytearray()
        self._entries: list[bytes] = []
        self._at = 0

    @property
    def whole(self) -> bool:
        """Whether no package is to come."""
        return self._start == self._end

    def add(self, raw: bytes) -> None:
        """The next bytes of the body."""
        self._raw += raw

    def next(self) -> Package | None:
        """The next package, None if there must be more bytes first. NoPackage."""
        end = min(self._end, (self._start // WIDTH + 1) * WIDTH)
        raw = self._raw
        while len(self._entries) < end - self._start:
            stop = self._at + 2 + int.from_bytes(raw[self._at : self._at + 2], "big")
            if self._at + 2 > len(raw) or stop > len(raw):
                return None
            self._entries.append(bytes(raw[self._at + 2 : stop]))
            self._at = stop
        if self._at == len(raw):
            return None
        count, first = raw[self._at], self._at + 1
        if count > MAX_PROOF:
            raise NoPackage
        stop = first + count * HASH_SIZE
        if stop > len(raw):
            return None
        proof = tuple(bytes(raw[i : i + HASH_SIZE]) for i in range(first, stop, HASH_SIZE))
        package = Package(self._start, tuple(self._entries), proof)
        self._start, self._entries, self._at = end, [], 0
        del raw[:stop]
        return package


@dataclass(frozen=True)
class Target:
    """The tree that an upload leads to, as the log has signed it, and in which line of trees."""

    head: Head
    line: str

    @property
    def size(self) -> int:
        return self.head.size


class Mirror:
    """Stores what is proven, and cosigns when everything is there. Nothing in it waits for the network."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def begin(self, beginning: Beginning) -> Target:
        """The tree that the upload leads to.

        Refused `unknown-log` (404), `syntax` (400) if it ends before it begins; NothingSeen (422); Elsewhere (409) if
        no such tree has been seen, if all of a larger one is held, if entries before the first are missing, or if more
        are there already than one call brings.
        """
        origin, start, end = beginning.origin, beginning.start, beginning.end
        self._kept.keys(origin)
        if start > end:
            raise Refused("syntax", f"the upload begins at {start}, after its end at {end}")
        seen, held = self._kept.seen(origin), self._kept.newest(origin)
        if not seen.note:
            raise NothingSeen
        line = self._kept.line(origin)
        stored = self.stored(origin, line)
        if not held.size <= end <= seen.size:
            raise Elsewhere(seen.size, stored)
        target = held if end == held.size and held.note else self._kept.store.observed(origin, line, end)
        if target.size != end or not target.note:
            raise Elsewhere(seen.size, stored)
        check_seen(origin, target, of_all_times(self._kept.keys(origin)))
        if start > stored or min(end, stored) - start > MAX_PACKAGES * WIDTH:
            raise Elsewhere(end, stored)
        return Target(target, line)

    def stored(self, origin: str, line: str) -> int:
        """How many entries are stored, from the first on, those included that were brought in a line."""
        return max(self._kept.newest(origin).size, self._kept.store.brought(origin, line))

    def take(self, origin: str, target: Target, package: Package) -> int:
        """Stores the entries of one package, those left out that are stored; how many were not. Refused `wrong-proof`
        or `too-far-ahead` (422).
        """
        first, end = package.start // WIDTH * WIDTH, package.start + len(package.entries)
        leaves = [leaf_hash(entry) for entry in package.entries]
        part = CompactRange()
        part.extend(self._hashes(origin, target.line, first, package.start))
        part.extend(leaves)
        try:
            verify_subtree(first, end, part.root(), target.size, target.head.root, package.proof)
        except Refused as refusal:
            raise Refused("wrong-proof", refusal.detail) from None
        held, stored = self._kept.newest(origin).size, self.stored(origin, target.line)
        if end > held + MOST_AHEAD:
            text = f"{held} entries are held, and at most {MOST_AHEAD} may come before their head"
            raise Refused("too-far-ahead", f"{text}: lead them to a smaller tree first")
        new = stored - package.start
        if package.start <= stored < end:
            # Overtaken by another upload with the same entries: both are proven to be in trees of this line.
            with suppress(Overtaken):
                self._kept.store.bring(origin, target.line, stored, leaves[new:], package.entries[new:])
                return end - stored
        return 0

    def finish(self, origin: str, target: Target) -> bytes:
        """Stores the head, if all of its entries are, and returns the cosignature lines over it.

        Unfinished (202) if some are missing; Elsewhere (409) if a larger tree is held by now; Refused `fork` (422) if
        the tree that is held is not a beginning of this one; `clock-backwards`, `clock-leapt`,
        `examining` or `damaged` (503). Damaged.
        """
        held = self._kept.newest(origin)
        while held.size < target.size:
            stored = self.stored(origin, target.line)
            if stored < target.size:
                raise Unfinished(target.size, stored)
            # It takes as long as there is to read, and no append waits for it: what is brought does not change.
            grown, rekeys = self._read(origin, held, target)
            with self._kept.deciding:
                now = self._kept.newest(origin)
                held = self._commit(origin, held, target, grown, rekeys) if now == held else now
        if held.size > target.size:
            raise Elsewhere(self._kept.seen(origin).size, self.stored(origin, target.line))
        return self._kept.lines(origin, held)

    def _read(self, origin: str, held: Head, target: Target) -> tuple[CompactRange, list[tuple[int, bytes]]]:
        """The frontier at the end of what was brought, and where in it keys are changed. Refused `fork`; Damaged."""
        grown, rekeys = CompactRange.from_bytes(held.frontier), list[tuple[int, bytes]]()
        staged = self._kept.store.staged(origin)
        for start in range(held.size, target.size, WIDTH):
            # What is signed is that the entries are held, so they are read, and not their hashes alone.
            end = min(start + WIDTH, target.size)
            entries = self._kept.store.brought_entries(origin, target.line, start, end)
            hashes = self._kept.store.brought_hashes(origin, target.line, start, end)
            leaves = right_leaves(start, end, entries, hashes)
            there = staged_leaves(self._kept.store, origin, start, min(staged, end))
            if there != leaves[: len(there)]:
                raise Refused("fork", "the log has signed a tree with other entries at these places")
            rekeys += [(index, entry) for index, entry in enumerate(entries, start) if is_rekey(entry)]
            grown.extend(leaves)
        if grown.root() != target.head.root:
            raise Refused("fork", "the log has signed this tree and another one, which is held here")
        return grown, rekeys

    def _commit(
        self, origin: str, held: Head, target: Target, grown: CompactRange, rekeys: list[tuple[int, bytes]]
    ) -> Head:
        later = self._kept.keys(origin)
        for index, entry in rekeys:
            later = later.after(index, [entry])
        # When the checkpoint was seen it was not known yet which keys it must be signed by.
        by_log(later.at(target.size), parse_note(target.head.note))
        new = replace(target.head, old_size=held.size, frontier=grown.to_bytes(), time=self._kept.time_to_sign())
        try:
            self._kept.keep(origin, new, (), (), target.size, target.line)
        except WrongOldSize as refusal:
            raise Elsewhere(self._kept.seen(origin).size, refusal.size) from None
        self._kept.learn(origin, rekeys)
        return new

    def _hashes(self, origin: str, line: str, start: int, end: int) -> Sequence[bytes]:
        held = min(max(self._kept.newest(origin).size, start), end)
        found = self._kept.store.hashes(origin, 0, start, held) if start < held else []
        found += self._kept.store.brought_hashes(origin, line, held, end) if held < end else []
        return whole(found, end - start)
