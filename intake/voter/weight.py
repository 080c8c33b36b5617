"""What the row of one's control numbers weighs, on the roll as it was issued.

The first issuer's number gives the randomness r under which the weight was encrypted, so E.b - rY = wG, and w is found
among the votes of the class. The whole log is read up to the first mix, or the opening: whoever serves it learns that
somebody checks a weight, never which row. Of the mixed roll no row can be weighed; that every weight came through
mixing with its key is what the mixers prove.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from audit.log.merkle import CompactRange
from audit.log.reader import ReadError, read_entries
from audit.protocol.discrete_log import DiscreteLog
from audit.protocol.elgamal import Ciphertext
from audit.protocol.group import G
from audit.protocol.refused import Refused
from audit.protocol.roll import weight_randomness
from audit.record.election import Election
from audit.record.entries import parse_entry
from audit.record.rolls import Roll
from infra.desk import Desk
from intake.voter.holder import find_row

ISSUED = ("mix", "open")
"""The kinds of entry at whose first the rolls are as the issuers made them."""


@dataclass(frozen=True)
class Weighed:
    """A row of the issued roll, counted from 0, the rows there are, and the votes it carries."""

    share_class: str
    row: int
    rows: int
    votes: int


def as_issued(raws: Iterable[bytes], pinned: bytes) -> Election:
    """The election of a witnessed log before anything was mixed; the rest of the log is not read. Refused if it breaks
    a rule."""
    election = Election(pinned)
    for raw in raws:
        entry = parse_entry(raw)
        if entry.kind in ISSUED:
            break
        election.apply_recorded(entry)
    return election


def read_issued(desk: Desk) -> Election:
    """The same, read whole from the first custodian that can be read, up to the head that the desk has verified.
    ReadError if none can."""
    assert desk.follower.head is not None
    fault = ReadError("no custodian was asked")
    for reader in desk.readers:
        try:
            return as_issued(read_entries(reader, CompactRange(), desk.follower.head), desk.card.manifest)
        except ReadError as error:
            fault = error
    raise fault


def weigh(election: Election, codes: Sequence[str]) -> Weighed:
    """What the row of these control numbers weighs. Refused as `find_row`; `wrong-weight` if its weight is encrypted
    under none of them, or is none of the class's."""
    found = find_row(election, codes, election.roll)
    roll, key = found.roll, found.key.raw
    E = roll.weight(key)
    return Weighed(roll.share_class, list(roll.rows).index(key), len(roll.rows), open_weight(election, roll, E, codes))


def open_weight(election: Election, roll: Roll, E: Ciphertext, codes: Sequence[str]) -> int:
    bound = next(c.votes for c in election.manifest.classes if c.id == roll.share_class) + 1
    for code in codes:
        r = weight_randomness(election.manifest.hash, roll.share_class, roll.revision, code)
        if r * G == E.a:
            try:
                return DiscreteLog(bound).find(E.b - r * election.Y)
            except Refused:
                break
    text = f"the row of these control numbers on the roll of {roll.share_class} holds no weight that they open"
    raise Refused("wrong-weight", f"{text}: ask {election.manifest.issuers[0].name}")
