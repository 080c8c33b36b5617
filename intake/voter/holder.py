"""A holder: the secret that follows from the control numbers of one account, and its row on the roll.

The secret never leaves this process. Whoever has all numbers of an account has it; fewer numbers give another secret,
which stands on no roll.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from audit.protocol.elgamal import Ciphertext
from audit.protocol.group import ORDER, Element
from audit.protocol.refused import Refused
from audit.protocol.roll import credential
from audit.record.election import Election
from audit.record.rolls import Roll


@dataclass(frozen=True)
class Holder:
    """Who votes on the roll of `share_class` under pseudonym P = s Ghat, with the weight encrypted in E."""

    share_class: str
    pseudonym: Element
    E: Ciphertext
    s: int = field(repr=False)


class Found(NamedTuple):
    """A roll, the key in it that belongs to some control numbers, and their secret."""

    roll: Roll
    key: Element
    s: int


def find_holder(election: Election, codes: Sequence[str], share_class: str | None = None) -> Holder:
    """The holder of these control numbers (25 symbols each, one from every issuer, in any order), on the anonymous roll
    that has it. Nobody is asked for it: the client has read all rolls whole.

    Refused as `find_row`, or `not-complete` while a roll is not anonymous.
    """
    roll, pseudonym, s = find_row(election, codes, election.anonymous_roll, share_class)
    return Holder(roll.share_class, pseudonym, roll.weight(pseudonym.raw), s)


def find_row(
    election: Election, codes: Sequence[str], roll_of: Callable[[str], Roll], share_class: str | None = None
) -> Found:
    """The row whose key is s times the roll's generator, on the rolls as `roll_of` gives them.

    Refused `wrong-length` for another number of codes than issuers; `unknown-pseudonym` if no roll has it, or not that
    of `share_class`.
    """
    issuers = len(election.manifest.issuers)
    if len(codes) != issuers:
        raise Refused("wrong-length", f"every one of the {issuers} issuers sent a number; {len(codes)} are given")
    for candidate in election.manifest.classes:
        if share_class not in (None, candidate.id):
            continue
        roll = roll_of(candidate.id)
        s = sum(credential(election.manifest.hash, candidate.id, roll.revision, code) for code in codes) % ORDER
        key = s * roll.generator
        if key.raw in roll.rows:
            return Found(roll, key, s)
    text = "these control numbers are not on this roll: needed are one account's, of this election, all issuers'"
    raise Refused("unknown-pseudonym", text)
