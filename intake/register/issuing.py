"""An issuer's half of the roll: from the control numbers it drew to signed entries; and what the other issuers check
before they sign.

Everything is stored before it is handed in, in this order: numbers, openings, entries. A crash between two leaves
nothing in the log; after the last, the same entries are handed in again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audit.log.keys import Signer
from audit.log.tiles import frame, unframe
from audit.protocol.elgamal import encrypt
from audit.protocol.group import G, b64, scalar_bytes
from audit.protocol.refused import Refused
from audit.protocol.roll import credential, make_half, weight_randomness
from audit.protocol.transcript import Context
from audit.record.chunks import split
from audit.record.election import Election
from audit.record.entries import make_text, parse_entry, seal
from audit.record.manifest import Manifest
from audit.record.rolls import Roll
from intake.register.holdings import Account
from intake.register.numbers import Number
from intake.register.openings import Opening, draw_rows

MOST_ENTRIES = 1 << 20

Step = Callable[[], None]
Shuffle = Callable[[list[Account]], None]


@dataclass(frozen=True)
class Issuer:
    """One issuer of this election; `k` is its place in the manifest, from 0, and `context` holds manifest and joint
    key. It publishes the rolls of the classes in `revisions`.
    """

    manifest: Manifest
    context: Context
    signer: Signer
    k: int
    revisions: Mapping[str, int]

    @classmethod
    def at(cls, election: Election, signer: Signer, revisions: Mapping[str, int]) -> Issuer:
        """Refused as `expect_issuer`, or `not-complete` before the trustees' key is there."""
        expect_issuer(election.manifest, signer)
        k = election.manifest.issuers.index(signer.verifier)
        return cls(election.manifest, election.context, signer, k, revisions)

    @property
    def first(self) -> bool:
        """Whether this issuer publishes the weights too."""
        return self.k == 0

    def randomness(self, share_class: str, code: str) -> int:
        """r_i, from the first issuer's number."""
        return weight_randomness(self.manifest.hash, share_class, self.revisions[share_class], code)

    def credential(self, share_class: str, code: str) -> int:
        """s_ik, from this issuer's number."""
        return credential(self.manifest.hash, share_class, self.revisions[share_class], code)

    def openings(self, accounts: Sequence[Account], numbers: Mapping[str, Number], shuffle: Shuffle) -> list[Opening]:
        """What the first issuer tells the others of the classes it publishes, in an order of rows drawn now."""
        members = [account for account in accounts if account.share_class in self.revisions]
        return [
            Opening(
                account=account,
                row=row,
                r=self.randomness(account.share_class, numbers[account.id].code),
                revision=numbers[account.id].revision,
            )
            for account, row in draw_rows(members, shuffle)
        ]

    def entries(
        self, openings: Sequence[Opening], numbers: Mapping[str, Number], draw: Callable[[], int], step: Step
    ) -> bytes:
        """The signed entries of every class's half, framed. openings: by class and row; numbers: by account; draw: a
        fresh scalar.
        """
        raws: list[bytes] = []
        for share_class in self.revisions:
            members = [o for o in openings if o.account.share_class == share_class]
            rows = [self.row(opening, numbers[opening.account.id].code, draw(), step) for opening in members]
            for body in split(self.head(share_class, members), rows):
                raws.append(seal(make_text("roll", self.manifest.origin, body), [self.signer]))
        return frame(raws)

    def row(self, opening: Opening, code: str, w: int, step: Step) -> dict[str, Any]:
        """K_ik with its proof, and of the first issuer E_i."""
        account, revision = opening.account, self.revisions[opening.account.share_class]
        s = self.credential(account.share_class, code)
        row = make_half(self.context, account.share_class, revision, opening.row, self.k, s, w).to_json()
        if self.first:
            assert self.context.Y is not None
            row["E"] = encrypt(account.weight, self.context.Y, opening.r).to_json()
        step()
        return row

    def key(self, share_class: str, code: str) -> str:
        """K_ik, as it stands in a row."""
        return b64((self.credential(share_class, code) * G).raw)

    def expect_own(
        self, raws: Sequence[bytes], openings: Sequence[Opening], numbers: Mapping[str, Number]
    ) -> None:
        """Refuses entries of another issuer; and entries, or openings, that were kept from other control numbers:
        letters would go out that open nothing.
        """
        halves: dict[tuple[str, int], str] = {}
        for entry in map(parse_entry, raws):
            signed = [line.name for line in entry.signatures]
            if signed != [self.signer.name]:
                text = f"these numbers are not {self.signer.name}'s: what was made from them is by {', '.join(signed)}"
                raise Refused("wrong-signers", text)
            for place, row in enumerate(entry.body["rows"], entry.body["first"]):
                halves[entry.body["class"], place] = row["K"]
        for opening in openings:
            share_class, code = opening.account.share_class, numbers[opening.account.id].code
            same = halves.get((share_class, opening.row)) == self.key(share_class, code)
            if not same or (self.first and opening.r != self.randomness(share_class, code)):
                text = f"what is kept for {opening.account.id} was made from another control number than the one kept"
                raise Refused("another-register", text)

    def head(self, share_class: str, members: Sequence[Opening]) -> dict[str, Any]:
        bound = {"manifest": b64(self.manifest.hash), "revision": self.revisions[share_class]}
        head: dict[str, Any] = {"class": share_class, **bound}
        if self.first:
            head["total"] = b64(scalar_bytes(sum(opening.r for opening in members)))
        return head


def expect_issuer(manifest: Manifest, signer: Signer) -> None:
    """Refused `wrong-signers` if this key issues nothing in this election."""
    if signer.verifier not in manifest.issuers:
        raise Refused("wrong-signers", f"{signer.name}, with this key, is no issuer of this election")


def unframe_entries(raw: bytes) -> Iterator[bytes]:
    """The entries in what `Issuer.entries` gave."""
    return unframe(raw, MOST_ENTRIES)


def check_weights(
    share_class: str, weights: Collection[bytes], openings: Sequence[Opening], context: Context, issuer: str, step: Step
) -> None:
    """Recomputes every encrypted weight of a roll (64 bytes each, in the order of rows) from openings that fit the
    checker's own register. issuer: who has published the weights, and is named.

    Refused `wrong-length` for more or fewer rows than accounts, `wrong-weight` naming the first row that weighs
    something else.
    """
    assert context.Y is not None
    members = [o for o in openings if o.account.share_class == share_class]
    if len(members) != len(weights):
        text = f"{issuer} has published {len(weights)} rows for {share_class}, for {len(members)} accounts"
        raise Refused("wrong-length", text)
    for opening, E in zip(members, weights, strict=True):
        if encrypt(opening.account.weight, context.Y, opening.r).raw != E:
            row = f"row {opening.row} of the roll of {share_class}"
            text = f"{row}, by {issuer}, does not hold the {opening.account.weight} votes of {opening.account.id}"
            raise Refused("wrong-weight", text)
        step()


def signature_text(manifest: Manifest, roll: Roll, signer: str) -> bytes:
    """The text of `roll-signed`, by the signer of this name, for a roll that was checked."""
    body = {"class": roll.share_class, "hash": b64(roll.issued), "manifest": b64(manifest.hash), "signer": signer}
    return make_text("roll-signed", manifest.origin, body)
