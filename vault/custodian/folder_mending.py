"""A custodian's folder that can be mended: a damaged file is set aside, as evidence, and one that is right takes its
name.

A file says by its hashes that it is not as it was written. Of one whose first lines are right only the blocks are
written anew; of another everything follows from the log, but for the log's signature under its head and the time of the
cosignature: such a head is kept without them, and never cosigned again. The newest is not made up: it is mended if
what was published shows which one it was (`mending`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice, tee, zip_longest
from typing import Any

from audit.log.encoding import encode_base64
from audit.log.merkle import CompactRange, frontier
from audit.log.tiles import HEIGHT, WIDTH, frame
from audit.record.heads import is_rekey
from vault.custodian.cosign import Head
from vault.custodian.folder_ahead import TWICE, about_head, bare, leaves_in
from vault.custodian.folder_store import FolderStore
from vault.custodian.keys import held_size
from vault.custodian.nodes import new_nodes
from vault.custodian.sealed_files import Sealed, seal, twice
from vault.custodian.storage import AHEAD, Damaged, Truth
from vault.custodian.stored import hash_all


class MendableFolder(FolderStore):
    """A `FolderStore` that is a `storage.Mendable`."""

    def heads(self, origin: str) -> Iterator[int]:
        """The sizes of all heads, ascending, but for the newest, if its file is damaged."""
        numbers, others = tee(self._files.ascending(self._tree(origin, "heads")))
        for number, following in zip_longest(numbers, islice(others, 1, None)):
            file = self._try(origin, "heads", number)
            size: int | None = following if file is None else file.about["size"]
            if size is not None:
                yield size

    def mend_entry(self, origin: str, index: int, truth: Truth) -> None:
        """Writes the file anew that holds entry `index`. Damaged if what it held does not follow from the log."""
        number = self._files.highest(self._tree(origin, "heads"), index)
        if number is None:
            raise Damaged("the file of the first head is gone")
        file = self._try(origin, "heads", number)
        if file is not None and index >= file.about["size"]:
            # The next one is gone; it began where this one ends.
            number, file = file.about["size"], None
        if file is not None and index < file.about["first"]:
            line, start = file.about.get("brought", ["", file.about["first"]])
            kind, begin = ("staged", number) if index < start else (f"brought-{line}", start)
            self._mend_ahead(origin, kind, index, begin, file.about["first"], truth)
        elif file is not None:
            self._write_blocks(origin, "heads", number, file, truth(file.about["first"], file.about["size"]))
        else:
            self._mend_lost(origin, number, truth)

    def mend_node(self, origin: str, level: int, index: int, truth: bytes) -> None:
        """Writes the file anew that holds this hash; one that is damaged is written with its entries."""
        last = ((index + 1) << (HEIGHT * level)) - 1
        number = self._files.highest(self._tree(origin, "heads"), last)
        file = None if number is None else self._try(origin, "heads", number)
        if number is None or file is None:
            return
        others = [node for node in file.about["nodes"] if node[:2] != [level, index]]
        nodes = sorted([*others, [level, index, encode_base64(truth)]])
        self._write_about(origin, "heads", number, file, {"nodes": nodes})

    def mend_head(self, origin: str, truth: Head, entries: Truth) -> None:
        """Writes the file of a head anew, with the entries it holds."""
        number = truth.old_size
        file = self._try(origin, "heads", number)
        if file is None:
            self._write_head(origin, number, truth.size, entries, truth)
            return
        about = {**about_head(truth), "frontier": encode_base64(truth.frontier)}
        self._write_about(origin, "heads", number, file, about)

    def mend_published(self, origin: str, size: int, note: bytes) -> None:
        """Writes a published checkpoint anew."""
        content = seal("published", {"note": note.decode(), "origin": origin, "size": size})
        self._files.mend(self._tree(origin, "published"), size, content)

    def check_growing(self, origin: str) -> None:
        """What comes next has files of its own, and needs none of those that are damaged, but for what is `ahead`."""

    def ahead(self, origin: str, size: int) -> Iterator[tuple[str, int, bool]]:
        """Of each tree of files that came before their heads those that what follows `size` entries is compared with,
        or made of: the last that begins there at the latest, and all after it.
        """
        for kind in self._kinds_ahead(origin):
            for number, right in self._pieces(origin, kind, size):
                yield bare(kind), number, right

    def mend_ahead(self, origin: str, kind: str, number: int, truth: Truth) -> str:
        """Makes both copies whole again of what nobody else knows; takes damaged files of another kind out of their
        trees, and those after them, else there would be holes. Evidence of which no copy is right is taken out, too.
        """
        if kind in TWICE:
            return self._mend_copies(origin, kind, number)
        held, _ = held_size(self, origin)
        for one in (one for one in self._kinds_ahead(origin) if bare(one) == kind):
            if all(right for _, right in self._pieces(origin, one, held)):
                continue
            if not self._files.alone(partial(self._drop, origin, one)):
                # What is taken away a head could cover in the same moment.
                raise Damaged(f"another process works in {self._root}: stop the custodian, then scrub once more")
        return "taken away with what follows it; it comes again"

    def _mend_copies(self, origin: str, kind: str, number: int) -> str:
        """Mends the files of this number, each from its own other copy: of one line at most one has it."""
        held, _ = held_size(self, origin)
        stuck, done = [], "mended from its other copy"
        for one in (one for one in self._kinds_ahead(origin) if bare(one) == kind):
            if (number, False) not in self._pieces(origin, one, held):
                continue
            tree, file = self._tree(origin, one), self._try(origin, one, number)
            if file is not None:
                self._files.mend(tree, number, twice(file.lines))
            elif kind == "against":
                # Nothing builds on it, and its number is free for what else the log is caught at.
                self._files.drop(tree, number)
                done = "taken away, for it is in neither copy"
            else:
                stuck.append(f"{self._root}/logs/{tree}: file {number}")
        if stuck:
            where = f"{', '.join(stuck)} alone says which tree was seen, in neither copy"
            raise Damaged(f"{where}; rebuild this custodian from its peers")
        return done

    def _drop(self, origin: str, kind: str) -> None:
        """Takes what cannot be read, and what follows it, out of a tree, as it is now that nobody else is there.
        Damaged if something of it is held.
        """
        tree, (held, _) = self._tree(origin, kind), held_size(self, origin)
        bad = next((at for at, right in self._pieces(origin, kind, held) if not right), None)
        if bad is None:
            return
        # A head may have come to cover it since all was examined.
        self.hashes(origin, 0, bad, held)
        self.entries(origin, bad, held)
        # The last one goes first: a crash leaves the damage to be found.
        for number in reversed([one for one in self._files.all(tree) if one >= bad]):
            self._files.drop(tree, number)

    def _pieces(self, origin: str, kind: str, size: int) -> Iterator[tuple[int, bool]]:
        tree, end = self._tree(origin, kind), size
        for number in self._files.ascending(tree, self._files.highest(tree, size) or 0):
            file = self._try(origin, kind, number)
            right = file is not None and self._is_whole(origin, kind, number, file)
            if file is not None and "end" in file.about:
                # What begins beyond the end of the one before it began where a head ended, one that came meanwhile.
                right = right and (number <= end or number <= held_size(self, origin)[0])
                end = max(end, file.about["end"])
            yield number, right

    def _kinds_ahead(self, origin: str) -> list[str]:
        return [kind for kind in self._files.trees(self._logs[origin]) if bare(kind) in AHEAD]

    def _is_whole(self, origin: str, kind: str, number: int, file: Sealed) -> bool:
        if bare(kind) in TWICE:
            return self._files.read(self._tree(origin, kind), number) in (file.lines, twice(file.lines))
        try:
            for name in file.about["blocks"]:
                file.block(name)
        except Damaged:
            return False
        return True

    def _mend_ahead(self, origin: str, kind: str, index: int, begin: int, first: int, truth: Truth) -> None:
        """The file that holds entry `index`, which came before its head; that has those from `begin` to `first` so."""
        tree, (held, _) = self._tree(origin, kind), held_size(self, origin)
        numbers = self._files.all(tree)
        number, limit = max((one for one in numbers if one <= index), default=begin), first
        if kind != "staged":
            # It came a bundle at a time (`mirror.Packages`). It may have come to be held in more than one step, and be
            # held in part: the rest comes again.
            bundle = index // WIDTH * WIDTH
            number, limit = max(number, bundle), min(held, bundle + WIDTH)
        end = min([one for one in numbers if one > number] + [limit])
        entries = truth(number, end)
        about = {"end": end, "start": number, "rekeys": self._rekeys_to(origin, number, entries)}
        self._write(origin, kind, number, about, entries)

    def _mend_lost(self, origin: str, number: int, truth: Truth) -> None:
        """The file of a head of which nothing is known but where it began, and where the next begins."""
        size = min((one for one in self._files.all(self._tree(origin, "heads")) if one > number), default=None)
        if size is None:
            raise Damaged("the file of the newest head is not as it was written")
        self._write_head(origin, number, size, truth)

    def _write_head(self, origin: str, number: int, size: int, truth: Truth, known: Head | None = None) -> None:
        """The file of the head of `size` entries that follows the one of `number`, which is `known`, or else is without
        a note and a time. Damaged if what is stored, and the truth, do not lead to it.
        """
        ahead = self._staged_leaves(origin, number, size)
        first = number + len(ahead)
        entries = truth(first, size)
        leaves = hash_all(entries)
        grown = self._frontier(origin, number)
        held = grown.to_bytes()
        grown.extend([*ahead, *leaves])
        head = known or Head(number, size, grown.root(), grown.to_bytes(), b"", 0)
        if grown.root() != head.root:
            raise Damaged(f"the entries up to {size} do not lead to the root of the head that is lost")

        def hashes(level: int, start: int, end: int) -> list[bytes]:
            if level or end <= number:
                return self.hashes(origin, level, start, end)
            before = self.hashes(origin, 0, start, number) if start < number else []
            return before + ahead[max(start - number, 0) : end - number]

        made = new_nodes(hashes, held, head, first, leaves)
        about: dict[str, Any] = {**about_head(head), "first": first, "frontier": encode_base64(head.frontier)}
        about["rekeys"] = self._rekeys_to(origin, first, entries)
        about["nodes"] = [[level, index, encode_base64(root)] for (level, index), root in made.items()]
        self._write(origin, "heads", number, about, entries)

    def _staged_leaves(self, origin: str, start: int, size: int) -> list[bytes]:
        """The leaf hashes of the entries from `start` on that were staged, up to `size`, as far as they can be read."""
        found: list[bytes] = []
        while start + len(found) < size:
            at = start + len(found)
            number = self._files.highest(self._tree(origin, "staged"), at)
            file = None if number is None else self._try(origin, "staged", number)
            if number is None or file is None or file.about["end"] <= at:
                break
            try:
                found += leaves_in(file, at - number, min(file.about["end"], size) - number)
            except Damaged:
                break
        return found

    def _rekeys_to(self, origin: str, start: int, entries: list[bytes]) -> list[int]:
        """Where keys are changed, up to the end of these entries."""
        known = [index for index in self.rekeys(origin) if index < start]
        return known + [index for index, entry in enumerate(entries, start) if is_rekey(entry)]

    def _frontier(self, origin: str, size: int) -> CompactRange:
        def source(level: int, index: int) -> bytes:
            height, below = divmod(level, HEIGHT)
            tile = CompactRange()
            tile.extend(self.hashes(origin, height, index << below, (index + 1) << below))
            return tile.root()

        return frontier(source, size)

    def _write_blocks(self, origin: str, kind: str, number: int, file: Sealed, entries: list[bytes]) -> None:
        about = {name: value for name, value in file.about.items() if name != "blocks"}
        self._write(origin, kind, number, about, entries)

    def _write_about(self, origin: str, kind: str, number: int, file: Sealed, changes: dict[str, Any]) -> None:
        about = {name: value for name, value in file.about.items() if name != "blocks"} | changes
        blocks = {name: file.block(name) for name in file.about["blocks"]}
        self._files.mend(self._tree(origin, kind), number, seal(kind, {**about, "origin": origin}, **blocks))

    def _write(self, origin: str, kind: str, number: int, about: dict[str, Any], entries: list[bytes]) -> None:
        blocks = {"entries": frame(entries), "leaves": b"".join(hash_all(entries))}
        self._files.mend(self._tree(origin, kind), number, seal(kind, {**about, "origin": origin}, **blocks))

    def _try(self, origin: str, kind: str, number: int) -> Sealed | None:
        try:
            return self._open(origin, kind, number)
        except Damaged:
            return None
