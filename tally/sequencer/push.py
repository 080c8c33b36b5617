"""Brings every signed stage to all custodians, waits until W of them have cosigned, and has them publish it.

Each custodian has a courier of its own, so that one that is slow, down or far behind delays nobody: it is sent what it
misses, stage by stage, whenever it can take it. All that a courier knows it can ask for again, so a crash or a doubt
costs one question.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial

from audit.log.checkpoint import LogPolicy
from audit.log.notes import Note, parse_note
from audit.record.manifest import Manifest
from infra import lasting, log
from tally.sequencer.append import Missing
from tally.sequencer.courier import CLAIM_SECONDS, CLAIM_TRIES, Courier, LedgerBehind
from tally.sequencer.custodian import Custodian
from tally.sequencer.joining import Lines, join
from tally.sequencer.ledger import Ledger, Stage

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
    fork=("custodian", "size"),
    one_custodian_twice=("custodian",),
    waiting=("size", "cosigned", "wanted"),
    not_all_heard=("heard",),
)


class Stopped(Exception):
    """The process is told to end; what is under way goes on after a restart."""


class Ended(Exception):
    """A courier has ended, for a fault that nobody foresaw, and its custodian would be served no more."""


class Push:
    """The couriers of one log and what they share. Its methods are for one thread, the sequencer's.

    `changed` is what all of them wait on, and `start` sends a courier out, as `lasting` does: clock and threads are
    arguments.
    """

    def __init__(
        self,
        ledger: Ledger,
        manifest: Manifest,
        custodians: Sequence[Custodian],
        changed: threading.Condition | None = None,
        start: Callable[[str, Callable[[], None], Callable[[], None]], object] = lasting.start,
    ) -> None:
        self._ledger, self.manifest = ledger, manifest
        self.left_out: frozenset[str] = frozenset()
        """What these custodians hold does not stop the log, whatever it is: the officials have gone on without them."""
        self.settled = False
        """Nobody can have signed more than the ledger holds but a thief or a second sequencer: all custodians have been
        asked, W of them have cosigned what was staged in this term, or W have answered and one alone had claimed more.
        """
        self.told: Callable[[str, bytes], None] = lambda custodian, note: None
        """Is given the note of each tree by the log's keys that is not the ledger's, and who shows it."""
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
        self._twice, self._forks = log.Seldom(LOOK_AGAIN_SECONDS), log.Seldom(LOOK_AGAIN_SECONDS)
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
            self._start(f"courier {courier.label}", courier.run, partial(self._ended, courier))

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
            self.settled = self.settled or self._heard

    def hear(self, marked: bool) -> None:
        """Returns once every custodian has said what it holds, or HEAR_SECONDS have passed, HEAR_MARKED_SECONDS if
        `marked`, and who claims to hold more has shown it or not; later calls, at once. What only one of them holds, of
        an old copy of the ledger, is found before another tree of its size is signed.

        Raises as `witness`; LedgerBehind also for a claim that nothing shows, unless `marked` or all were asked before.
        """
        with self._changed:
            # Of an empty ledger, all custodians have been asked already, and couriers go out with the first stage.
            if not self._heard and self._stage is not None:
                self._listen(HEAR_MARKED_SECONDS if marked else HEAR_SECONDS)
                if not (marked or self.settled) and any(c.claims for c in self._couriers):
                    raise LedgerBehind(
                        "a custodian claims to hold more, and nothing says that the ledger is no old copy"
                    )
            self._heard = True
            self._check()

    def _listen(self, seconds: float) -> None:
        if not self._changed.wait_for(
            lambda: all(c.heard or c.claims for c in self._couriers) or self._over(), seconds
        ):
            _log.warning("not-all-heard", heard=sum(c.heard for c in self._couriers))
        judged = CLAIM_TRIES * CLAIM_SECONDS
        self._changed.wait_for(lambda: all(c.heard or not c.claims for c in self._couriers) or self._over(), judged)

    def sent(self) -> tuple[int, Manifest]:
        """How many entries the largest stage has that was sent, and so was signed; and the manifest with its rekeys."""
        with self._changed:
            return self._stage.size if self._stage else 0, self.manifest

    def sizes(self) -> dict[str, int]:
        """How many entries each custodian is known to hold."""
        return {courier.label: courier.size or 0 for courier in self._couriers}

    def published(self) -> dict[str, int]:
        """How many entries each custodian is known to serve."""
        return {courier.label: courier.published for courier in self._couriers}

    def next_task(self, courier: Courier) -> tuple[Stage | None, tuple[int, bytes]] | None:
        """Waits until its custodian lacks something: the stage and the witnessed note it may lack; None to end."""
        with self._changed:
            # Whatever the others do meanwhile, it does not put off the look.
            while not self._changed.wait_for(lambda: self._closing or self._lacks(courier), LOOK_AGAIN_SECONDS):
                courier.forget()
            return None if self._closing else (self._stage, self._witnessed)

    def _lacks(self, courier: Courier) -> bool:
        if self._stage is None:
            # Before the ledger has been read, nobody knows whose signatures count.
            return False
        size = courier.size
        return size is None or size < self._stage.size or courier.published < self._witnessed[0] <= size

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

    def contradicted(self, courier: Courier, note: Note, size: int, doubt: Exception) -> None:
        """By the word of this courier's custodian alone the log has signed another tree, or a longer one: `doubt` ends
        the sequencer once so many say so that W cannot cosign what it stages. Fewer stop nobody: W of the others
        protect what is published, and two that sequence at once cannot both have W.
        """
        with self._changed:
            courier.heard = courier.apart = True
            policy = self.policy()
            if sum(c.apart for c in self._couriers) > len(policy.custodians) - policy.W:
                self._failure = self._failure or doubt
            self._changed.notify_all()
        self.tell_fork(courier.label, note, size)

    def tell_fork(self, custodian: str, note: Note, size: int) -> None:
        """Says that the log's keys have signed this tree, of `size` entries, which is not the log."""
        if self._forks.due(custodian):
            _log.error("fork", custodian=custodian, size=size)
        self.told(custodian, note.raw)

    def check(self) -> None:
        """Raises as `witness`, without waiting: what a courier finds while nothing is waited for."""
        with self._changed:
            self._check()

    def fail(self, failure: Exception) -> None:
        """A courier cannot go on, and nor may the sequencer."""
        with self._changed:
            self._failure = self._failure or failure
            self._changed.notify_all()

    def _ended(self, courier: Courier) -> None:
        # As if the process had died: all that the couriers knew, those of the next ask for again.
        self.fail(Ended(f"the courier to {courier.label} has ended; start tally again"))

    def _wait(self, done: Callable[[], bool]) -> None:
        while not self._changed.wait_for(lambda: done() or self._over(), REPORT_SECONDS):
            size = self._stage.size if self._stage else 0
            _log.warning("waiting", size=size, cosigned=len(self._cosigned()), wanted=self.policy().W)
        self._check()

    def _over(self) -> bool:
        return self._closing or self._failure is not None

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closing:
            raise Stopped

    def _cosigned(self) -> dict[str, Lines]:
        """The custodians that have cosigned what was sent. Two couriers may come to one custodian: it counts once."""
        size = self._stage.size if self._stage else 0
        return {name: lines for over, name, lines in self._lines.values() if over == size}
