"""Serves one custodian: finds out what it holds, sends it what it lacks, and has it publish.

What a custodian shows is held against the ledger. The log's signatures under another tree, or a longer one, say either
that the ledger is an old copy, or that another sequencer has signed, or that the log's keys are stolen. Which it is,
W custodians' word decides, or entries; and as long as neither does, one custodian's word stops nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from audit.log.checkpoint import Checkpoint, open_note, parse_checkpoint
from audit.log.keys import Signature
from audit.log.merkle import CompactRange, leaf_hash
from audit.log.notes import Note, parse_note
from audit.protocol.refused import Refused
from audit.record.manifest import Manifest
from infra import log
from tally.sequencer.append import Missing, Unsigned
from tally.sequencer.claim import MOST_KEPT, Claim
from tally.sequencer.custodian import Custodian, Elsewhere, Rejected, Unavailable
from tally.sequencer.joining import custodian_of, lines_under
from tally.sequencer.ledger import Damaged, Ledger, Stage
from tally.sequencer.shown import published_by, shown_by, signs, successors
from tally.sequencer.signed_root import START_EMPTY, signed_root

if TYPE_CHECKING:
    from tally.sequencer.push import Push

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
MOST_APPENDS = 4
"""In a row, until it publishes what W have cosigned of what it holds by then: one that takes longer than a round is
never sent so much that it could publish the newest.
"""
CLAIM_SECONDS, CLAIM_TRIES = 30.0, 2
"""For how long, and how often in a term, the entries of a longer tree are read from who alone shows it."""

_log = log.Log(
    "tally.push",
    custodian_unavailable=("custodian", "reason"),
    custodian_rejects=("custodian", "status", "reason"),
    custodian_without_beginning=("custodian",),
)


class LedgerBehind(Exception):
    """Custodians hold signed entries that the ledger has not: it is an old copy, and going on would fork the log.
    `claim`: only one of them says so, by these.
    """

    def __init__(self, text: str, claim: Claim | None = None) -> None:
        self.claim = claim
        super().__init__(text)


class Fork(Exception):
    """Custodians hold a tree that the log signed and that the ledger contradicts."""


class Courier:
    """`size`: how many entries its custodian holds, None while unknown; `published`: up to where it publishes; `heard`:
    it has said once what it holds; `apart`: that is not the ledger's; `claims`: and longer, by its word alone.
    """

    def __init__(self, push: Push, ledger: Ledger, missing: Missing, custodian: Custodian, place: str) -> None:
        self._push, self._ledger, self._missing = push, ledger, missing
        self._custodian, self._place = custodian, place
        self.label = custodian.label
        self.size: int | None = None
        self.published = 0
        self.heard = self.apart = self.claims = False
        self._tries = CLAIM_TRIES
        self._appends = 0  # since it has published

    def run(self) -> None:
        """Goes on until called back. Whatever its custodian does is waited out; only LedgerBehind, Fork and Damaged,
        which say that the ledger or the log's keys are not what they should be, end the sequencer.
        """
        pause = FIRST_PAUSE
        while (task := self._push.next_task(self)) is not None:
            try:
                self._serve(*task)
                pause = FIRST_PAUSE
                continue
            except (LedgerBehind, Fork, Damaged) as error:
                self._push.fail(error)
                return
            except Unavailable as error:
                _log.warning("custodian-unavailable", custodian=self.label, reason=log.word(str(error)))
            except Rejected as error:
                reason = log.word(error.reason)
                _log.error("custodian-rejects", custodian=self.label, status=error.status, reason=reason)
            except Unsigned:
                _log.error("custodian-without-beginning", custodian=self.label)
            except Elsewhere:
                pass
            except Exception as error:
                # Of the database, or of an answer that nobody foresaw: no custodian may stop the others.
                log.failure(error)
            self.forget()
            self._push.pause(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def forget(self) -> None:
        """Whatever is in doubt, what the custodian holds now says."""
        self.size, self.published = None, 0

    def _serve(self, stage: Stage | None, witnessed: tuple[int, bytes]) -> None:
        if self.size is None:
            self.size = self._find(witnessed[0])
        elif stage is not None and self.size < stage.size:
            size, append = self._missing.after(self.size, stage.size)
            lines = self._custodian.append(append)
            self._report(size, parse_note(append.note).text, lines)
            self.size = size
            self._appends += 1
            if self._appends >= MOST_APPENDS:
                self._publish(self._ledger.newest_witnessed(size) or (0, b""))
        else:
            self._publish(witnessed)
        self._push.moved()

    def _publish(self, witnessed: tuple[int, bytes]) -> None:
        size, note = witnessed
        self._appends = 0
        if size > self.published:
            self._custodian.publish(note)
            self.published = size

    def _find(self, witnessed: int) -> int:
        """How many entries the custodian holds, after showing that they are the ledger's. `witnessed` have been
        cosigned by W: over so many its lines are no longer needed.
        """
        note = self._custodian.held()
        if note is None:
            self._agrees()
            return 0
        # What is signed beyond may be by keys of which that manifest does not know yet.
        signed, manifest = self._push.sent()
        try:
            over, held, doubt = self._shown(note, signed, manifest)
        except Refused as refusal:
            raise Rejected(200, refusal.reason) from None
        lines = lines_under(note, over.log)
        if doubt is not None:
            if self._left_out(note.text, lines, over):
                raise Rejected(200, "left-out")
            self._judge(doubt, note, held, over, signed, manifest)
        self._agrees()
        if not lines:
            # It says what it holds, but signs nothing until it has read it again: it is asked until it does.
            if held.size > witnessed:
                raise Rejected(200, "not-cosigned")
            return held.size
        self._report(held.size, note.text, lines)
        return held.size

    def _agrees(self) -> None:
        self.heard, self.apart, self.claims = True, False, False

    def _shown(
        self, note: Note, signed: int, manifest: Manifest
    ) -> tuple[Manifest, Checkpoint, LedgerBehind | Fork | None]:
        """With whose keys the log has signed this note, its tree, and what that means; None if nothing. Refused, if the
        log has not; Rejected and Unavailable.

        Keys that do not count over that tree may have been stolen since they were replaced; or another sequencer does
        not know that they were, or knows it already.
        """
        tree = parse_checkpoint(note.text)
        counting = manifest.at(tree.size).log.log
        others = (past for past in manifest.history if past.log.log != counting and signs(past, note))
        if (over := next(others, None)) is None:
            try:
                over = shown_by(self._custodian, note, manifest, self._missing.frontier(signed))
                return over, open_note(note, over.log, witnessed=False), self._doubt(tree, signed, manifest)
            except Refused:
                if tree.size > signed or tree.origin != manifest.origin:
                    raise
                # By rekeys that are among its entries, and not among ours.
                over = shown_by(self._custodian, note, manifest.history[0], CompactRange())
        if self._doubt(tree, signed, manifest) is None:
            raise Refused("wrong-signers", "the keys that have signed it do not count there")
        text = f"{self.label} holds another tree of {tree.size} entries, signed by this log's keys of another time"
        return over, tree, Fork(text)

    def _doubt(self, tree: Checkpoint, signed: int, manifest: Manifest) -> LedgerBehind | Fork | None:
        """What it means if the log has this tree; None if the ledger has it. What is staged beyond the `signed` entries
        is not the log's yet: another tree of its size says that the ledger is an old copy, as a longer one does.
        `manifest`: with the rekeys under those.

        Damaged if it is the ledger that is not as the log has signed it: then nobody is accused.
        """
        root = self._missing.frontier(tree.size).root() if tree.size <= self._ledger.newest().size else None
        if root == tree.root:
            return None
        if tree.size > signed:
            return LedgerBehind(
                f"{self.label} holds {tree.size} signed entries, the ledger {signed}: it is an old copy"
            )
        if signed_root(self._ledger, manifest, tree.size) != root:
            raise Damaged(f"the ledger's tree of {tree.size} entries is not as the log has signed it: {START_EMPTY}")
        return Fork(f"{self.label} holds another tree of {tree.size} entries, signed by this log's keys")

    def _judge(
        self, doubt: Exception, note: Note, held: Checkpoint, over: Manifest, signed: int, manifest: Manifest
    ) -> None:
        """Of a tree that is not the ledger's, or longer: raises LedgerBehind or Fork where more than this custodian's
        word is behind it, otherwise Rejected; Unavailable.
        """
        self.claims = isinstance(doubt, LedgerBehind)
        self._push.moved()
        if self.claims or over.log.log == manifest.log.log:
            # What keys of another time have signed weighs as much as those custodians that hold it, and no more.
            published = published_by(self._custodian, over)
            if published is not None and (proven := self._doubt(published, signed, manifest)) is not None:
                # W custodians have cosigned it: it is the log, or another one that readers believe as much.
                raise proven
        if self.claims and not self._push.settled and self._tries:
            self._tries -= 1
            if (claim := self._claimed(note, held, signed)) is not None:
                raise LedgerBehind(str(doubt), claim)
        self._push.contradicted(self, note, held.size, doubt)
        raise Rejected(200, "another-tree")

    def _claimed(self, note: Note, held: Checkpoint, signed: int) -> Claim | None:
        """What it claims, if it gives entries that lead from what the log has signed to the tree that it shows."""
        tree, end = self._missing.frontier(signed), monotonic() + CLAIM_SECONDS
        kept, room = list[bytes](), MOST_KEPT
        try:
            for raw in self._custodian.entries(held.size, signed):
                tree.append(leaf_hash(raw))
                kept.append(raw)
                room -= len(raw)
                if room < 0:
                    kept.clear()
                if monotonic() > end:
                    return None
        except Rejected:
            return None
        if tree.root() != held.root:
            return None
        return Claim(self.label, note, held.size, signed, kept)

    def _left_out(self, text: bytes, lines: Sequence[Signature], over: Manifest) -> bool:
        """Whether it is a custodian that the officials have named, or who has taken its place, by now or over that
        tree.
        """
        for manifest in (over, self._push.manifest):
            with suppress(Refused):
                answering, _ = custodian_of(text, lines, manifest.log)
                return any(answering in successors(manifest, name) for name in self._push.left_out)
        # One that does not say who it is, is the one that should be there.
        return self._place in self._push.left_out

    def _report(self, size: int, text: bytes, lines: Sequence[Signature]) -> None:
        """Passes on the custodian's lines over a tree; Rejected unless they are one custodian's, true and no more.

        Those of one whose office begins later are as true, and count for nothing yet.
        """
        try:
            name, mine = custodian_of(text, lines, self._push.policy(size))
        except Refused as refusal:
            with suppress(Refused):
                custodian_of(text, lines, self._push.policy())
                return
            raise Rejected(200, refusal.reason) from None
        self._push.report(self, size, name, mine)
