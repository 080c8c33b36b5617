"""A custodian: stores what the log hands it, durably and only if it continues what is held; then, and only then,
cosigns.

Nothing here knows HTTP. The clock and the store are arguments. One custodian keeps several logs, each under its origin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from audit.log.checkpoint import open_note
from audit.log.keys import Signer
from audit.log.merkle import CompactRange
from audit.log.notes import parse_note
from audit.log.sources import rekeys_text
from audit.log.tiles import WIDTH, frame, width_of
from audit.log.treehead import Checkpoint, parse_checkpoint
from audit.protocol.refused import Refused
from infra import failpoints
from vault.custodian.cosign import EMPTY, Append, Head, WrongOldSize, check_log_signed, next_head, parse_append
from vault.custodian.kept import Clock, Examined, Kept
from vault.custodian.keys import Keys
from vault.custodian.storage import Store
from vault.custodian.stored import readable_published, staged_leaves, whole


class Custodian:
    """Keeps the logs of `logs` (origin -> whose signatures count) in `store` and cosigns with those of `signers` that
    count.

    `clock` gives POSIX seconds; `examined` is as for `Kept`. What it stands on is `kept`, for the witness and the
    mirror beside it.
    """

    def __init__(
        self,
        store: Store,
        logs: Mapping[str, Keys],
        signers: Sequence[Signer],
        clock: Clock,
        examined: Examined = lambda: None,
    ) -> None:
        self.kept = Kept(store, logs, signers, clock, examined)
        self._store = store
        # This process alone publishes; a second one on the same database would only serve an older checkpoint for a
        # while.
        self._published = {origin: readable_published(store, origin) for origin in logs}
        self._mirrored: dict[str, tuple[Head, bytes]] = {}

    def append(self, origin: str, body: bytes) -> bytes:
        """Stores an append and returns the cosignature lines; the same append again states the same again.

        Refused `unknown-log`, `not-signed-by-log`, `fork` (by what a rebuild stored), or as `parse_append`, `next_head`
        and `Kept.lines`.
        """
        keys = self.kept.keys(origin)
        append = parse_append(body)
        if append.checkpoint.origin != origin:
            raise Refused("unknown-log", "the checkpoint is of another log than the address names")
        # The new tree may hold what changes the keys that it is signed by.
        after = keys.after(append.old_size, append.entries)
        check_log_signed(after.at(append.checkpoint.size), append)
        with self.kept.deciding:
            new = self._store.head_at(origin, append.checkpoint.size)
            # A head without a time was lost and computed again: when it was cosigned is not known, so it is not again.
            if new is not None and new.root != append.checkpoint.root:
                self.kept.compare(origin, new, append.note.raw)
            if new is None or not new.time or (new.old_size, new.root) != (append.old_size, append.checkpoint.root):
                new, leaves = self._next(origin, append)
                staged = self._store.staged(origin)
                self._check_staged(origin, new, leaves, staged)
                self.kept.keep(origin, new, leaves, append.entries, staged)
                self.kept.learn(origin, enumerate(append.entries, append.old_size))
        lines = self.kept.lines(origin, new)
        failpoints.at("custodian.cosigned")
        return lines

    def publish(self, origin: str, raw: bytes) -> None:
        """Takes a checkpoint with W cosignatures as the one to serve. Older than the present one, it changes nothing.

        Refused `unknown-log`; WrongOldSize if its entries are not held; `wrong-root` if they differ; or as `open_note`.
        """
        keys = self.kept.keys(origin)
        note = parse_note(raw)
        checkpoint = open_note(note, keys.at(parse_checkpoint(note.text).size), exact=True)
        held = self._store.head_at(origin, checkpoint.size)
        if held is None:
            raise WrongOldSize(self._store.newest(origin).size)
        if held.root != checkpoint.root:
            self.kept.compare(origin, held, note.raw)
            raise Refused("wrong-root", f"this custodian holds another tree of {checkpoint.size} entries")
        if checkpoint.size > self._published[origin][0]:
            failpoints.at("custodian.publishing")
            self._store.publish(origin, checkpoint.size, note.raw)
            failpoints.at("custodian.published")
            self._published[origin] = max(self._published[origin], (checkpoint.size, note.raw))

    def refresh(self, origin: str) -> None:
        """Serves what is published in the store, which something else than `publish` has put there."""
        self._published[origin] = readable_published(self._store, origin)

    def held(self, origin: str) -> bytes | None:
        """The largest tree that is stored here, published or not: the log's note with the cosignature lines over it,
        without them as long as nothing may be signed; None if there is none.
        """
        newest = self._store.newest(origin)
        lines = b""
        with suppress(Refused):
            lines = self.kept.lines(origin, newest)
        return newest.note + lines if newest.size else None

    def held_entries(self, origin: str, start: int, end: int) -> bytes | None:
        """The entries [start, end), at most 256, each after its u16 length; None if not all of them are stored here."""
        if not 0 <= start < end <= min(start + WIDTH, self._store.newest(origin).size):
            return None
        return frame(whole(self._store.entries(origin, start, end), end - start))

    def checkpoint(self, origin: str) -> bytes | None:
        """The newest published checkpoint, None if there is none."""
        return self._published.get(origin, (0, b""))[1] or None

    def mirrored(self, origin: str) -> bytes | None:
        """The published tree as a mirror shows it (C2SP tlog-mirror): the log's note with this custodian's lines.

        Refused as `Kept.lines`.
        """
        self.kept.examined()
        size, _ = self._published.get(origin, (0, b""))
        head, lines = self._mirrored.get(origin, (EMPTY, b""))
        if head.size != size:
            head = self._store.head_at(origin, size) or EMPTY
            lines = self.kept.lines(origin, head)
            self._mirrored[origin] = head, lines
        return head.note + lines if head.size else None

    def rekeys(self, origin: str) -> bytes:
        """Where in the published log keys were changed: a hint for readers, who check it."""
        size, _ = self._published.get(origin, (0, b""))
        return rekeys_text(index for index in self.kept.keys(origin).places() if index < size)

    def tile(self, origin: str, level: int, index: int, width: int) -> bytes | None:
        """`width` hashes of tile `index`; None if the published tree, or a smaller one, has no such tile."""
        if not self._has(origin, level, index, width):
            return None
        start = index * WIDTH
        return b"".join(whole(self._store.hashes(origin, level, start, start + width), width))

    def bundle(self, origin: str, index: int, width: int) -> bytes | None:
        """The first `width` entries of bundle `index`, each after its u16 length; None as for `tile`."""
        if not self._has(origin, 0, index, width):
            return None
        start = index * WIDTH
        return frame(whole(self._store.entries(origin, start, start + width), width))

    def _has(self, origin: str, level: int, index: int, width: int) -> bool:
        size, _ = self._published.get(origin, (0, b""))
        return 0 < width <= width_of(size, level, index)

    def _next(self, origin: str, append: Append) -> tuple[Head, Sequence[bytes]]:
        """As `next_head`. A tree that was only seen here is no reason to refuse another one: whoever has stolen the
        log's keys could stop the log with it, and the rekey, too, that ends them. What is held is what was signed here.
        """
        held = self.kept.newest(origin)
        new, leaves = next_head(held, append, self.kept.time_to_sign)
        # Of each set of its keys, for those that were stolen may have signed a smaller one than those of now.
        for seen in self._store.observed_beyond(origin, held.size, new.size):
            grown = CompactRange.from_bytes(held.frontier)
            grown.extend(leaves[: seen.size - held.size])
            if grown.root() != seen.root:
                self.kept.contradicted(Checkpoint(origin, grown.size, grown.root()), seen.note)
        return new, leaves

    def _check_staged(self, origin: str, new: Head, leaves: Sequence[bytes], staged: int) -> None:
        """Entries that a rebuild stored before their head were proven to be in a tree that W custodians have cosigned.
        What was brought to the mirror is kept apart, and hinders nothing.
        """
        end = min(staged, new.size)
        there = staged_leaves(self._store, origin, new.old_size, end)
        if there != list(leaves[: len(there)]):
            raise Refused("fork", "the log has signed a tree with other entries at these places")
