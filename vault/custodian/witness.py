"""The witness beside a custodian (C2SP tlog-witness): it sees that the log only grows, and holds nothing.

It is another cosigner than the custodian, with a key and a name of its own that stand in no manifest: what it signs
never says that the entries are held, and counts toward no W. It goes by what is held as well as by what it saw. The
custodian goes by what it holds alone; so if the log has signed two trees, and the one that is held is not the one that
was seen, the witness signs nothing of that log any more.

Anybody may call; the log's signatures, both of them, are what lets a checkpoint in.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from audit.log.keys import Signer
from audit.log.merkle import frontier, verify_consistency
from audit.log.notes import Note
from audit.log.reader import ReadError
from audit.log.treehead import Checkpoint, parse_checkpoint
from audit.protocol.refused import Refused
from vault.custodian.cosign import Head, WrongOldSize, cosignatures, parse_header
from vault.custodian.kept import Kept
from vault.custodian.keys import of_all_times
from vault.custodian.storage import Damaged, Overtaken
from vault.custodian.stored import by_log, check_seen, line_of, root_at, tree

Submission = tuple[int, tuple[bytes, ...], Note, Checkpoint]


class Witness:
    """Cosigns with `signers`; without any it only notes what it saw, which is what a mirror goes by."""

    def __init__(self, kept: Kept, signers: Sequence[Signer] = ()) -> None:
        self._kept, self._signers = kept, signers
        self._shown: dict[str, tuple[Head, bytes]] = {}
        self._continued: dict[str, Head] = {}  # what was seen, and has been found to be a beginning of what is held

    def add_checkpoint(self, submission: Submission) -> bytes:
        """Stores the head of an `add-checkpoint` and returns the witness's lines over it, none without a key.

        Refused `unknown-log` (404), `not-signed-by-log` (403), `old-size-above` (400), `wrong-proof` or `wrong-root`
        (422), with a key also `fork` (422), `clock-backwards` or `clock-leapt` (503); WrongOldSize (409).
        """
        old, proof, note, head = submission
        policy = self._kept.keys(head.origin).at(head.size)
        signed = by_log(policy, note)
        if old > head.size:
            raise Refused("old-size-above", f"the old size {old} is above the checkpoint's {head.size}", "old")
        self._compare(head, signed)
        with self._kept.deciding:
            seen, forked = self._last(head.origin)
            if forked:
                raise Refused("fork", f"the log has signed another tree of {seen.size} entries than the one held here")
            if old != seen.size:
                raise WrongOldSize(seen.size)
            if old == head.size and head.root != seen.root:
                # It may have come to be seen since it was compared.
                self._kept.compare(head.origin, seen, signed.raw)
                raise Refused("wrong-root", f"another tree of {old} entries has been seen here")
            try:
                verify_consistency(old, seen.root, head.size, head.root, proof)
            except Refused as refusal:
                raise Refused("wrong-proof", refusal.detail) from None
            if old < head.size or not seen.note:
                follows = old if seen.note else -1 if not head.size else 0
                seen = self._observe(head, signed, follows, line_of(policy))
        return self._lines(head.origin, seen)

    def checkpoint(self, origin: str) -> bytes | None:
        """The newest head it has cosigned, with the log's lines and its own; None if there is none, or no key."""
        seen, _ = self._last(origin)
        if not self._signers or not seen.note:
            return None
        self._kept.examined()
        shown = self._shown.get(origin)
        if shown is None or shown[0] != seen:
            shown = self._shown[origin] = seen, seen.note + self._lines(origin, seen)
        return shown[1]

    def _last(self, origin: str) -> tuple[Head, bool]:
        """The largest tree that it goes by, and, if it signs, whether what is held contradicts that one: then it is the
        last one that it has signed.
        """
        if not self._signers:
            return self._kept.seen(origin), False
        # Whoever has signed it, by keys that are over, too: what was signed here stays so.
        held, seen = self._kept.newest(origin), self._kept.store.observed(origin)
        if seen.size > held.size or not held.note:
            return seen, False
        if self._continued.get(origin) != seen:
            if root_at(self._kept.store, origin, held, seen.size) != seen.root:
                return seen, True
            self._continued[origin] = seen
        # Of one tree it states the time at which it saw it first.
        return seen if seen.size == held.size else held, False

    def _compare(self, head: Checkpoint, signed: Note) -> None:
        """Whatever becomes of a head that the log has signed: if it is not the one that is known, that is evidence. No
        append waits for it: of a size that is known the tree does not change.
        """
        held, (seen, _) = self._kept.newest(head.origin), self._last(head.origin)
        if head.size == seen.size and head.root != seen.root:
            self._kept.compare(head.origin, seen, signed.raw)
        elif head.size < held.size:
            # Of what has changed on disk the log is not accused.
            with suppress(Damaged, ReadError):
                tiles = tree(self._kept.store, head.origin, held)
                root = frontier(tiles, head.size).root()
                if root != head.root:
                    tiles.consistency(head.size, root)
                    self._kept.contradicted(Checkpoint(head.origin, head.size, root), signed.raw)

    def _lines(self, origin: str, seen: Head) -> bytes:
        if self._signers:
            # The same disk, the same database: what keeps the custodian from signing keeps the witness.
            self._kept.examined()
        # What stands on disk is signed, and nothing else vouches for it: an old head's entries need not be held.
        check_seen(origin, seen, of_all_times(self._kept.keys(origin)))
        return cosignatures(self._signers, seen)

    def _observe(self, head: Checkpoint, signed: Note, old: int, line: str) -> Head:
        new = Head(old, head.size, head.root, b"", signed.raw, self._kept.time_to_sign())
        try:
            self._kept.store.observe(head.origin, line, new)
        except Overtaken:
            raise WrongOldSize(self._last(head.origin)[0].size) from None
        return new


def parse_submission(raw: bytes) -> Submission:
    """Old size, proof, note and its checkpoint, nothing verified. Refused as `parse_header` and `parse_checkpoint`."""
    old, proof, note = parse_header(raw)
    return old, proof, note, parse_checkpoint(note.text)
