"""Brings every signed stage to all custodians, waits until W of them have cosigned, and has them publish it.

Each custodian has a courier of its own, so that one that is slow, down or far behind delays nobody: it is sent what it
misses, stage by stage, whenever it can take it. All that a courier knows it can ask for again, so a crash or a doubt
costs one question.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from audit.log.checkpoint import Checkpoint, LogPolicy, open_note
from audit.log.keys import Signature
from audit.log.notes import Note, parse_note
from audit.protocol.refused import Refused
from audit.record.manifest import Manifest
from infra import log
from tally.sequencer.append import Missing, Unsigned
from tally.sequencer.custodian import Custodian, Elsewhere, Rejected, Unavailable
from tally.sequencer.joining import Lines, custodian_of, join, lines_under
from tally.sequencer.ledger import Ledger, Stage
from tally.sequencer.shown import shown_by, successors

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
REPORT_SECONDS = 10.0
HEAR_SECONDS, HEAR_MARKED_SECONDS = 5.0, 1.0
"""In which every custodian may say what it holds before anything new is staged; one that is away holds nobody up. Where
this host has a mark in the ledger, what is missing could only have been staged by another host, after this one's last
look.
"""
LOOK_AGAIN_SECONDS = 60.0
"""After which an idle courier asks again what its custodian holds: its disk may have been replaced meanwhile."""

_log = log.Log(
    "tally.push",
    custodian_unavailable=("custodian", "reason"),
    custodian_rejects=("custodian", "status", "reason"),
    custodian_without_beginning=("custodian",),
    one_custodian_twice=("custodian",),
    waiting=("size", "cosigned", "wanted"),
    not_all_heard=("heard",),
)


class LedgerBehind(Exception):
    """A custodian holds signed entries that the ledger has not: it is an old copy, and going on would fork the log."""


class Fork(Exception):
    """A custodian holds a tree that the log signed and that the ledger contradicts."""


class Stopped(Exception):
    """The process is told to end; what is under way goes on after a restart."""


def start_thread(name: str, run: Callable[[], None]) -> None:
    """Has `run` go on by the side of the caller, no longer than the process."""
    threading.Thread(target=run, name=name, daemon=True).start()


class Push:
    """The couriers of one log and what they share. Its methods are for one thread, the sequencer's.

    What a custodian of `left_out` holds does not stop the log, whatever it is: the officials have gone on without it.
    `changed` is what all of them wait on, and `start` sends a courier out: the clock and the threads are arguments.
    """

    def __init__(
        self,
        ledger: Ledger,
        manifest: Manifest,
        custodians: Sequence[Custodian],
        left_out: frozenset[str] = frozenset(),
        changed: threading.Condition | None = None,
        start: Callable[[str, Callable[[], None]], None] = start_thread,
    ) -> None:
        self._ledger, self.manifest, self.left_out = ledger, manifest, left_out
        self.inadmissible: frozenset[Custodian] = frozenset()
        """Those that hold a tree with what the rules refuse, signed by the log's keys: it stops nobody."""
        self._changed = changed or threading.Condition()
        self._start = start
        self._stage: Stage | None = None
        self._note: Note | None = None
        # Each courier's last lines, whose they are and the size they are over: they may come before the stage is waited
        # for.
        self._lines: dict[Courier, tuple[int, str, Lines]] = {}
        self._witnessed: tuple[int, bytes] = (0, b"")
        self._failure: Exception | None = None
        self._closing = self._heard = False
        self._twice = log.Seldom(LOOK_AGAIN_SECONDS)
        self._missing = Missing(ledger)
        # A custodian's place is that of the manifest: the settings name all of them in its order.
        places = [name for name, _ in manifest.history[0].log.custodians]
        self._couriers = [
            Courier(self, ledger, self._missing, custodian, place)
            for custodian, place in zip(custodians, places, strict=False)
        ]

    def start(self) -> None:
        """Sends the couriers out."""
        for courier in self._couriers:
            self._start(f"courier {courier.label}", courier.run)

    def close(self) -> None:
        """Calls the couriers back; who waits here gets Stopped."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def policy(self, size: int | None = None) -> LogPolicy:
        """Whose signatures count over so many entries of the ledger; over what was sent last, if none are named."""
        return (self.manifest if size is None else self.manifest.at(size)).log

    def send(self, stage: Stage, note: bytes, manifest: Manifest) -> None:
        """Has the couriers bring this stage, and all before it that is lacking, to every custodian; does not wait.
        `manifest`, with the rekeys up to the stage, says whose signatures count.
        """
        with self._changed:
            self._stage, self._note, self.manifest = stage, parse_note(note), manifest
            self._changed.notify_all()

    def witness(self) -> bytes:
        """The note of the stage that was sent, with the cosignatures of W custodians, once they have given them.

        Stopped; LedgerBehind and Fork, after which nothing may be signed any more.
        """
        with self._changed:
            self._wait(lambda: len(self._cosigned()) >= self.policy().W)
            assert self._note is not None
            return join(self._note, self._cosigned(), self.policy()).raw

    def publish(self, size: int, note: bytes) -> None:
        """Has the custodians serve a witnessed note; returns when W of them do. Raises as `witness`."""
        with self._changed:
            self._witnessed = size, note
            self._changed.notify_all()
            self._wait(lambda: sum(c.published >= size for c in self._couriers) >= self.policy().W)

    def hear(self, marked: bool) -> None:
        """Returns once every custodian has said what it holds, or HEAR_SECONDS have passed, HEAR_MARKED_SECONDS if
        `marked`; later calls, at once. What only one of them holds, of an old copy of the ledger, is found before
        another tree of its size is signed.

        Raises as `witness`.
        """
        with self._changed:
            if not self._heard:
                done = self._changed.wait_for(
                    lambda: all(c.heard for c in self._couriers) or self._closing or self._failure is not None,
                    HEAR_MARKED_SECONDS if marked else HEAR_SECONDS,
                )
                if not done:
                    _log.warning("not-all-heard", heard=sum(c.heard for c in self._couriers))
                self._heard = True
            self._check()

    def sizes(self) -> dict[str, int]:
        """How many entries each custodian is known to hold."""
        return {courier.label: courier.size or 0 for courier in self._couriers}

    def next_task(self, courier: Courier) -> tuple[Stage | None, tuple[int, bytes]] | None:
        """Waits until its custodian lacks something: the stage and the witnessed note it may lack; None to end."""
        with self._changed:
            while not self._closing:
                size = courier.size
                if self._stage is None:
                    # Before the ledger has been read, nobody knows whose signatures count.
                    self._changed.wait()
                    continue
                if size is None or size < self._stage.size:
                    return self._stage, self._witnessed
                if courier.published < self._witnessed[0] <= size:
                    return self._stage, self._witnessed
                if not self._changed.wait(LOOK_AGAIN_SECONDS):
                    courier.forget()
            return None

    def report(self, courier: Courier, size: int, name: str, lines: Lines) -> None:
        """Takes the true lines of the custodian `name` over the ledger's tree of `size` entries."""
        with self._changed:
            others = {named for other, (_, named, _) in self._lines.items() if other is not courier}
            if name in others and self._twice.due(courier.label):
                # It counts once; but somebody else's copy of the log is where nobody looks.
                _log.error("one-custodian-twice", custodian=courier.label)
            self._lines[courier] = size, name, lines
            self._changed.notify_all()

    def pause(self, seconds: float) -> None:
        """Waits, unless the couriers are called back."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing, seconds)

    def moved(self) -> None:
        """A courier has got further."""
        with self._changed:
            self._changed.notify_all()

    def fail(self, failure: Exception) -> None:
        """A courier cannot go on, and nor may the sequencer."""
        with self._changed:
            self._failure = self._failure or failure
            self._changed.notify_all()

    def _wait(self, done: Callable[[], bool]) -> None:
        while not self._changed.wait_for(lambda: done() or self._closing or self._failure is not None, REPORT_SECONDS):
            size = self._stage.size if self._stage else 0
            _log.warning("waiting", size=size, cosigned=len(self._cosigned()), wanted=self.policy().W)
        self._check()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closing:
            raise Stopped

    def _cosigned(self) -> dict[str, Lines]:
        """The custodians that have cosigned what was sent. Two couriers may come to one custodian: it counts once."""
        size = self._stage.size if self._stage else 0
        return {name: lines for over, name, lines in self._lines.values() if over == size}


class Courier:
    """Serves one custodian. `size`: how many entries it holds, None while unknown; `published`: up to where it
    publishes; `heard`: it has said once what it holds.
    """

    def __init__(self, push: Push, ledger: Ledger, missing: Missing, custodian: Custodian, place: str) -> None:
        self._push, self._ledger, self._missing = push, ledger, missing
        self._custodian, self._place = custodian, place
        self.label = custodian.label
        self.size: int | None = None
        self.published = 0
        self.heard = False

    def run(self) -> None:
        """Goes on until called back. Whatever its custodian does is waited out; only LedgerBehind and Fork, which say
        that the ledger or the log's keys are not what they should be, end the sequencer.
        """
        pause = FIRST_PAUSE
        while (task := self._push.next_task(self)) is not None:
            try:
                self._serve(*task)
                pause = FIRST_PAUSE
                continue
            except (LedgerBehind, Fork) as error:
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
        else:
            self._custodian.publish(witnessed[1])
            self.published = witnessed[0]
        self._push.moved()

    def _find(self, witnessed: int) -> int:
        """How many entries the custodian holds, after showing that they are the ledger's. `witnessed` have been
        cosigned by W: over so many its lines are no longer needed.
        """
        note = self._custodian.held()
        if note is None:
            self.heard = True
            return 0
        newest = self._ledger.newest().size
        try:
            over = shown_by(self._custodian, note, self._push.manifest, self._missing.frontier(newest))
            held = open_note(note, over.log, witnessed=False)
        except Refused as refusal:
            raise Rejected(200, refusal.reason) from None
        lines = lines_under(note, over.log)
        try:
            self._compare(held, newest)
        except (LedgerBehind, Fork) as error:
            if self._left_out(note.text, lines, over):
                raise Rejected(200, "left-out") from None
            if self._custodian in self._push.inadmissible:
                raise Rejected(200, "inadmissible") from None
            if isinstance(error, Fork) and over.log.log != self._push.policy().log:
                # Signed with keys that were replaced since: who has stolen them can make any tree.
                raise Rejected(200, "replaced-key-signed") from None
            raise
        self.heard = True
        if not lines:
            # It says what it holds, but signs nothing until it has read it again: it is asked until it does.
            if held.size > witnessed:
                raise Rejected(200, "not-cosigned")
            return held.size
        self._report(held.size, note.text, lines)
        return held.size

    def _compare(self, held: Checkpoint, newest: int) -> None:
        if held.size > newest:
            raise LedgerBehind(f"{self.label} holds {held.size} signed entries, the ledger {newest}: it is an old copy")
        if self._missing.frontier(held.size).root() != held.root:
            raise Fork(f"{self.label} holds another tree of {held.size} entries, signed by this log's keys")

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
