"""The ledger read from its beginning: the election that its entries make, and whether the index over them holds what
follows from them. Who stands by does it ahead, piece by piece; who sequences reads what is left, and then is checked as
much as if it had read everything just now, but for what has changed on the ledger's disk since.
"""

from __future__ import annotations

from concurrent.futures import Executor

from audit.log.checkpoint import open_note
from audit.log.notes import parse_note
from audit.protocol.refused import Refused
from audit.record.election import Election
from audit.record.entries import parse_entry
from infra import log
from infra.seen_check import Expected
from tally.sequencer.ledger import EMPTY, PAGE, Ledger, Stage
from tally.sequencer.push import LedgerBehind

PIECE = 2048
"""Most entries that are read before the caller can do something else: half a second."""

_log = log.Log("tally.replay", index_differs=("tables",), warm=("size",))


class Damaged(Exception):
    """The ledger's entries do not lead to the root it has committed to, or the index over them is another's."""


class Replay:
    """One reading. `manifest_hash` pins the manifest; `mixes` checks the proofs of mixes that come later."""

    def __init__(self, ledger: Ledger, manifest_hash: bytes, mixes: Executor | None = None) -> None:
        self.election = Election(manifest_hash, mixes)
        self.stage = EMPTY
        """The last stage whose entries have been read and lead to its root."""
        self._ledger = ledger
        # Until the index was compared: afterwards who sequences keeps it, in the transactions that stage.
        self._expected: Expected | None = Expected()
        self._looked = False

    def advance(self) -> bool:
        """Reads on, up to 2048 entries; False once there is nothing more, and then the index has been compared, but
        not put right. Damaged; LedgerBehind if the ledger does not hold any more what was read.
        """
        stage = self._ledger.stage_up_to(self.stage.size + PIECE)
        if stage != self.stage:
            self._read(stage)
            return True
        if not self._looked and stage != EMPTY:
            # Of one that differs, whoever takes over says so, after it has been filled up. Once is enough: it takes
            # seconds, in which nobody takes over.
            self._looked = True
            wrong = self._compare()
            if wrong:
                _log.error("index-differs", tables=len(wrong))
            _log.info("warm", size=self.stage.size)
        return False

    def complete(self) -> Stage:
        """Reads all that is left, and has the index be what follows from it; the newest stage. As `advance`."""
        while (newest := self._ledger.newest()) != self.stage or self._expected is not None:
            if newest != self.stage:
                self._read(self._ledger.stage_up_to(self.stage.size + PIECE))
            elif self._compare():
                self._ledger.fill_index()
                if wrong := self._compare():
                    text = "hold rows that are not the ledger's; emptied by their owner, they are filled again"
                    raise Damaged(f"{', '.join(wrong)} {text}")
        return self.stage

    def _compare(self) -> list[str]:
        wrong = self._ledger.differing(self._expected_at)
        if not wrong:
            self._expected = None
        return wrong

    def _expected_at(self, newest: Stage) -> Expected:
        assert self._expected is not None
        self._read(newest)
        return self._expected

    def _read(self, stage: Stage) -> None:
        if stage.size < self.stage.size or (stage.size == self.stage.size and stage.root != self.stage.root):
            raise LedgerBehind(f"the ledger held {self.stage.size} entries, and holds {stage.size}: it is an old copy")
        election = self.election
        # What the log has signed it had checked: then its signature is checked in place of those under it.
        note = self._ledger.signed(stage.size)
        while election.size < stage.size:
            page = self._ledger.entries(election.size, min(election.size + PAGE, stage.size))
            if not page:
                raise Damaged(f"the ledger's entry {election.size} is not there")
            for raw in page:
                try:
                    entry = parse_entry(raw)
                    election.apply_recorded(entry, own=note is not None)
                except Refused as refusal:
                    raise Damaged(f"the ledger's entry {election.size} is not as it was staged: {refusal}") from None
                if self._expected is not None:
                    self._expected.add(entry)
        if election.head.root() != stage.root:
            raise Damaged(f"the ledger's {stage.size} entries do not have the root that was staged")
        if note is not None:
            self._check_signed(stage, note)
        self.stage = stage

    def _check_signed(self, stage: Stage, note: bytes) -> None:
        try:
            signed = open_note(parse_note(note), self.election.manifest.at(stage.size).log, witnessed=False)
        except Refused as refusal:
            raise Damaged(f"the log's note over {stage.size} entries is not as it was signed: {refusal}") from None
        if signed != stage.checkpoint(self._ledger.origin):
            raise Damaged(f"the log's note over {stage.size} entries is over another tree")
