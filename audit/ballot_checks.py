"""Checking the ballots of a log on many cores: chunks go out to an executor, and verdicts come back in the log's order.

What costs time about a ballot needs nothing but the ballot and its row's weight, so any process can do it; what needs
order (revisions, duplicates, reconciliation) takes no time and stays with the one that reads the log. A worker also
adds up the ciphertexts it has decoded, so that the sums of the election are there when the last chunk is.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace

from audit.protocol.elgamal import Ciphertext
from audit.protocol.group import Element, unb64
from audit.protocol.refused import Refused
from audit.record.admission import check_signatures
from audit.record.checker import BallotChecker
from audit.record.election import check_binding
from audit.record.entries import Entry, parse_entry
from audit.record.manifest import Manifest
from audit.record.setup import check_rows
from audit.record.totals import Contests, Sums, sum_ballots

CHUNK = 16
"""Ballots sent to a worker at once: so many that sending costs little, so few that all cores end at about one time."""
IN_FLIGHT = 64
"""Chunks read ahead of the one whose verdict is due: what bounds memory."""

# The end of a canonical ballot's text: its last four fields, in order of name.
TAIL = re.compile(rb'"pseudonym":"([\w-]{43})","revision":[0-9]+,"roll":"([a-z0-9-]+)","signature":\{[^{}]*\}\}\n\n')

Row = tuple[str, bytes]  # class and pseudonym
Sent = tuple[bytes, Row, bytes]  # a ballot, the row that it seems to be of, and that row's weight (64 bytes)


@dataclass(frozen=True)
class Verdict:
    """Of one chunk: each entry up to the first refusal, without what only checks need; and the sums over them."""

    entries: tuple[Entry, ...]
    refusal: Refused | None
    sums: Sums


def row_of(raw: bytes) -> Row | None:
    """The row that a ballot seems to be of, without parsing it; None if it is not written as a ballot is.

    Only a guess at which weight to send along: the worker that parses the ballot compares.
    """
    found = TAIL.match(raw, max(0, raw.rfind(b'"pseudonym":"')))
    if found is None:
        return None
    try:
        return found[2].decode(), unb64(found[1].decode(), 32)
    except Refused:
        return None


def check_chunk(checker: BallotChecker, contests: Contests, chunk: Sequence[Sent]) -> Verdict:
    """Checks ballots up to the first that is refused. Runs in a worker."""
    sums = Sums()
    entries: list[Entry] = []
    for raw, row, weight_raw in chunk:
        weight = Ciphertext(Element(weight_raw[:32]), Element(weight_raw[32:]))
        try:
            entry = parse_entry(raw)
            if (entry.kind, entry.fields.get("roll"), entry.fields.get("pseudonym")) != ("ballot", *row):
                raise Refused("syntax", "this ballot is not written as a ballot is")
            ballot = checker.check(entry, weight)
        except Refused as refusal:
            return Verdict(tuple(entries), refusal, sums)
        sums.add(contests, row[0], (vote.C for vote in ballot.votes), weight)
        entries.append(replace(entry, body={}, fields={**entry.fields, "contests": None}, text=b"", raw=b""))
    return Verdict(tuple(entries), None, sums)


def check_roll(manifest: Manifest, Y: Element, raw: bytes) -> Verdict:
    """Checks a chunk of a roll: its signature line and the proof in every row. Runs in a worker."""
    try:
        entry = parse_entry(raw)
        check_binding(manifest.origin, manifest.hash, entry)
        check_signatures(manifest, entry)
        check_rows(manifest, Y, entry)
    except Refused as refusal:
        return Verdict((), refusal, Sums())
    return Verdict((replace(entry, fields={}, text=b"", raw=b""),), None, Sums())


def check_mix(manifest: Manifest, raw: bytes) -> Verdict:
    """Checks a chunk of a mix: its signature line and the form of every row. Runs in a worker; the proof is of the
    whole, and is checked when that is there."""
    try:
        entry = parse_entry(raw)
        check_binding(manifest.origin, manifest.hash, entry)
        check_signatures(manifest, entry)
    except Refused as refusal:
        return Verdict((), refusal, Sums())
    body = {name: value for name, value in entry.body.items() if name != "rows"}
    return Verdict((replace(entry, body=body, text=b"", raw=b""),), None, Sums())


def sum_chunk(contests: Contests, chunk: Sequence[Sent]) -> Sums:
    """The sums over ballots that were checked before. Runs in a worker."""
    weights = {row: Ciphertext.from_bytes(weight) for _, row, weight in chunk}
    return sum_ballots(contests, (raw for raw, _, _ in chunk), lambda *row: weights[row])


@dataclass
class Pending:
    """Entries of which the verdict is awaited: several ballots, one chunk of a roll or a mix, or a refusal in its
    place.
    """

    first: int
    raws: list[bytes]
    verdict: Future[Verdict]


class Window:
    """Entries on their way, in the log's order. `executor` is any of `concurrent.futures`."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._queue: deque[Pending] = deque()
        self._chunk: list[Sent] = []
        self._first = 0

    def send_ballot(self, number: int, sent: Sent, checker: BallotChecker, contests: Contests) -> None:
        if not self._chunk:
            self._first = number
        self._chunk.append(sent)
        if len(self._chunk) == CHUNK:
            self.flush(checker, contests)

    def flush(self, checker: BallotChecker, contests: Contests) -> None:
        """Sends the chunk begun."""
        if self._chunk:
            verdict = self._executor.submit(check_chunk, checker, contests, self._chunk)
            self._queue.append(Pending(self._first, [raw for raw, _, _ in self._chunk], verdict))
            self._chunk = []

    def send_along(self, number: int, raw: bytes, checker: BallotChecker, contests: Contests) -> None:
        """An entry between ballots with nothing to be checked elsewhere: it only keeps its place."""
        self.flush(checker, contests)
        done: Future[Verdict] = Future()
        done.set_result(Verdict((), None, Sums()))
        self._queue.append(Pending(number, [raw], done))

    def send_roll(self, number: int, raw: bytes, manifest: Manifest, Y: Element) -> None:
        self._queue.append(Pending(number, [raw], self._executor.submit(check_roll, manifest, Y, raw)))

    def send_mix(self, number: int, raw: bytes, manifest: Manifest) -> None:
        self._queue.append(Pending(number, [raw], self._executor.submit(check_mix, manifest, raw)))

    def due(self, everything: bool = False) -> Iterator[tuple[Pending, Verdict]]:
        """The oldest, while too many are on their way; all of them if `everything`, the chunk begun excepted."""
        while self._queue and (everything or len(self._queue) > IN_FLIGHT):
            pending = self._queue.popleft()
            yield pending, pending.verdict.result()

    def cancel(self) -> None:
        """Gives up what no worker has begun."""
        for pending in self._queue:
            pending.verdict.cancel()
