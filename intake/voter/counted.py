"""Whether the ballot kept here is the one that counts: what the page of a voter says after the close.

Every ballot of the log under the holder's pseudonym is looked for. One that is not kept here was cast with the same
control numbers elsewhere: an alarm, whether it counts or not, for somebody else has the numbers, an issuer that gave
them to two holders among others. A ballot is known by its identity, its tracker, so nothing has to be decrypted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from audit.log.proof import EXTENSION, parse_proof
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.receipts import REKEY
from audit.record.entries import Entry, parse_entry, read_text
from intake.voter.booth import History
from intake.voter.holder import Holder

TEXTS = re.compile(r".+\.(ballot|overtaken(-[0-9]+)?)", re.DOTALL)
PROOFS = re.compile(rf"(?!{REKEY}[0-9]+\.).+{re.escape(EXTENSION)}", re.DOTALL)
"""Files of `vote`, as keeping.py names them: of a ballot, and of a proof that is of no rekey."""


@dataclass(frozen=True)
class Standing:
    """What stands of one account. `counts` is the ballot of the log that counts now, with its number; `own` the newest
    kept here; `foreign` those in the log that are not kept here; `why` a refusal of the newest, if the log holds one.
    """

    own: Entry | None
    counts: tuple[int, Entry] | None
    foreign: Sequence[tuple[int, Entry]]
    why: str = ""

    @property
    def holds(self) -> bool:
        """Whether what counts is what was cast here last, and nobody else has cast anything."""
        counted = self.counts[1].identity if self.counts else None
        return not self.foreign and counted == (self.own.identity if self.own else None)

    def alarm(self) -> str:
        """The ballots that were not cast here; "" for none."""
        shown = "; ".join(self._named(place, ballot) for place, ballot in self.foreign)
        text = "ALARM: the log holds what was not cast here with these control numbers"
        unless = "unless you cast it from another folder or device: give that with --out"
        return f"{text}: {shown}. Somebody else has them: tell the officials and the issuers, {unless}" if shown else ""

    def _named(self, place: int, ballot: Entry) -> str:
        counts = self.counts is not None and ballot.identity == self.counts[1].identity
        return f"{named(place, ballot)}, which {'COUNTS' if counts else 'does not count'}"

    def __str__(self) -> str:
        if self.counts is None:
            if self.own is None:
                return "no ballot was cast here, and none counts"
            because = f": it was refused: {self.why}" if self.why else ""
            return f"the ballot kept here ({b64(self.own.identity)}) is NOT in the log{because}"
        shown = named(*self.counts)
        if self.own is not None and self.own.identity == self.counts[1].identity:
            return f"the ballot kept here counts: {shown}"
        kept = "no ballot was cast here" if self.own is None else "the newest ballot kept here does NOT count"
        return f"{kept}; what counts is {shown}"


def named(place: int, ballot: Entry) -> str:
    """A ballot as a voter may compare it with what another device shows."""
    return f"entry {place}, revision {ballot.fields['revision']}, tracker {b64(ballot.identity)}"


def standing(holder: Holder, kept: Sequence[Entry], history: History) -> Standing:
    """What stands under the holder's pseudonym, given all ballots kept, whoever's they are."""
    P = holder.pseudonym.raw
    own = {ballot.identity for ballot in kept}
    under = history.of(P)
    newest = max((b for b in kept if b.fields["pseudonym"] == P), key=lambda b: int(b.fields["revision"]), default=None)
    refused = [
        f"{why} (as {intake} passed it on; `dispute` with its receipt says whether unchanged)"
        for (identity, intake, _), why in history.refusals.items()
        if newest and identity == newest.identity
    ]
    return Standing(
        newest,
        max(under, key=lambda found: int(found[1].fields["revision"]), default=None),
        [(place, ballot) for place, ballot in under if ballot.identity not in own],
        "; ".join(refused),
    )


def kept_ballots(folders: Iterable[Path]) -> list[Entry]:
    """Every ballot that the folders hold, under whatever name: handed in, proved to be recorded, or set aside.

    FileNotFoundError or NotADirectoryError for what is no folder; Refused naming the file that holds no ballot.
    """
    found: list[Entry] = []
    for folder in folders:
        for path in sorted(folder.iterdir()):
            shown = PROOFS.fullmatch(path.name)
            if shown or TEXTS.fullmatch(path.name):
                found.append(_read(path, shown is not None))
    return found


def _read(path: Path, proof: bool) -> Entry:
    try:
        raw = path.read_bytes()
        ballot = parse_entry(parse_proof(raw).extra) if proof else read_text(raw)
        if ballot.kind != "ballot":
            raise Refused("unknown-kind", f"is a {ballot.kind}, not a ballot")
        return ballot
    except Refused as refusal:
        raise Refused(refusal.reason, f"{path}: {refusal.detail}") from None
