"""A holder: the secret that follows from the control numbers of one account, and its row on the roll.

The secret never leaves this process. Whoever has all numbers of an account has it; fewer numbers give another secret,
which stands on no roll.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from audit.log.reader import ReadError
from audit.protocol.elgamal import Ciphertext
from audit.protocol.group import ORDER, Element
from audit.protocol.refused import Refused
from audit.protocol.roll import credential
from audit.record.election import Election
from audit.record.manifest import Manifest
from audit.record.rolls import Roll
from infra.follow import WrongLog
from intake.voter.opening import Opening


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


def find_holder(opening: Opening, codes: Sequence[str], share_class: str | None = None) -> Holder:
    """The holder of these control numbers (25 symbols each, one from every issuer, in any order), on the roll that is
    voted by and has it.

    Refused as `find_row`; Unreadable or WrongLog as `Rows.find`, unless another roll has it.
    """
    expect_numbers(opening.manifest, codes)
    fault: Exception = not_on_this_roll()
    for roll in opening.rolls.values():
        if share_class not in (None, roll.share_class):
            continue
        s = secret(opening.manifest, roll.share_class, roll.revision, codes)
        P = s * roll.generator
        try:
            E = roll.rows.find(P.raw)
        except (ReadError, WrongLog) as error:
            fault = error
            continue
        if E is not None:
            return Holder(roll.share_class, P, E, s)
    raise fault


def find_row(
    election: Election, codes: Sequence[str], roll_of: Callable[[str], Roll], share_class: str | None = None
) -> Found:
    """The row whose key is s times the roll's generator, on the rolls as `roll_of` gives them, which have been read
    whole.

    Refused `wrong-length` for another number of codes than issuers; `unknown-pseudonym` if no roll has it, or not that
    of `share_class`.
    """
    expect_numbers(election.manifest, codes)
    for candidate in election.manifest.classes:
        if share_class not in (None, candidate.id):
            continue
        roll = roll_of(candidate.id)
        s = secret(election.manifest, candidate.id, roll.revision, codes)
        key = s * roll.generator
        if key.raw in roll.rows:
            return Found(roll, key, s)
    raise not_on_this_roll()


def expect_numbers(manifest: Manifest, codes: Sequence[str]) -> None:
    issuers = len(manifest.issuers)
    if len(codes) != issuers:
        sent = "the issuer sent one number" if issuers == 1 else f"the {issuers} issuers sent a number each"
        raise Refused("wrong-length", f"{sent}; {len(codes)} {'is' if len(codes) == 1 else 'are'} given")


def secret(manifest: Manifest, share_class: str, revision: int, codes: Sequence[str]) -> int:
    """s, the sum over the issuers of s_k."""
    return sum(credential(manifest.hash, share_class, revision, code) for code in codes) % ORDER


def not_on_this_roll() -> Refused:
    text = "these control numbers are not on this roll: needed are one account's, of this election, all issuers'"
    return Refused("unknown-pseudonym", text)
