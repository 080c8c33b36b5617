"""What a voter must know before it votes, read from a fraction of the log: key, generators, and where the rolls stand.

The manifest is pinned by its hash. The trustees' messages follow it, and the key is computed from them by the rules.
The opening, which the officials' quorum has signed and W custodians have cosigned, is found by bisection, since every
kind of entry but a few belongs before or after it; it must name that very key, and it says which rolls are voted by.
Of an election without mixers the log is read up to the opening, for its rolls stand nowhere else.

What is believed here is what `Election.apply_recorded` believes: that a witnessed log holds no opening, and no mix,
that the rules refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from audit.log.notes import parse_note
from audit.log.reader import Reader, ReadError, first_entries
from audit.log.tiles import WIDTH, width_of
from audit.log.treehead import parse_checkpoint
from audit.protocol.ballot import BallotContext
from audit.protocol.group import Element, b64
from audit.protocol.refused import Refused
from audit.record.election import Election
from audit.record.entries import Entry
from audit.record.heads import open_head
from audit.record.manifest import Manifest, open_manifest
from infra.follow import Unreadable, WrongLog
from intake.voter.rows import MixedRows, Rows, UnmixedRows
from intake.voter.witnessed import WitnessedLog, parsed

MESSAGES = 3
"""Of each trustee: commit, deal and confirm. In a ceremony with a complaint there are more."""
BEFORE = frozenset({
    "manifest", "trustee-commit", "trustee-deal", "trustee-confirm", "trustee-complaint", "trustee-answer",
    "roll", "roll-signed", "mix",
})  # fmt: skip
AFTER = frozenset({"ballot", "closing", "reconcile", "close", "decrypt", "certify"})
"""Kinds that stand before and after the opening. Others may stand anywhere, and tell nothing."""

T = TypeVar("T")


@dataclass(frozen=True)
class OpenRoll:
    """A roll that is voted by: `hash` (32 bytes) is the anonymous roll's, `count` the number of its rows."""

    share_class: str
    revision: int
    generator: Element
    hash: bytes
    count: int
    rows: Rows = field(repr=False)


@dataclass(frozen=True)
class Opening:
    """An election that is open, or has been. `founding` is entry 0, `place` the number of the opening in the log."""

    log: WitnessedLog = field(repr=False)
    founding: Entry = field(repr=False)
    Y: Element
    place: int
    rolls: Mapping[str, OpenRoll]

    @property
    def manifest(self) -> Manifest:
        """With the keys that count now."""
        return self.log.manifest

    def ballot_context(self, share_class: str) -> BallotContext:
        """What a ballot of this class is bound to."""
        roll, manifest = self.rolls[share_class], self.manifest
        forms = tuple(contest.form for contest in manifest.contests_of(share_class))
        return BallotContext(manifest.hash, manifest.origin, self.Y, share_class, roll.hash, roll.generator, forms)


def read_opening(readers: Sequence[Reader], pinned: bytes) -> Opening:
    """The opening of the election whose manifest has this hash (32 bytes), from the first custodian that shows it.

    As `read_first`; Refused `not-open` if the log of all that can be read is without it.
    """
    return read_first(readers, pinned, _read)


def read_first(readers: Sequence[Reader], pinned: bytes, read: Callable[[WitnessedLog, Entry], T]) -> T:
    """What `read` makes of the log and entry 0, the manifest of this hash, as one custodian shows them and all others
    that can be read add to it.

    Refused as it says of what the last of them shows; Unreadable, saying of each why, if none can be read; WrongLog if
    the log breaks a rule.
    """
    early: Refused | None = None
    faults: list[str] = []
    for place, reader in enumerate(readers):
        try:
            return read(*open_log([reader, *readers[:place], *readers[place + 1 :]], pinned))
        except ReadError as error:
            faults.append(str(error))
        except Refused as refusal:
            early = refusal
    if early is not None:
        raise early
    raise Unreadable("; ".join(faults) or "no custodian was asked")


def open_log(readers: Sequence[Reader], pinned: bytes) -> tuple[WitnessedLog, Entry]:
    """The log of this manifest (its hash, 32 bytes) as the first of the readers shows it, under the newest head, and
    with the keys, that all of them together show; and entry 0.

    ReadError if the first cannot be read; Refused `not-open` if it shows nothing yet, `fork` as `WitnessedLog.refresh`.
    """
    manifest, founding = read_manifest(readers[0], pinned)
    found = open_head(readers[0], manifest)
    if found is None:
        raise nothing_yet(readers[0])
    log = WitnessedLog(readers, *found)
    log.refresh()
    return log, founding


def _read(log: WitnessedLog, founding: Entry) -> Opening:
    if not log.manifest.mixers:
        return _read_whole(log, founding)
    election = _with_key(log)
    place, entry = find_opening(log)
    try:
        election.check_signed(entry)
    except Refused as refusal:
        raise WrongLog(place, entry.kind, refusal) from None
    return Opening(log, founding, election.Y, place, _rolls(log, election, place, entry))


