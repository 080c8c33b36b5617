"""A client's desk: it reads the election's log, hands entries in, and waits until they are recorded.

Every official, trustee and issuer acts here. An entry is first judged by the rules against the log as it is now, so
that what would be refused is not handed in; then it is handed in, again and again if need be, until W custodians have
cosigned a head that holds it. All steps may be repeated after a crash, as long as the bytes handed in are the same:
`stored` keeps them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx

from audit.log.reader import HttpReader, Reader
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.election import Election
from audit.record.entries import Entry, parse_entry
from audit.record.manifest import Manifest, parse_manifest
from audit.record.rekeying import rekeyed
from infra.card import Card
from infra.follow import Follower, Unreadable
from infra.hand_in import PATIENCE_SECONDS, NoDoor, Receipt, hand_in, http_client, reliance
from infra.keys import KeyFileError, read_secret, write_secret

# Said by the rules of an entry that will be in place once others have acted.
EARLY = frozenset({"wrong-phase", "not-complete", "open-complaint"})
# Said by a door that may read the log a moment behind us.
BEHIND = EARLY | {"not-open", "unknown-roll", "unknown-pseudonym", "wrong-attempt", "wrong-turn"}

OTHERS_SECONDS = 600.0
"""In which others may do their part, unless a client is told otherwise."""
WAIT_HELP = "Seconds before giving up, also on what intakes promise; unset, their promises are waited for."


class GaveUp(Exception):
    """The time allowed for an entry to be recorded is over; the message says what it was waiting for."""


@dataclass
class Act:
    """An entry on its way: its newest receipt, `again` when it is handed in once more (by `Desk.monotonic`), with which
    intake that begins (`turn`), for how many seconds intakes are `relied` on, and why it could not be handed in when
    last tried.
    """

    entry: Entry
    turn: int
    receipt: Receipt | None = None
    again: float = 0.0
    relied: float = 0.0
    early: str = ""

    @property
    def tried(self) -> bool:
        return self.receipt is not None or bool(self.early)

    def why(self, patience: float) -> str:
        """Why it is not recorded after so many seconds."""
        if self.receipt is None:
            return f"after {patience:.0f} s this {self.entry.kind} could still not be handed in: {self.early}"
        taken = f"{self.receipt.intake} took this {self.entry.kind} ({b64(self.entry.identity)})"
        return f"{taken}, but it is not recorded after {patience:.0f} s; its receipt is evidence of that"


@dataclass
class Desk:
    """Where one client stands. `patience`: seconds that one act may take in all, and with `relies` as many more as
    intakes that have taken it may be relied on; `pause`: seconds between two looks at the log. Waiting is
    measured by `monotonic`: a clock that is set back makes nobody wait.
    """

    card: Card
    readers: Sequence[Reader]
    follower: Follower
    client: httpx.Client
    patience: float = PATIENCE_SECONDS
    pause: float = 0.2
    clock: Callable[[], float] = field(default=time.time)
    monotonic: Callable[[], float] = field(default=time.monotonic)
    sleep: Callable[[float], None] = field(default=time.sleep)
    relies: bool = False

    @property
    def election(self) -> Election:
        return self.follower.election

    @property
    def manifest(self) -> Manifest:
        return self.follower.election.manifest

    def read(self) -> list[Entry]:
        """Reads the log to its end as one custodian shows it now; the entries that were new. Unreadable as
        `Follower.poll`.
        """
        new = list(self.follower.poll())
        while new and not self.follower.caught_up:
            new += self.follower.poll()
        return new

    def begin(self) -> Manifest:
        """Reads the log for the first time, waiting for its manifest. GaveUp if none is published or no custodian can
        be read.
        """
        self.wait_for(lambda: self.follower.caught_up, lambda: "the manifest to be recorded")
        return self.manifest

    def wait_for(self, done: Callable[[], bool], what: Callable[[], str]) -> None:
        """Reads the log until `done`; GaveUp after `patience` seconds, saying `what` it waited for."""
        end = self.monotonic() + self.patience
        fault = ""
        while True:
            try:
                self.read()
                fault = ""
            except Unreadable as error:
                fault = f" ({error})"
            if not fault and done():
                return
            if self.monotonic() >= end:
                raise GaveUp(f"waited {self.patience:.0f} s for {what()}{fault}")
            self.sleep(self.pause)

    def record(self, *raws: bytes) -> list[Receipt | None]:
        """Hands in complete notes and returns once all are recorded: for each the receipt, None if it was in the log
        before.

        Waits while an entry is merely early. Refused as the rules or an intake say, or as a `refusal` in the log says;
        GaveUp when patience is over, with the reason why an entry was early, or the intake's receipt, broken by then.
        """
        # Whoever runs this again because an intake kept an entry to itself does not always begin with that one.
        turn = int(self.clock())
        acts = [Act(parse_entry(raw), turn) for raw in raws]
        begun = self.monotonic()
        self._read_quietly()
        while waiting := [act for act in acts if not self._recorded(act.entry)]:
            patience = self.patience + (waiting[0].relied if self.relies else 0.0)
            if waiting[0].tried and self.monotonic() >= begun + patience:
                raise GaveUp(waiting[0].why(patience))
            for act in waiting:
                if act.receipt is None or self.monotonic() > act.again:
                    self._try(act)
            self.sleep(self.pause)
            for other in self._read_quietly():
                _refuse_refused(waiting, other)
        return [act.receipt for act in acts]

    def _recorded(self, entry: Entry) -> bool:
        return self.follower.seen.recorded(entry.identity) is not None

    def _try(self, act: Act) -> None:
        """Judges the entry and hands it in, or notes why that has to be tried again. Refused if it never can be."""
        allowed = EARLY
        try:
            self._judge(act.entry)
            allowed = BEHIND
            manifest = self._manifest_for(act.entry)
            act.receipt = hand_in(self.card, manifest, act.entry.raw, self.client, act.turn)
            act.again, act.turn = self.monotonic() + act.receipt.patience(manifest, self.clock()), act.turn + 1
            act.relied = reliance(manifest, len(self.card.intakes))
        except NoDoor as error:
            act.early = str(error)
        except Refused as refusal:
            if refusal.reason not in allowed:
                raise
            act.early = str(refusal)

    def _judge(self, entry: Entry) -> None:
        """By the rules, against the log as it was last read. The proofs of a roll or a mix are its maker's own, and are
        not checked again.
        """
        if entry.kind != "roll":
            self.election.check(entry)
        self.election.admit_unproven(entry, self.follower.seen)

    def _manifest_for(self, entry: Entry) -> Manifest:
        """The manifest by which the receipt for an entry is judged: an intake takes a rekey of its own under the new
        key, too, for the old one may be lost."""
        if entry.kind == "manifest":
            return parse_manifest(entry)
        if entry.kind == "rekey":
            changed = rekeyed(self.manifest, entry, self.election.size)
            return replace(self.manifest, intakes=tuple(dict.fromkeys((*changed.intakes, *self.manifest.intakes))))
        return self.manifest

    def _read_quietly(self) -> list[Entry]:
        """As `read`; nothing if no custodian can be read just now, for one of them will be back before patience is
        over.
        """
        try:
            return self.read()
        except Unreadable:
            return []


@contextmanager
def open_desk(
    card: Card, *, patience: float | None = None, others: float = PATIENCE_SECONDS, connections: int = 4
) -> Iterator[Desk]:
    """A desk at the election of this card. patience: how long an act may take, whatever intakes promise; if it is not
    said, `others` may keep it waiting for so many seconds. connections: how many threads may hand in at once.
    """
    readers = [HttpReader(url) for url in card.logs]
    try:
        with http_client(connections) as client:
            follower, allowed = Follower(readers, card.manifest), others if patience is None else patience
            yield Desk(card, readers, follower, client, allowed, relies=patience is None)
    finally:
        for reader in readers:
            reader.close()


def stored(path: Path, make: Callable[[], bytes]) -> bytes:
    """The bytes kept at `path`, made and kept there (mode 0600) before anybody sees them if there are none yet.

    A crash before the file is whole leaves nothing handed in; a crash after it hands in the same bytes again.
    """
    if not path.exists():
        # Taken already, if another process was quicker: then what it keeps is what counts.
        with suppress(KeyFileError):
            write_secret(path, make())
    return read_secret(path)


def _refuse_refused(acts: Sequence[Act], other: Entry) -> None:
    for act in acts:
        if other.kind == "refusal" and other.fields["identity"] == act.entry.identity:
            text = f"the log holds a refusal of this {act.entry.kind}: {other.fields['detail']}"
            raise Refused(other.fields["reason"], text)
