"""A holder: the secret that follows from the control numbers of one account, and its row on the roll.

The secret never leaves this process. Whoever has all numbers of an account has it; fewer numbers give another secret,
which stands on no roll.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from audit.protocol.elgamal import Ciphertext
from audit.protocol.group import ORDER, Element
from audit.protocol.refused import Refused
from audit.protocol.roll import credential
from audit.record.election import Election


@dataclass(frozen=True)
class Holder:
    """Who votes on the roll of `share_class` under pseudonym P = s Ghat, with the weight encrypted in E."""

    share_class: str
    pseudonym: Element
    E: Ciphertext
    s: int = field(repr=False)


def find_holder(election: Election, codes: Sequence[str], share_class: str | None = None) -> Holder:
    """The holder of these control numbers (25 symbols each, one from every issuer, in any order), on the roll that has
    it.

    Refused `wrong-length` for another number of codes than issuers; `unknown-pseudonym` if no roll has it, or not that
    of `share_class`.
    """
    issuers = len(election.manifest.issuers)
    if len(codes) != issuers:
        raise Refused("wrong-length", f"every one of the {issuers} issuers sent a number; {len(codes)} are given")
    for candidate in election.manifest.classes:
        if share_class not in (None, candidate.id):
            continue
        roll = election.roll(candidate.id)
        s = sum(credential(election.manifest.hash, candidate.id, roll.revision, code) for code in codes) % ORDER
        pseudonym = s * roll.generator
        if pseudonym.raw in roll.rows:
            return Holder(candidate.id, pseudonym, roll.weight(pseudonym.raw), s)
    text = "no account has these control numbers together: needed are one account's, of this election, all issuers'"
    raise Refused("unknown-pseudonym", text)