def read_manifest(reader: Reader, pinned: bytes) -> tuple[Manifest, Entry]:
    """Entry 0, which must have this hash. ReadError; Refused `not-open` if nothing is published yet."""
    raw = reader.checkpoint()
    if raw is None:
        raise nothing_yet(reader)
    try:
        size = parse_checkpoint(parse_note(raw).text).size
        return open_manifest(first_entries(reader, 0, 1, max(1, width_of(size, 0, 0)))[0], pinned)
    except Refused as refusal:
        raise ReadError(str(refusal), str(reader), refusal.reason) from None


def nothing_yet(reader: Reader) -> Refused:
    return Refused("not-open", f"voting is not open yet: {reader} has nothing of this election")


def _with_key(log: WitnessedLog) -> Election:
    """The election up to the end of the key ceremony. Refused `not-open` if that is not there yet."""
    election = Election(log.manifest.hash)
    for raw in _beginning(log):
        take(election, parsed(raw, election.size))
        if election.size > 1 and election.ceremony.complete:
            return election
    waiting = "; ".join(election.ceremony.waiting_for())
    raise Refused("not-open", f"voting is not open yet: the trustees' key waits for {waiting}")


def _beginning(log: WitnessedLog) -> Iterator[bytes]:
    """The entries from the first on, and at once only as many as a key needs."""
    few = log.first_entries(0, 1 + MESSAGES * len(log.manifest.trustees.keys))
    yield from few
    for number, raw in log.raws(0):
        if number >= len(few):
            yield raw


def take(election: Election, entry: Entry) -> Entry:
    """Applies the next entry of a witnessed log. WrongLog if the rules refuse it."""
    number = election.size
    try:
        election.apply_recorded(entry)
    except Refused as refusal:
        raise WrongLog(number, entry.kind, refusal) from None
    return entry


def _read_whole(log: WitnessedLog, founding: Entry) -> Opening:
    """Everything before the ballots, so that nobody learns whose row is looked for."""
    election = Election(log.manifest.hash)
    for number, raw in log.raws(0):
        if take(election, parsed(raw, number)).kind == "open":
            break
    else:
        raise _not_open(log.size)
    rolls = {}
    for name, roll in election.rolls.items():
        rolls[name] = OpenRoll(name, roll.revision, roll.generator, roll.hash, len(roll.rows), UnmixedRows(roll))
    return Opening(log, founding, election.Y, election.size - 1, rolls)


def find_opening(log: WitnessedLog) -> tuple[int, Entry]:
    """The opening and its number, by bisection over bundles, of most of which only the beginning is read. Refused
    `not-open` if there is none.

    A bundle in which nothing tells on which side it stands, of notices and refusals alone, is read whole, and so is the
    next: of a log that is mostly these, half may be read, but no bundle twice, for what was looked past is settled.
    """
    low, high = 0, log.bundles
    while high - low > 1:
        middle = (low + high) // 2
        place, side = _next_side(log, middle, high)
        if side is BEFORE:
            low = place
        else:
            high = middle
    for offset, raw in enumerate(log.entries(low)):
        if _kind(raw) == "open":
            number = low * WIDTH + offset
            return number, parsed(raw, number)
    raise _not_open(log.size)


def _next_side(log: WitnessedLog, place: int, end: int) -> tuple[int, frozenset[str]]:
    """On which side of the opening the first bundle in [place, end) stands that tells, and which that is; AFTER if none
    does. The opening itself stands before its bundle's end."""
    for index in range(place, end):
        side = _side(log.first_entries(index, 1)) or _side(log.entries(index))
        if side is not None:
            return index, side
    return end, AFTER


def _side(entries: Sequence[bytes]) -> frozenset[str] | None:
    for raw in entries:
        kind = _kind(raw)
        if kind in AFTER:
            return AFTER
        if kind in BEFORE or kind == "open":
            return BEFORE
    return None


def _kind(raw: bytes) -> str:
    return raw[: raw.find(b"\n")].decode("ascii", "replace").removeprefix("psephos/v1 ")


def _not_open(size: int) -> Refused:
    return Refused("not-open", f"voting is not open yet: the log has {size} entries, and the opening is not among them")


def _rolls(log: WitnessedLog, election: Election, place: int, entry: Entry) -> dict[str, OpenRoll]:
    """What the opening says of the rolls. WrongLog if it is of another key, or of other classes than the manifest's."""
    manifest, said = election.manifest, entry.fields["rolls"]
    wrong = ""
    if entry.fields["key"] != election.Y:
        wrong = f"it names another key than the trustees', {b64(election.Y.raw)}"
    elif sorted(said) != sorted(c.id for c in manifest.classes):
        wrong = "it is not of the manifest's classes"
    elif any(roll["mix"] is None for roll in said.values()):
        wrong = "it says of no last mix"
    elif any(not 0 <= roll["first"] <= roll["last"] < place for roll in said.values()):
        wrong = "it says of a last mix that is not in the log before it"
    if wrong:
        raise WrongLog(place, "open", Refused("wrong-opening", wrong))
    return {
        name: OpenRoll(
            name, roll["revision"], roll["generator"], roll["hash"], roll["rows"], MixedRows(log, manifest, name, roll)
        )
        for name, roll in said.items()
    }
