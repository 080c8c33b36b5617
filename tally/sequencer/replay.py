"""The ledger read from its beginning: the election that its entries make, and whether the index over them holds what
follows from them. Who stands by does it ahead, piece by piece; who sequences reads what is left, and then is checked as
much as if it had read everything just now, but for what has changed on the ledger's disk since.

What the log has signed it had checked: it is believed under that signature. What is staged and not signed yet, whoever
can write to the ledger may have put there: it is judged as if it had just come from the queue.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor

from audit.log.checkpoint import open_note
from audit.log.notes import parse_note
from audit.protocol.refused import Refused
from audit.record.election import Election
from audit.record.entries import Entry, parse_entry
from infra import log
from infra.seen import SqlSeen
from infra.seen_check import Expected
from tally.sequencer.courier import LedgerBehind
from tally.sequencer.decide import CheckTexts, Verdicts, check_ballots
from tally.sequencer.ledger import EMPTY, PAGE, Damaged, Ledger, Overtaken, Stage

PIECE = 2048
"""Most entries that are read before the caller can do something else: half a second."""

REPEATED = Refused("duplicate", "a ballot that is signed by no intake, or stands in the log already")

_log = log.Log("tally.replay", index_differs=("tables",), warm=("size",))


class Replay:
    """One reading. `manifest_hash` pins the manifest; `mixes` checks the proofs of mixes that come later."""

    def __init__(self, ledger: Ledger, manifest_hash: bytes, mixes: Executor | None = None) -> None:
        self.election = Election(manifest_hash, mixes)
        self.stage = EMPTY
        """The last signed stage whose entries have been read and lead to its root, and to the frontier of every stage
        on the way.
        """
        self._ledger = ledger
        # Until the index was compared: afterwards who sequences keeps it, in the transactions that stage.
        self._expected: Expected | None = Expected()
        self._looked = False

    def advance(self) -> bool:
        """Reads on in what is signed, up to 2048 entries; False once there is nothing more, and then the index has been
        compared, but not put right. Damaged; LedgerBehind if the ledger does not hold any more what was read.
        """
        if self._read_next():
            return True
        if not self._looked and self.stage != EMPTY:
            # Of one that differs, whoever takes over says so, after it has been filled up. Once is enough: it takes
            # seconds, in which nobody takes over.
            self._looked = True
            wrong = self._compare()
            if wrong:
                _log.error("index-differs", tables=len(wrong))
            _log.info("warm", size=self.stage.size)
        return False

    def complete(self) -> None:
        """Reads all that is left of what is signed, and has the index be what follows from it. As `advance`."""
        while self._read_next() or self._expected is not None:
            if self._expected is not None and self._compare():
                self._ledger.fill_index()
                if wrong := self._compare():
                    text = "hold rows that are not the ledger's; emptied by their owner, they are filled again"
                    raise Damaged(f"{', '.join(wrong)} {text}")

    def admit(self, check_texts: CheckTexts) -> tuple[Stage, list[Entry]]:
        """The newest stage, and what of it is not signed yet, checked and admitted in full; after `complete`.

        Damaged if the rules refuse any of it, or it is more than is staged before it is signed; Overtaken if another
        sequencer signs it meanwhile. The election is of no use then.
        """
        newest, election = self._ledger.newest(), self.election
        raws = self._ledger.entries(self.stage.size, newest.size)
        try:
            if len(raws) != newest.size - self.stage.size or len(raws) > PAGE:
                raise Refused("wrong-length", f"up to {newest.size} they are not those of one stage")
            with self._ledger.seen() as seen:
                entries = list(map(parse_entry, raws))
                seen.look_up(entries)
                verdicts = check_ballots(election, seen, entries, check_texts)
                stages = self._stages_up_to(newest.size)
                for entry in entries:
                    self._admit(seen, entry, verdicts)
                    self._check_frontier(stages)
        except Refused as refusal:
            if self._ledger.newest_signed() != self.stage:
                raise Overtaken(f"another sequencer has signed more than {self.stage.size} entries") from None
            text = f"the ledger's entry {election.size} is staged, not signed, and may not be recorded: {refusal}"
            raise Damaged(text) from None
        self._check_root(newest)
        return newest, entries

    def _admit(self, seen: SqlSeen, entry: Entry, verdicts: Verdicts) -> None:
        self.election.check_signed(entry)
        if entry.kind != "ballot":
            self.election.check_proofs(entry)
        elif (verdict := verdicts.get(entry.raw, REPEATED)) is not None:
            raise verdict
        self.election.admit(entry, seen)
        self.election.apply(entry)
        seen.add(entry)

    def _read_next(self) -> bool:
        """Reads up to a stage that is signed; False if there is none beyond."""
        here = self._ledger.stage_up_to(self.stage.size)
        if (here.size, here.root) != (self.stage.size, self.stage.root):
            raise LedgerBehind(f"the ledger held {self.stage.size} entries, and holds {here.size}: it is an old copy")
        # Some may be signed by nobody: those of a ledger that was lost, whose keys are lost, too.
        found = self._ledger.furthest(self.stage.size, PIECE) or self._ledger.furthest(self.stage.size, 1 << 62)
        if found:
            self._read(found[0])
        return found is not None

    def _compare(self) -> list[str]:
        wrong = self._ledger.differing(self._expected_at)
        if not wrong:
            self._expected = None
        return wrong

    def _expected_at(self, signed: Stage) -> Expected:
        assert self._expected is not None
        self._read(signed)
        return self._expected

    def _read(self, stage: Stage) -> None:
        if stage.size < self.stage.size:
            raise LedgerBehind(f"the ledger held {self.stage.size} entries, and holds {stage.size}: it is an old copy")
        election = self.election
        while election.size < stage.size:
            page = self._ledger.entries(election.size, min(election.size + PAGE, stage.size))
            if not page:
                raise Damaged(f"the ledger's entry {election.size} is not there")
            stages = self._stages_up_to(election.size + len(page))
            for raw in page:
                try:
                    entry = parse_entry(raw)
                    # The log's signature is checked below, in place of those under it.
                    election.apply_recorded(entry, own=True)
                except Refused as refusal:
                    raise Damaged(f"the ledger's entry {election.size} is not as it was staged: {refusal}") from None
                self._check_frontier(stages)
                if self._expected is not None:
                    self._expected.add(entry)
        self._check_root(stage)
        self._check_signed(stage)
        self.stage = stage

    def _stages_up_to(self, size: int) -> dict[int, Stage]:
        return {stage.size: stage for stage in self._ledger.stages(self.election.size, size)}

    def _check_frontier(self, stages: Mapping[int, Stage]) -> None:
        # By it custodians are sent what they lack, and held against the ledger: a false one would accuse them.
        stage, head = stages.get(self.election.size), self.election.head
        if stage is not None and head.to_bytes() != stage.frontier:
            # Where the root differs, too, it is the entries that are not as they were.
            self._check_root(stage)
            raise Damaged(f"the ledger's {stage.size} entries do not have the frontier that was staged")

    def _check_root(self, stage: Stage) -> None:
        if self.election.head.root() != stage.root:
            raise Damaged(f"the ledger's {stage.size} entries do not have the root that was staged")

    def _check_signed(self, stage: Stage) -> None:
        if stage == EMPTY:
            return
        note = self._ledger.signed(stage.size)
        assert note is not None
        try:
            signed = open_note(parse_note(note), self.election.manifest.at(stage.size).log, witnessed=False)
        except Refused as refusal:
            raise Damaged(f"the log's note over {stage.size} entries is not as it was signed: {refusal}") from None
        if signed != stage.checkpoint(self._ledger.origin):
            raise Damaged(f"the log's note over {stage.size} entries is over another tree")
