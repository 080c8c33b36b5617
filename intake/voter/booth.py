"""Where a voter stands: the opening, the log as it is read from there on, and the doors."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from audit.log.reader import HttpReader
from audit.record.entries import Entry
from audit.record.manifest import Manifest
from infra.card import Card
from infra.hand_in import PATIENCE_SECONDS, Receipt, hand_in, http_client, reliance
from intake.voter.opening import Opening, read_opening
from intake.voter.witnessed import WitnessedLog


@dataclass
class Booth:
    """`patience`: seconds without any progress after which it is given up, and with `relies` as many more as intakes
    that have taken something may be relied on; `pause`: seconds between two looks at the log.
    Waiting is measured by `monotonic`: a clock that is set back makes nobody wait.
    """

    card: Card
    opening: Opening
    client: httpx.Client
    patience: float = PATIENCE_SECONDS
    pause: float = 0.2
    clock: Callable[[], float] = field(default=time.time)
    monotonic: Callable[[], float] = field(default=time.monotonic)
    sleep: Callable[[float], None] = field(default=time.sleep)
    relies: bool = False

    @property
    def manifest(self) -> Manifest:
        return self.opening.manifest

    @property
    def log(self) -> WitnessedLog:
        return self.opening.log

    def hand_in(self, text: bytes, turn: int) -> Receipt:
        """The receipt of the first intake that takes the ballot, as `infra.hand_in`: so that one which has broken its
        word, or does not answer, is not waited for while another may take it.
        """
        return hand_in(self.card, self.manifest, text, self.client, turn)

    def patience_for(self, promised: bool) -> float:
        """The patience there is once something is promised, or before."""
        more = reliance(self.manifest, len(self.card.intakes)) if promised and self.relies else 0.0
        return self.patience + more

    def first_turn(self, receipts: int) -> int:
        """With which intake to begin where earlier runs have left so many receipts in vain: with one that has given
        none, as long as there may be one, and then with any."""
        return receipts if receipts < len(self.card.intakes) else int(self.clock())

    def history(self, start: int, pseudonyms: Collection[bytes], identities: Collection[bytes] = ()) -> History:
        """What the log holds from entry `start` on under these pseudonyms, and which of these ballots (32 bytes each)
        it refuses, up to its newest head. All entries are read, so that nobody learns whose are meant. ReadError;
        WrongLog."""
        self.log.refresh()
        return History(self.log.search(start, {*pseudonyms, *identities}))


class History:
    """Ballots of certain pseudonyms, each with its number in the log, and refusals; and whether the vote is closed, so
    that nothing is added to them any more.
    """

    def __init__(self, found: Iterable[tuple[int, Entry]] = ()) -> None:
        self.closed = False
        self.ballots: dict[bytes, list[tuple[int, Entry]]] = {}
        # Why, by identity, intake and leaf hash: what was refused with another leaf hash is not what was promised.
        self.refusals: dict[tuple[bytes, str, bytes], str] = {}
        for number, entry in found:
            if entry.kind == "ballot":
                self.ballots.setdefault(entry.fields["pseudonym"], []).append((number, entry))
            self.closed |= entry.kind == "close"
            if entry.kind == "refusal":
                of = entry.fields["identity"], entry.fields["intake"], entry.fields["leaf"]
                self.refusals[of] = entry.fields["detail"]

    def of(self, pseudonym: bytes) -> Sequence[tuple[int, Entry]]:
        return self.ballots.get(pseudonym, ())

    def highest(self, pseudonym: bytes) -> int:
        """The revision that counts under this pseudonym, -1 for none."""
        return max((entry.fields["revision"] for _, entry in self.of(pseudonym)), default=-1)

    def entry(self, ballot: Entry) -> Entry | None:
        """This ballot as it stands in the log, with an intake's line."""
        under = self.of(ballot.fields["pseudonym"])
        return next((entry for _, entry in under if entry.identity == ballot.identity), None)


@contextmanager
def open_booth(card: Card, *, patience: float | None = None, connections: int = 4) -> Iterator[Booth]:
    """A booth at the election of this card. patience: whatever intakes promise, if it is said. connections: how many
    threads may hand in at once. As `read_opening`.
    """
    with open_readers(card) as readers, http_client(connections) as client:
        opening, allowed = read_opening(readers, card.manifest), PATIENCE_SECONDS if patience is None else patience
        yield Booth(card, opening, client, allowed, relies=patience is None)


@contextmanager
def open_readers(card: Card) -> Iterator[list[HttpReader]]:
    """A reader of each custodian's log."""
    readers = [HttpReader(url) for url in card.logs]
    try:
        yield readers
    finally:
        for reader in readers:
            reader.close()
