"""Faults planted in the code under test, one each: what a schedule must find."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from audit.log.notes import Note
from audit.log.treehead import Checkpoint
from audit.record.entries import Entry
from audit.record.seen import Seen
from intake.door import watch
from intake.door.watch import settled_by
from tally.sequencer import decide
from tally.sequencer.claim import Claim
from tally.sequencer.courier import Courier
from tally.sequencer.decide import Decision
from tally.sequencer.ledger import Stage
from tally.sequencer.push import Push
from tally.sequencer.sequence import Checked, Sequencer
from vault.custodian import witness
from vault.custodian.cosign import cosignatures, parse_append
from vault.custodian.custody import Custodian
from vault.custodian.numbered_files import NumberedFiles

real_append = Custodian.append


class Plant:
    """What a schedule is run with: as it is, or with a fault planted, which a schedule must find by the very thing that
    does not hold because of it.
    """

    Sequencer: type[Sequencer] = Sequencer
    lazy_disks = False
    in_folder = False  # whether one custodian keeps its log in a folder; else some do
    compares = True
    marks = True
    befalls = ""  # a kind of fault that every schedule has
    hosts = 0  # how many tallies there are; as the seed says, if it is not said
    locks: bool | None = None  # whether the session lock keeps one of two away; as the seed says, if it is not said
    thief: bool | None = None  # whether somebody has the log's keys; as the seed says, if it is not said
    votes: bool | None = None  # whether the whole vote is held; as the seed says, if it is not said

    def failpoint(self, name: str) -> None:
        """Is told of every failpoint that is passed."""

    def planted(self) -> AbstractContextManager[object]:
        """Within the block the code under test has the fault."""
        return nullcontext()


class Eager:
    """A ledger whose transactions have a tree signed while it is being staged."""

    def __init__(self, ledger: Any, sign: Any) -> None:
        self._ledger, self._sign = ledger, sign

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    @contextmanager
    def begin(self) -> Iterator[Any]:
        with self._ledger.begin() as transaction:
            yield transaction
            for stage, _ in transaction.stages:
                self._sign(stage)


class SignsFirst(Sequencer):
    """Signs a tree before it is staged."""

    def _stage(self, checked: Checked) -> tuple[Decision, Stage | None]:
        ledger: Any = self._ledger
        self._ledger = Eager(ledger, lambda stage: self.signed_note(stage, self.election.manifest))
        try:
            return super()._stage(checked)
        finally:
            self._ledger = ledger


class DoesNotWait(Sequencer):
    """Acknowledges to the queue what is sent to the custodians, before W of them have it."""

    def finish(self, stage: Stage, entries: Sequence[Entry]) -> None:
        self._mark.set(stage)
        note = self._ledger.signed(stage.size) or self._sign(stage, entries)
        self._push.send(stage, note, self.election.manifest)


class SignBeforeStage(Plant):
    Sequencer = SignsFirst


class AckBeforeW(Plant):
    Sequencer = DoesNotWait


class NoFsync(Plant):
    lazy_disks = True


def new_unsynced(files: Any, content: bytes) -> str:
    """As `NumberedFiles._new_file`, without waiting for the disk."""
    path = f"{files._root}/new/{files._disk.fresh_name()}"
    files._disk.create(path, content)
    return path


class NoFsyncOfFiles(Plant):
    """A custodian's folder, the real one: a file is given its name before its bytes are on disk."""

    in_folder = True

    def planted(self) -> AbstractContextManager[object]:
        return patch.object(NumberedFiles, "_new_file", new_unsynced)


class NoFsyncOfFolders(Plant):
    """A custodian's folder, the real one: its cosignature is given before the file's name is on disk."""

    in_folder = True

    def planted(self) -> AbstractContextManager[object]:
        return patch.object(NumberedFiles, "_sync_folder", lambda *_: None)


class NoMark(Plant):
    """An old copy of the ledger is not known by the mark that stands outside of it."""

    marks = False
    hosts = 1
    thief = False
    befalls = "lose_what_one_holds"


class NoSwap(Plant):
    """The lock alone keeps two sequencers apart: the ledger does not compare."""

    compares = False
    hosts = 2
    locks = True
    befalls = "hold_up_the_leader"


class NoSwapNoLock(Plant):
    """Nothing keeps two sequencers apart."""

    compares = False
    hosts = 2
    locks = False


def settled_by_anybody(entries: Sequence[Entry], intake: str, seen: Seen) -> Iterator[tuple[bytes, str]]:
    """As `intake.door.watch.settled_by`, but whichever intake a ballot came through."""
    yield from settled_by(entries, intake, seen)
    yield from ((entry.identity, entry.kind) for entry in entries if entry.kind == "ballot")


class SettlesAnybodys(Plant):
    """An intake takes a ballot for answered that has come through another one, before or after it has passed it on."""

    votes = True

    def planted(self) -> AbstractContextManager[object]:
        return patch.object(watch, "settled_by", settled_by_anybody)


class RefusesSilently(Plant):
    """What may not be recorded is left out, and the log does not say so."""

    votes = True

    def planted(self) -> AbstractContextManager[object]:
        return patch.object(decide, "refuse", lambda *_: None)


def append_anything(keeper: Any, origin: str, body: bytes) -> bytes:
    """As `vault.custodian.custody.Custodian.append`, but another tree of the size that is held is cosigned, too."""
    append = parse_append(body)
    held = keeper.kept.newest(origin)
    if append.checkpoint.size == held.size and append.checkpoint.root != held.root:
        return cosignatures(keeper.kept._signers, replace(held, note=append.note.raw))
    return real_append(keeper, origin, body)


class CosignsAnother(Plant):
    """A custodian cosigns any tree of the size that it holds."""

    thief = True

    def planted(self) -> AbstractContextManager[object]:
        return patch.object(Custodian, "append", append_anything)


class WitnessesAnything(Plant):
    """The witness beside a custodian does not ask whether a tree continues the one that it saw last."""

    thief = True

    def planted(self) -> AbstractContextManager[object]:
        return patch.object(witness, "verify_consistency", lambda *_: None)


def claimed_without_entries(courier: Any, note: Note, held: Checkpoint, newest: int) -> Claim:
    """As `Courier._claimed`, but no entry is asked for."""
    return Claim(courier.label, note, held.size, newest, ())


class BelievesClaims(Plant):
    """That a custodian holds more than the ledger is believed before it has shown the entries."""

    thief = True

    def planted(self) -> AbstractContextManager[object]:
        return patch.object(Courier, "_claimed", claimed_without_entries)


class OneWordEnds(Plant):
    """Another tree that one custodian shows ends the sequencer."""

    thief = True

    def planted(self) -> AbstractContextManager[object]:
        return patch.object(Push, "contradicted", lambda push, courier, note, size, doubt: push.fail(doubt))


class TellsNobody(Plant):
    """A sequencer goes on beside another tree, and does not say so."""

    thief = True

    def planted(self) -> AbstractContextManager[object]:
        return patch.object(Push, "tell_fork", lambda *_: None)
