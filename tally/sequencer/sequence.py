"""Take, check, stage, sign, push, publish, acknowledge: the sequencer's round, and how it begins again after a crash.

What a crash leaves behind, by where it strikes: - before the stage is committed: nothing; the queue hands the entries
out again; - after it: a stage that is not marked or not signed, not witnessed, or not published. `open`
finds it and goes on with it, before anything new is taken; the queue's rows come again and are recognised. The election
in memory is ahead of the ledger between deciding and committing, so whatever fails there, `open` reads it anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Executor, Future
from contextlib import suppress
from dataclasses import dataclass, field

from audit.log.keys import Signer
from audit.protocol.elgamal import Ciphertext
from audit.protocol.refused import Refused
from audit.record.checker import BallotChecker
from audit.record.election import Election
from audit.record.entries import Entry
from audit.record.manifest import Manifest
from infra import failpoints, log
from infra.queue.frames import Row
from infra.workers import CheckingPool
from tally.sequencer.courier import LedgerBehind
from tally.sequencer.decide import Decision, Verdicts, check_authors, check_ballots, decide, read
from tally.sequencer.egress import Egress, QueueUnavailable
from tally.sequencer.ledger import EMPTY, Ledger, Overtaken, Stage
from tally.sequencer.log_keys import LogKeys
from tally.sequencer.mark import Mark
from tally.sequencer.push import Push
from tally.sequencer.replay import Replay
from tally.sequencer.status import Figures

MOST = 256
"""Rows taken at a time: what one append to a custodian holds."""

Clock = Callable[[], int]
MakePool = Callable[[BallotChecker], CheckingPool]

_log = log.Log(
    "tally.sequencer",
    opened=("size", "phase"),
    sequenced=("size", "entries", "refused", "repeated", "foreign", "ms"),
    not_acknowledged=("rows",),
)


@dataclass(frozen=True)
class Checked:
    """Rows of the queue, and what can be known of them before it is their turn: the entries in them, the faults that
    reading them has brought to light, the verdicts on ballots, and which other entries bear true lines. `taken`: when
    they were asked for, on the monotonic clock.
    """

    rows: Sequence[Row]
    taken: float
    entries: Sequence[Entry] = ()
    faults: Sequence[Exception] = ()
    verdicts: Verdicts = field(default_factory=dict)
    signed: frozenset[bytes] = frozenset()


class Sequencer:
    """One log's sequencer. `signers`: the log's keys, and those that will be or were; `mark`: what this host has seen
    staged. `clock` gives POSIX seconds; `make_pool` starts the workers once the rolls are anonymous; `mixes` checks the
    proofs of mixes before that.
    `ahead`, if given, runs one call at a time: on it the next rows are taken and checked while custodians are waited
    for.
    """

    def __init__(
        self,
        ledger: Ledger,
        manifest: Manifest,
        signers: Sequence[Signer],
        push: Push,
        egress: Egress,
        make_pool: MakePool,
        clock: Clock,
        mark: Mark,
        mixes: Executor | None = None,
        ahead: Executor | None = None,
    ) -> None:
        self._ledger, self._manifest, self._keys = ledger, manifest, LogKeys(signers)
        self._push, self._egress, self._clock, self._mark = push, egress, clock, mark
        self._replay: Replay | None = None
        self._make_pool = make_pool
        self._pool: CheckingPool | None = None
        self._mixes = mixes
        self._ahead = ahead
        self._coming: Future[Checked] | None = None
        self.election = Election(manifest.hash, mixes)
        self.figures = Figures()
        self.counted: Callable[[Decision, float], None] = lambda decision, seconds: None
        """Told of every round that is over, and how long it took (seconds)."""

    def follow(self) -> Stage | None:
        """Reads a piece of the ledger ahead of `open`, which then has only the rest to read: the stage to which it has
        come, None if there is nothing more for now. Nothing is signed. LedgerBehind, Damaged.
        """
        self._replay = self._replay or Replay(self._ledger, self._manifest.hash, self._mixes)
        return self._replay.stage if self._replay.advance() else None

    def open(self) -> None:
        """Signs a stage unless it is signed, gets it witnessed unless it is, and publishes it. As `Push.witness`;
        LedgerBehind if the ledger lacks what this host has marked; Damaged, NotMarked.
        """
        # Of what is coming, the checks were against an election that is thrown away; its rows are handed out again, and
        # so are those that one before this one, killed, has left behind.
        self._forget_coming()
        self._egress.begin()
        marked = self._mark.there
        if self._mark.lacking():
            raise LedgerBehind("the ledger lacks a stage that this host has marked: it is an old copy")
        replay = self._replay or Replay(self._ledger, self._manifest.hash, self._mixes)
        replay.complete()
        self.election, self._replay = replay.election, None
        brought = EMPTY
        if not marked and replay.stage != EMPTY:
            # Nothing says yet that this ledger is no old copy, and a mark of it would say so at the next beginning.
            brought, note = replay.stage, self._ledger.signed(replay.stage.size)
            assert note is not None
            self._bring(brought, note)
            self._push.hear(marked)
        stage, entries = replay.admit(self._check_texts)
        _log.info("opened", size=stage.size, phase=self.election.phase)
        if stage != brought:
            self.finish(stage, entries)
        self._push.hear(marked)
        self._mark.set(stage)
        self._count(Decision())

    def step(self) -> bool:
        """One round; False if the queue had nothing. QueueUnavailable, before anything is changed; otherwise as
        `finish`, or SQLAlchemyError, and then `open` must come before the next step.
        """
        # What a custodian has shown since the last round: another tree must not be signed beside it first.
        self._push.check()
        checked = self._next()
        self._push.check()
        if not checked.rows:
            return False
        decision, stage = self._stage(checked)
        if self._ahead is not None:
            # Until this round is over, nothing changes the election that they are checked against.
            self._coming = self._ahead.submit(self._take)
        if stage is not None:
            if self._ledger.newest() != stage:
                # What another has staged since is not this election's to sign; it signs this stage, too.
                raise Overtaken(f"the log has been continued from {stage.size} entries by another sequencer")
            self.finish(stage, decision.entries)
        try:
            self._egress.ack(row.key for row in checked.rows)
        except QueueUnavailable:
            _log.warning("not-acknowledged", rows=len(checked.rows))
        failpoints.at("sequencer.acknowledged")
        self._count(decision)
        seconds = time.monotonic() - checked.taken
        self.counted(decision, seconds)
        _log.info(
            "sequenced",
            size=self.election.size,
            entries=len(decision.entries),
            refused=decision.refused,
            repeated=decision.repeated,
            foreign=decision.foreign,
            ms=round(1000 * seconds),
        )
        return True

    def is_overtaken(self) -> bool:
        """Whether another sequencer has continued the log; `open` goes on from there."""
        return self._ledger.newest().size != self.election.size

    def stage(self, rows: Sequence[Row]) -> Decision:
        """Checks the rows, decides on them and commits the decision. Overtaken if another sequencer has continued the
        log; MissingKey if a rekey among them wants other keys than are held: then nothing is changed.
        """
        return self._stage(self._checked(rows, time.monotonic()))[0]

    def _next(self) -> Checked:
        coming, self._coming = self._coming, None
        return self._take() if coming is None else coming.result()

    def _take(self) -> Checked:
        taken = time.monotonic()
        rows = self._egress.take(MOST)
        if not rows:
            return Checked(rows, taken)
        failpoints.at("sequencer.taken")
        return self._checked(rows, taken)

    def _checked(self, rows: Sequence[Row], taken: float) -> Checked:
        faults: list[Exception] = []
        entries = [entry for row in rows if (entry := read(row.data, faults)) is not None]
        verdicts = self._check(entries)
        signed = check_authors(self.election, entries)
        failpoints.at("sequencer.checked")
        return Checked(rows, taken, entries, faults, verdicts, signed)

    def _forget_coming(self) -> None:
        coming, self._coming = self._coming, None
        if coming is not None:
            coming.cancel()
            # Whatever comes of it; but it must not go on by the side of what begins now.
            with suppress(Exception, CancelledError):
                coming.result()

    def _stage(self, checked: Checked) -> tuple[Decision, Stage | None]:
        entries, old_size = checked.entries, self.election.size
        new = None
        with self._ledger.seen() as seen:
            seen.look_up(entries)
            decision = decide(self.election, seen, entries, checked.verdicts, self._seal, checked.signed)
        decision.foreign += len(checked.rows) - len(entries)
        if decision.entries:
            # What the log commits to, it must be able to sign.
            self._keys.check(self.election.manifest)
            head = self.election.head
            new = Stage(old_size, head.size, head.root(), head.to_bytes())
            with self._ledger.begin() as transaction:
                # Whoever has continued the log since the index was read is met here.
                transaction.hurry()
                transaction.append(new, [entry.raw for entry in decision.entries])
                transaction.keep(decision.kept)
        else:
            # What is here a repetition may be of a stage that nobody has pushed yet: it must not be acknowledged.
            self._expect_alone(old_size)
        failpoints.at("sequencer.staged")
        for fault in (*checked.faults, *decision.faults):
            log.failure(fault)
        return decision, new

    def _expect_alone(self, size: int) -> None:
        if self._ledger.newest().size != size:
            raise Overtaken(f"the log has been continued from {size} entries by another sequencer")

    def finish(self, stage: Stage, entries: Sequence[Entry]) -> None:
        """Marks a stage that is committed, signs it, unless it is signed, gets it witnessed, unless it is, and
        published. `entries`: those that are signed with it. Stopped, LedgerBehind, Fork, NotMarked.
        """
        self._mark.set(stage)
        failpoints.at("sequencer.marked")
        self._bring(stage, self._ledger.signed(stage.size) or self._sign(stage, entries))

    def _bring(self, stage: Stage, note: bytes) -> None:
        self._push.send(stage, note, self.election.manifest)
        failpoints.at("sequencer.pushed")
        size = stage.size
        witnessed = self._ledger.witnessed(size) or self._witness(size)
        self._push.publish(size, witnessed)
        failpoints.at("sequencer.published")

    def _sign(self, stage: Stage, entries: Sequence[Entry]) -> bytes:
        note = self.signed_note(stage, self.election.manifest)
        failpoints.at("sequencer.signed")
        stored = self._ledger.sign(stage.size, note, entries)
        failpoints.at("sequencer.signature-stored")
        return stored

    def _witness(self, size: int) -> bytes:
        note = self._push.witness()
        failpoints.at("sequencer.witnessed")
        stored = self._ledger.witness(size, note)
        failpoints.at("sequencer.witness-stored")
        return stored

    def write_status(self, write: Callable[[Figures], None]) -> None:
        """Hands the figures, brought up to date, to `write`."""
        self.figures.custodians, self.figures.published = self._push.sizes(), self._push.published()
        write(self.figures)

    def close(self) -> None:
        """Ends the workers."""
        self._forget_coming()
        if self._pool is not None:
            self._pool.close()

    def _check(self, entries: Sequence[Entry]) -> Verdicts:
        ballots = [entry for entry in entries if entry.kind == "ballot"]
        if not ballots:
            return {}
        with self._ledger.seen() as seen:
            seen.look_up(ballots)
            return check_ballots(self.election, seen, ballots, self._check_texts)

    def _check_texts(self, pairs: Sequence[tuple[bytes, Ciphertext]]) -> Sequence[Refused | None]:
        if not pairs:
            return []
        if self._pool is None:
            # Manifest, key and rolls no longer change once ballots are admitted, so this pool serves to the end.
            self._pool = self._make_pool(self.election.checker())
        return self._pool.check_texts(pairs)

    def _seal(self, text: bytes) -> bytes:
        return self._keys.seal(text, self.election.manifest)

    def signed_note(self, stage: Stage, manifest: Manifest) -> bytes:
        """The log's own note over a stage, signed now with both keys; `manifest` with its rekeys. MissingKey."""
        return self._keys.note(stage.checkpoint(self._ledger.origin), manifest, self._clock()).raw

    def _count(self, decision: Decision) -> None:
        figures = self.figures
        figures.size, figures.phase = self.election.size, self.election.phase
        figures.ballots, figures.refusals = self.election.ballots, self.election.refusals
        figures.repeated += decision.repeated
        figures.foreign += decision.foreign
