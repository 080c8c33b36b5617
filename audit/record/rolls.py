"""The roll of a share class as the log holds it: chunked halves by each issuer, joined into rows, then anonymous.

While the manifest names no mixers, the anonymous roll is the roll itself: pseudonym P_i = K_i under the generator G, so
that the issuers can trace pseudonyms. `Roll` says so.

A reissue of lost control numbers is the roll published once more, whole, with its revision raised: all that makes a
roll complete is then checked again, and nobody can see which accounts were meant. The credential is bound to the
revision, so no key of the former roll is worth anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from audit.protocol.elgamal import CIPHERTEXT_SIZE, Ciphertext
from audit.protocol.group import ELEMENT_SIZE, Element, G, scalar_from, unb64
from audit.protocol.refused import Refused
from audit.protocol.roll import anonymous_roll_hash, check_total
from audit.protocol.transcript import Context, labelled_hash
from audit.record.halves import HALF_SIZE, HalfAssembly, sum_of_keys


@dataclass(frozen=True)
class Roll:
    """A complete roll. `rows` maps the 32-byte pseudonym to the 64 bytes of its encrypted weight."""

    share_class: str
    hash: bytes  # 32 bytes, binds generator and rows: every transcript of a ballot holds it
    issued: bytes  # 32 bytes, binds what the issuers published: what the other issuers and inspectors sign
    generator: Element
    rows: dict[bytes, bytes] = field(repr=False)
    mixers: tuple[str, ...] = ()
    revision: int = 0

    def weight(self, pseudonym: bytes) -> Ciphertext:
        """The encrypted weight of a row; refuses a pseudonym that is not on the roll."""
        row = self.rows.get(pseudonym)
        if row is None:
            text = "this pseudonym is not on the roll; check the control number"
            raise Refused("unknown-pseudonym", text, "pseudonym")
        return weight_in(row)


class RollAssembly:
    """Collects the halves of one class's roll, a `HalfAssembly` for every issuer. A reissue has as many rows as the
    roll that it replaces, `accounts`.
    """

    def __init__(
        self, share_class: str, issuers: tuple[str, ...], revision: int = 0, accounts: int | None = None
    ) -> None:
        self.share_class = share_class
        self.issuers = issuers
        self.revision = revision
        self.accounts = accounts
        self.halves = {issuer: HalfAssembly() for issuer in issuers}

    def check(self, issuer: str, body: dict[str, Any]) -> None:
        first = issuer == self.issuers[0]
        if first != ("total" in body):
            holder = f"{self.issuers[0]} publishes the weights and their total"
            raise Refused("wrong-signers", f"{holder}; other issuers publish their halves alone", "total")
        if body["revision"] != self.revision:
            text = f"the roll of {self.share_class} is being published with revision {self.revision}"
            raise Refused("out-of-range", text, "revision")
        self.halves[issuer].check(body)

    def completed_by(self, issuer: str, body: dict[str, Any]) -> RollAssembly:
        """A copy with this chunk taken in; the original is untouched, so that admission can look ahead."""
        ahead = RollAssembly(self.share_class, self.issuers, self.revision, self.accounts)
        ahead.halves = {name: half if name != issuer else half.with_half(body) for name, half in self.halves.items()}
        return ahead

    @property
    def complete(self) -> bool:
        return all(half.complete for half in self.halves.values())

    def begun_by(self, issuer: str) -> bool:
        """Whether this issuer has published a chunk."""
        return issuer in self.halves and self.halves[issuer].head is not None

    def anew(self) -> RollAssembly:
        """The next revision of this roll, of which nothing is there yet."""
        return RollAssembly(self.share_class, self.issuers, self.revision + 1, self.accounts)

    def check_whole(self, issuer: str, context: Context, votes: int) -> None:
        """Refuses, naming the issuer, what it alone has published: chunks that do not join or do not have the hash they
        name, another number of rows than a reissue must have, repeated halves; of the first issuer, repeated randomness
        and weights that do not add up to `votes`.
        """
        try:
            self._check_whole(issuer, context, votes)
        except Refused as refusal:
            raise Refused(refusal.reason, f"{issuer}: {refusal.detail}", refusal.field) from None

    def _check_whole(self, issuer: str, context: Context, votes: int) -> None:
        (keys, weights), head = self.halves[issuer].decoded(), self.halves[issuer].head
        if self.accounts not in (None, len(keys)):
            text = f"a reissue changes numbers, not accounts: {self.accounts} rows become {len(keys)}"
            raise Refused("wrong-length", text, "rows")
        refuse_repeats(keys, "the half")
        if issuer == self.issuers[0]:
            assert head is not None and context.Y is not None
            refuse_repeated_randomness(weights)
            check_total(weights, votes, scalar_from(head["total"]), context.Y)

    def join(self) -> Roll:
        """The roll of all halves, each checked whole before. Refuses unequal row counts, and keys that are repeated or
        the identity.
        """
        halves = [list(self.halves[issuer].raws()) for issuer in self.issuers]
        for issuer, rows in zip(self.issuers, halves, strict=True):
            if len(rows) != len(halves[0]):
                text = f"{issuer} published {len(rows)} rows, {self.issuers[0]} {len(halves[0])}"
                raise Refused("wrong-length", text, "rows")
        keys = [sum_of_keys(rows) for rows in zip(*halves, strict=True)]
        refuse_repeats(keys, "the key")
        weights = [raw[HALF_SIZE:] for raw in halves[0]]
        wholes = [unb64(self.halves[issuer].hash, 32) for issuer in self.issuers]
        return Roll(
            self.share_class,
            anonymous_roll_hash(G, zip(keys, map(weight_in, weights), strict=True)),
            labelled_hash("roll issued", self.share_class, *wholes),
            G,
            {key.raw: weight for key, weight in zip(keys, weights, strict=True)},
            revision=self.revision,
        )


def weight_in(raw: bytes) -> Ciphertext:
    """The ciphertext in its 64 bytes, decoded before."""
    return Ciphertext(Element(raw[:ELEMENT_SIZE]), Element(raw[ELEMENT_SIZE:CIPHERTEXT_SIZE]))


def refuse_repeats(keys: list[Element], what: str) -> None:
    """Two holders with one key would share one vote, and with one half were given one number by that issuer; the
    identity belongs to nobody.
    """
    at: dict[bytes, int] = {}
    for i, key in enumerate(keys):
        if key.is_identity:
            raise Refused("identity", f"{what} of row {i} is the identity", f"rows[{i}].K")
        if key.raw in at:
            raise Refused("duplicate", f"{what} of row {i} is that of row {at[key.raw]}", f"rows[{i}].K")
        at[key.raw] = i


def refuse_repeated_randomness(weights: list[Ciphertext]) -> None:
    """Under one r, the difference of two weights would stand in the open: (w_i - w_j) G."""
    at: dict[bytes, int] = {}
    for i, E in enumerate(weights):
        if E.a.raw in at:
            text = f"rows {at[E.a.raw]} and {i} hide their weights under the same randomness"
            raise Refused("duplicate", text, f"rows[{i}].E")
        at[E.a.raw] = i
