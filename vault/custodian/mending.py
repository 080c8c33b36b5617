"""Mends what an examination found, and examines again: only what then leads to the signed root counts as mended.

Bytes of a peer are taken with the proof that they are under its checkpoint, which the log and W custodians signed; so a
peer that lies can hinder a repair, and nothing else. What this custodian has cosigned it must know itself: if its
newest head is lost, a published checkpoint that it holds, of more entries than the head before, says which one it was.
Of one that was not published yet nobody else can say it (see `rebuilding`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

from audit.log.checkpoint import open_note
from audit.log.merkle import CompactRange, frontier, leaf_hash
from audit.log.notes import parse_note
from audit.log.reader import Reader, ReadError, tile_root
from audit.log.tiles import WIDTH
from audit.protocol.refused import Refused
from infra import failpoints
from vault.custodian.cosign import Head, check_clock
from vault.custodian.kept import Clock
from vault.custodian.keys import Keys
from vault.custodian.peers import Peer, line_times
from vault.custodian.rows import hash_present, read_row, read_rows
from vault.custodian.scrubbing import Examination, Fault, Found, Progress
from vault.custodian.storage import AHEAD, Damaged, Mendable
from vault.custodian.stored import hash_all, tree

ROUNDS = 4
"""Entries first, then the tiles over them, then the heads, then what came before its head: each is checked with what
was mended before.
"""
CODES = {"whole": 0, "mended": 3, "damaged": 4}

Report = Callable[[str], None]


class Scrub:
    """Examines and mends the log of `keys` in `store`, from `peers`; tells `report` what it finds, a line each. `clock`
    gives POSIX seconds; `names` are this custodian's, none of one that follows.

    `run` returns one of CODES. SQLAlchemyError or OSError if the store cannot be used.
    """

    def __init__(
        self,
        store: Mendable,
        keys: Keys,
        peers: Sequence[Reader],
        report: Report,
        progress: Progress = lambda done, total: None,
        *,
        clock: Clock,
        names: Collection[str] = (),
    ) -> None:
        self._store, self._keys, self._origin = store, keys, keys.origin
        self._report, self._progress, self._clock, self._names = report, progress, clock, names
        self._readers = peers
        self._peers: list[Peer] | None = None
        self._told: set[Fault] = set()
        self._stuck: set[Fault] = set()
        self.faults: list[Fault] = []

    def run(self) -> int:
        try:
            found = self._examine()
            code = CODES["mended"] if found.faults else CODES["whole"]
            for _ in range(ROUNDS):
                if not found.faults:
                    break
                self._mend(found)
                found = self._examine()
            self.faults = found.faults
            for fault in found.faults:
                self._report(f"{self._origin}: {fault}: not repaired")
            if found.faults:
                return CODES["damaged"]
            self._store.check_growing(self._origin)
        except Damaged as error:
            self._report(f"{self._origin}: {error}; not repairable, rebuild this custodian from its peers")
            return CODES["damaged"]
        if code == CODES["whole"]:
            self._report(f"{self._origin}: all right, {found.head.size} entries")
        return code

    def _mended(self, what: str) -> None:
        # A crash here leaves the rest as it was: the next scrub finds it.
        failpoints.at("scrub.mended")
        self._report(f"{self._origin}: {what}")

    def _examine(self) -> Found:
        found = Examination(self._store, self._keys, self._progress).run()
        for fault in found.faults:
            if fault not in self._told:
                self._told.add(fault)
                self._report(f"{self._origin}: {fault}")
        return found

    def _mend(self, found: Found) -> None:
        if found.lost:
            self._mend_newest(found)
        bundles = set(found.bundles)
        if not found.whole:
            bundles.update(self._suspects(found))
        for index in sorted(bundles):
            self._mend_bundle(found, index)
        if not found.whole:
            return
        if all(fault.kind in AHEAD for fault in found.faults):
            # It is part of nothing that is held.
            for fault in found.faults:
                self._mend_ahead(found, fault)
        for fault in found.faults:
            if fault.kind == "tile":
                self._mend_tile(found, fault)
            elif fault.kind == "head" and fault.how != "earlier":
                self._mend_head(found, fault)
            elif fault.kind == "published" and fault.how != "contradicts":
                self._mend_published(found, fault)

    def _suspects(self, found: Found) -> list[int]:
        """The bundles that peers have otherwise, and the last: which of all that is held is wrong, only they can say.

        What they say is not believed, but looked into.
        """
        last = found.head.size // WIDTH
        suspects = {last} if found.head.size % WIDTH else set()
        for peer in self._all_peers():
            for index in range(min(last, peer.head.size // WIDTH)):
                try:
                    if peer.tiles(8, index) != found.roots[index]:
                        suspects.add(index)
                except ReadError as error:
                    self._report(f"{error}")
                    break
        return sorted(suspects)

    def _mend_bundle(self, found: Found, index: int) -> None:
        """Mends entries and leaf hashes of a bundle, if it is known what is right."""
        try:
            entries, source = self._right_entries(found, index)
        except Damaged:
            return
        for number, entry in enumerate(entries, index * WIDTH):
            row, leaf = read_row(self._store, self._origin, number), leaf_hash(entry)
            # Of a store that mends a whole file at a time, the others are right by now.
            if row.leaf == leaf and row.data is not None and leaf_hash(row.data) == leaf:
                continue
            try:
                self._store.mend_entry(self._origin, number, partial(self._truth, found))
            except Damaged as error:
                self._report(f"{self._origin}: {error}")
                return
            self._mended(f"entry {number}: mended from {source}")

    def _right_entries(self, found: Found, index: int) -> tuple[list[bytes], str]:
        """The right entries of a bundle, and who has them: this custodian, if they lead to its signed root, or a peer
        that proves them. Damaged if nobody does.
        """
        start, end = index * WIDTH, min((index + 1) * WIDTH, found.head.size)
        right: list[bytes] = []
        if found.whole:
            rows = read_rows(self._store, self._origin, start, end)
            held = hash_present(rows)
            right = found.bundles.get(index, held)
            if held == right and b"" not in held:
                return [row.data or b"" for row in rows], "what is held"
        for peer in self._all_peers():
            if peer.head.size < end:
                continue
            try:
                entries = peer.tiles.entries(index)[: end - start]
            except ReadError as error:
                self._pass_over(peer, error)
                continue
            if right and hash_all(entries) != right:
                said = "proves other entries under a signed root than stand under this custodian's"
                self._report(f"{self._origin}: FORK: {peer} {said}; keep both as they are")
                continue
            return entries, str(peer)
        raise Damaged(f"the right entries from {start} on are not known here, and no peer proves them")

    def _truth(self, found: Found, start: int, end: int) -> list[bytes]:
        """The right entries [start, end), for a store that mends more than one at a time. Damaged."""
        right: list[bytes] = []
        if end > found.head.size:
            raise Damaged(f"there were {found.head.size} entries when this began, and are more now: scrub once more")
        while start + len(right) < end:
            bundle, offset = divmod(start + len(right), WIDTH)
            right += self._right_entries(found, bundle)[0][offset:]
        return right[: end - start]

    def _mend_tile(self, found: Found, fault: Fault) -> None:
        below = found.roots
        for _ in range(fault.level - 1):
            below = [tile_root(below[at : at + WIDTH]) for at in range(0, len(below) // WIDTH * WIDTH, WIDTH)]
        self._store.mend_node(self._origin, fault.level, fault.number, below[fault.number])
        self._mended(f"tile hash {fault.level}/{fault.number}: mended from the entries under it")

    def _mend_head(self, found: Found, fault: Fault) -> None:
        """Computes an older head again; of one that is lost the time of its cosignature is, too, so that it is never
        signed again. The newest is not touched.
        """
        size = fault.number
        if size >= found.head.size:
            # Mended already, as the newest, or larger than what is known to be right.
            return
        grown = self._frontier(found, size)
        try:
            stored = self._store.head_at(self._origin, size)
        except Damaged:
            stored = None
        old = max((other for other in self._store.heads(self._origin) if other < size), default=0)
        note, time = b"", 0
        if stored is not None:
            try:
                checkpoint = open_note(parse_note(stored.note), self._keys.at(size), witnessed=False)
                if (checkpoint.size, checkpoint.root) == (size, grown.root()):
                    note, time = stored.note, stored.time
            except Refused:
                pass
        truth = partial(self._truth, found)
        self._store.mend_head(self._origin, Head(old, size, grown.root(), grown.to_bytes(), note, time), truth)
        self._mended(f"head of {size} entries: mended from the entries under it")

    def _mend_newest(self, found: Found) -> None:
        """Stores the newest head again as it was published, with the time of the own line under that note; if it has
        none, it is cosigned anew, and that is true, too: it still is the largest tree of all that were signed, unless
        by this clock it is not later than they were.
        """
        size = found.head.size
        grown = found.grown if found.whole else self._proven_frontier(found.head)
        if grown is None:
            return
        old = max((other for other in self._store.heads(self._origin) if other < size), default=0)
        note = parse_note(self._store.published(self._origin)[1])
        times = line_times(note, self._keys.at(size))
        time = next((times[name] for name in self._names if name in times), 0)
        try:
            if not self._names:
                # It signs nothing, and its clock may have leapt (`pulling.pull`).
                time = max(self._clock(), found.time)
            elif not time:
                time = self._clock()
                check_clock(max(found.time, self._store.observed(self._origin).time), time)
            head = replace(found.head, old_size=old, frontier=grown.to_bytes(), time=time)
            self._store.mend_head(self._origin, head, partial(self._truth, found))
        except (Damaged, Refused) as error:
            self._report(f"{self._origin}: {error}")
            return
        self._mended(f"head of {size} entries: mended from the published checkpoint")

    def _proven_frontier(self, head: Head) -> CompactRange | None:
        """The frontier that leads to the root of this head, by the tiles of a peer; None if nobody has it."""
        for peer in self._all_peers():
            if peer.head.size >= head.size:
                try:
                    grown = frontier(peer.tiles, head.size)
                except ReadError as error:
                    self._pass_over(peer, error)
                    continue
                if grown.root() == head.root:
                    return grown
        return None

    def _frontier(self, found: Found, size: int) -> CompactRange:
        return frontier(tree(self._store, self._origin, found.head), size)

    def _mend_published(self, found: Found, fault: Fault) -> None:
        for peer in self._all_peers():
            size = peer.head.size
            if fault.number <= size <= found.head.size and self._frontier(found, size).root() == peer.head.root:
                self._store.mend_published(self._origin, size, peer.head.note.raw)
                self._mended(f"published checkpoint of {size} entries: mended from {peer}")
                return

    def _mend_ahead(self, found: Found, fault: Fault) -> None:
        try:
            done = self._store.mend_ahead(self._origin, fault.kind, fault.number, partial(self._truth_ahead, found))
        except Damaged as error:
            if fault not in self._stuck:
                self._stuck.add(fault)
                self._report(f"{self._origin}: {error}")
            return
        self._mended(f"{fault.kind} {fault.number}: {done}")

    def _truth_ahead(self, found: Found, start: int, end: int) -> list[bytes]:
        """The right entries [start, end), beyond what is held. Damaged."""
        for peer in self._all_peers():
            if peer.head.size >= end:
                try:
                    return peer.entries_beyond(found.head.size, found.head.root, start, end)
                except ReadError as error:
                    self._pass_over(peer, error)
        raise Damaged(f"no peer proves the entries from {start} to {end} that were staged: name one that has as many")

    def _all_peers(self) -> list[Peer]:
        """The peers that answered when they were asked, once, in the order in which they are to be asked for more."""
        if self._peers is None:
            self._peers = []
            for reader in self._readers:
                try:
                    self._peers.append(Peer(reader, self._keys))
                except ReadError as error:
                    self._report(f"{error}")
        return list(self._peers)

    def _pass_over(self, peer: Peer, error: ReadError) -> None:
        """Of what was asked for a peer gave nothing: for what is asked next it comes last."""
        self._report(f"{error}")
        if self._peers:
            self._peers.sort(key=lambda one: one is peer)
