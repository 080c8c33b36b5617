"""What the row of one's control numbers weighs, on the roll as it was issued.

The first issuer's number gives the randomness r under which the weight was encrypted, so E.b - rY = wG, and w is found
among the votes of the class. The log is read from its beginning until every class is mixed, or the vote is open: who
serves it learns that somebody checks a weight, never which row. Of the mixed roll no row can be weighed; that every
weight came through mixing with its key is what the mixers prove.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from audit.log.reader import Reader
from audit.protocol.discrete_log import DiscreteLog
from audit.protocol.elgamal import Ciphertext
from audit.protocol.group import G
from audit.protocol.refused import Refused
from audit.protocol.roll import weight_randomness
from audit.record.election import Election
from audit.record.rolls import Roll
from intake.voter.holder import find_row
from intake.voter.opening import read_first, take
from intake.voter.witnessed import parsed


@dataclass(frozen=True)
class Weighed:
    """A row of the issued roll, counted from 0, the rows there are, and the votes it carries."""

    share_class: str
    row: int
    rows: int
    votes: int


@dataclass(frozen=True)
class Issued:
    """An election as far as it was read, and those rolls that were mixed since as the issuers left them."""

    election: Election
    before: Mapping[str, Roll]

    def roll(self, share_class: str) -> Roll:
        """The class's roll as it was issued last. Refused as `Election.roll`."""
        return self.before.get(share_class) or self.election.roll(share_class)


def as_issued(raws: Iterable[bytes], pinned: bytes) -> Issued:
    """The rolls of a witnessed log at the first mix of each: one may be issued again while another is mixed. What comes
    after the first mix of the last of them, or the opening, is not read. WrongLog if the log breaks a rule."""
    election, before = Election(pinned), dict[str, Roll]()
    for number, raw in enumerate(raws):
        entry = parsed(raw, number)
        if entry.kind == "open":
            break
        if entry.kind == "mix" and entry.fields["class"] in election.rolls:
            share_class = entry.fields["class"]
            before.setdefault(share_class, election.rolls[share_class])
            if len(before) == len(election.manifest.classes):
                break
        take(election, entry)
    return Issued(election, before)


def read_issued(readers: Sequence[Reader], pinned: bytes) -> Issued:
    """The same, from custodians as `read_first`."""
    return read_first(readers, pinned, lambda log, _: as_issued((raw for _, raw in log.raws(0)), pinned))


def weigh(issued: Issued, codes: Sequence[str]) -> Weighed:
    """What the row of these control numbers weighs. Refused as `find_row`; `wrong-weight` if its weight is encrypted
    under none of them, or is none of the class's."""
    election = issued.election
    found = find_row(election, codes, issued.roll)
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
