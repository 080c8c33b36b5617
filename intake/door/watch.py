"""The watch: reads the public log, settles what it holds, and accounts for all ballots when voting closes.

What was read is applied to the election and noted in the database in one transaction, together with the removal of
outbox rows: an entry leaves the outbox only because the log was seen to hold it, or a refusal of it, under a checkpoint
with W cosignatures. If that fails, the state in memory is ahead of the database and is thrown away: the
watch starts again from entry 0, which is what it does after a restart too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

from sqlalchemy import Engine

from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.admission import check_signatures, signer_of
from audit.record.entries import Entry, make_text, parse_entry, seal
from audit.record.manifest import Manifest
from audit.record.seen import Seen
from audit.record.voting import reconcile_root
from infra import failpoints
from infra.database import RETRY_SECONDS, UNAVAILABLE, tell
from infra.follow import Follower, Unreadable, WrongLog
from infra.log import Log, Seldom
from infra.seen import SqlSeen
from infra.sole import Occupied
from intake.door.key import DoorKey
from intake.door.outbox import CannotAccount, Outbox
from intake.door.receipt import WAITS, deadline
from intake.door.resigning import sign_page
from intake.door.standing import MOST_BALLOTS, MOST_OTHERS, Standing

log = Log(
    "intake.watch",
    log_read=("size", "phase"),
    custodians_silent=("custodians",),
    wrong_log=("number",),
    reconciled=("ballots",),
    signed_again=("entries",),
    not_signed_here=("entries",),
    key_does_not_count=("key",),
    cannot_account=(),
    refused_otherwise=("refusals",),
)

SIGNED_HERE = frozenset({"ballot", "reconcile"})
"""Kinds that bear the line of the intake they came through."""
SAID_AGAIN_SECONDS = 60.0
LOOK_SECONDS = 5.0
"""Between two looks at how much waits."""


class Watch:
    """Keeps `standing` in step with the log. `follow` gives a follower that begins at entry 0; `when_open` is called
    while voting is open. `most`: how many ballots may wait. `keep` raises if another process works on the outbox.
    """

    def __init__(
        self,
        follow: Callable[[], Follower],
        standing: Standing,
        outbox: Outbox,
        engine: Engine,
        manifest: Manifest,
        key: DoorKey,
        when_open: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        most: int = MOST_BALLOTS,
        keep: Callable[[], None] = lambda: None,
    ) -> None:
        self._follow = follow
        self._standing = standing
        self._outbox = outbox
        self._engine = engine
        self._manifest = manifest
        self._key = key
        self._when_open = when_open
        self._clock = clock
        # Of how long ago something was, a clock that is set knows nothing.
        self._monotonic = monotonic
        self._most, self._keep = most, keep
        self._look_at = 0.0
        self.silent = False
        """Whether no custodian could be read of late."""
        self.cannot_account = False
        self.refused_otherwise = False
        """Whether the log refuses, under this intake's name, other bytes than it accepted: somebody has its key, has
        spoiled what it passed on, or makes up refusals.
        """
        self._away = False
        self._drained = False
        self._idle = 0
        self._closing_since: float | None = None
        # While what waits is looked through for lines of another key: how far.
        self._signed_to: bytes | None = None
        self._said = Seldom(SAID_AGAIN_SECONDS)
        self._begin()

    def run(self, stop: threading.Event, pause: float) -> None:
        """Watches until told to stop, asking every `pause` seconds. A log that breaks the rules ends it, and nothing is
        accepted any more.
        """
        try:
            while not stop.is_set():
                if not self.step():
                    stop.wait(max(pause, RETRY_SECONDS) if self._away else pause)
        except WrongLog as error:
            self._standing.ready, self._standing.broken = False, True
            log.error("wrong-log", number=error.number)

    def step(self) -> bool:
        """Takes in the next entries, if any; whether there is more to be done at once. Raises WrongLog."""
        try:
            self._keep()
            self._look_for_room()
            entries = self._follower.read()
            self._idle = 0 if entries else self._idle + 1
            if entries:
                self._take_in(entries)
            elif self._follower.caught_up or self._follower.head is None:
                self._when_caught_up()
        except Unreadable:
            if not self.silent:
                log.warning("custodians-silent", custodians=len(self._manifest.log.custodians))
            self.silent = True
            return False
        except WrongLog:
            raise
        except Exception as error:
            # Mostly the database. How far it got is not known, so it begins again.
            self._away = isinstance(error, (*UNAVAILABLE, Occupied))
            tell(error)
            self._begin()
            return False
        self.silent = self._away = False
        return bool(entries) or self._signed_to is not None

    def _begin(self) -> None:
        self._signed_to = None
        self._follower = self._follow()
        self._standing.begin(self._follower.election)

    def _take_in(self, entries: Sequence[Entry]) -> None:
        standing = self._standing
        with self._engine.begin() as connection, SqlSeen(connection, self._manifest.origin) as seen:
            settled = list(settled_by(entries, self._name, seen))
            refused = list(refused_through(entries, self._name))
            with standing.lock:
                self._follower.apply(entries, seen)
            standing.learn(entries)
            self._outbox.settle(connection, settled)
            others = self._outbox.settle_refused(connection, refused)
            signed_here = [entry for entry in entries if entry.kind in SIGNED_HERE and signer_of(entry) == self._name]
            if any(entry.kind == "closing" for entry in entries):
                self._outbox.hurry(connection)
            self._outbox.learn(connection, signed_here, self._deadline(), self._is_ours)
            failpoints.at("outbox.settling")
        failpoints.at("outbox.settled")
        log.info("log-read", size=standing.election.size, phase=standing.election.phase)
        if others:
            self.refused_otherwise = True
            log.error("refused-otherwise", refusals=others)
        if any(entry.kind in ("rekey", "closing") for entry in entries):
            # Before the account of all ballots what waits is looked through once more.
            self._key.follow(standing.election.manifest)
            self._key.outlived = True

    def _sign_page(self) -> None:
        """Of what waits with a line by a key that was replaced, the next get one by the key that counts."""
        if not self._key.counts:
            if self._said.due("key"):
                log.error("key-does-not-count", key=self._key.signer.verifier.key_id.hex())
            return
        if self._signed_to is None:
            # Not after it: what is stored meanwhile is looked for the next time. If it fails, the watch begins again.
            self._key.outlived, self._signed_to = False, b""
        known = (self._manifest.origin, self._key.signer, self._is_ours)
        with self._engine.begin() as connection:
            page = sign_page(connection, *known, self._signed_to)
        self._signed_to = page.last
        failpoints.at("outbox.signed-again")
        if page.signed:
            log.info("signed-again", entries=page.signed)
        if page.strange:
            log.error("not-signed-here", entries=page.strange)

    def _when_caught_up(self) -> None:
        standing = self._standing
        if not standing.ready:
            if self._idle < len(self._manifest.log.custodians) and self._outbox.restored():
                # It may have closed its own account before it was lost, and must see what all custodians show of that.
                return
            # After a restart: what was accepted before it, and is not in the log yet, counts as it did.
            self._key.follow(standing.election.manifest if standing.election.size else self._manifest)
            standing.learn(parse_entry(raw) for raw in self._outbox.ballots())
            standing.ready = self._key.outlived = True
        if self._key.outlived or self._signed_to is not None:
            self._sign_page()
        if standing.election.phase == "open":
            self._when_open()
        if standing.election.phase == "closing" and not self._drained:
            self._drain()

    def _look_for_room(self) -> None:
        """Between two looks, what comes goes beyond the bound: some seconds' worth."""
        if self._monotonic() >= self._look_at:
            self._standing.full = self._outbox.holds(True, self._most)
            self._standing.full_of_others = self._outbox.holds(False, MOST_OTHERS)
            self._look_at = self._monotonic() + LOOK_SECONDS

    def _drain(self) -> None:
        now = self._monotonic()
        if self._closing_since is None:
            self._closing_since = now
        if now < self._closing_since + WAITS * self._manifest.batch_wait and self._outbox.restored():
            # What it passed on before it was lost, and has forgotten, may still be on its way into the log.
            return
        try:
            self._drained = self._outbox.drain(self._name, self._account)
            self.cannot_account = False
        except CannotAccount:
            self.cannot_account = True
            if self._said.due():
                log.error("cannot-account")

    @property
    def _name(self) -> str:
        return self._key.name

    def _deadline(self) -> int:
        return deadline(self._clock(), self._manifest.batch_wait)

    def _is_ours(self, entry: Entry) -> bool:
        """Whether this intake's own key, or the one that it had before, has signed this entry of the log."""
        for manifest in self._standing.election.manifest.history:
            try:
                check_signatures(manifest, entry)
                return True
            except Refused:
                pass
        return False

    def _account(self, ballots: Iterator[bytes]) -> tuple[Entry, int]:
        """The `reconcile` entry over the identities of all ballots this intake passed on."""
        count, root = reconcile_root(ballots)
        body = {"count": count, "manifest": b64(self._manifest.hash), "root": b64(root), "signer": self._name}
        entry = parse_entry(seal(make_text("reconcile", self._manifest.origin, body), [self._key.signer]))
        log.info("reconciled", ballots=count)
        return entry, self._deadline()


def settled_by(entries: Sequence[Entry], intake: str, seen: Seen) -> Iterator[tuple[bytes, str]]:
    """Identity and kind of what this intake need not pass on any more, because these entries stand in the log. Refusals
    of ballots are left to `refused_through`: one that says it is of something else answers for no ballot.

    A ballot recorded under another intake's line does not settle ours: tally will refuse that one by name. `seen` is
    the index before them. A refusal it holds already is read for the second time, after a restart: since then the
    official act it refuses may have been handed in again.
    """
    for entry in entries:
        if entry.kind == "refusal":
            identity, kind = entry.fields["identity"], entry.fields["kind"]
            if kind != "ballot" and not seen.refused(identity, entry.fields["intake"]):
                yield identity, kind
        elif entry.kind != "ballot" or entry.signatures[0].name == intake:
            yield entry.identity, entry.kind


def refused_through(entries: Sequence[Entry], intake: str) -> Iterator[tuple[bytes, bytes]]:
    """Identity and leaf hash of every ballot that the log refuses as this intake passed it on."""
    for entry in entries:
        if entry.kind == "refusal" and entry.fields["kind"] == "ballot" and entry.fields["intake"] == intake:
            yield entry.fields["identity"], entry.fields["leaf"]
