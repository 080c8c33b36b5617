"""The homomorphic sums behind a result: of every contest and choice, and of the weight present in every class.

Sums are of counted ballots only (the highest revision under every pseudonym). They add up over parts, so that many
processes can each sum a part of the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from audit.protocol.elgamal import ZERO, Ciphertext
from audit.record.entries import Entry, parse_entry
from audit.record.manifest import Manifest

Weight = Callable[[str, bytes], Ciphertext]  # (class, pseudonym) -> the encrypted weight of that row


class Sums:
    """Running sums; `choices[contest, choice]` and `present[class]` are ciphertexts, `voters[class]` counts
    pseudonyms.
    """

    def __init__(self) -> None:
        self.choices: dict[tuple[str, str], Ciphertext] = {}
        self.present: dict[str, Ciphertext] = {}
        self.voters: Counter[str] = Counter()

    def add(self, manifest: Manifest, ballot: Entry, weight: Ciphertext) -> None:
        """Adds one counted ballot, whose proofs have been verified."""
        share_class = ballot.fields["roll"]
        for contest in manifest.contests_of(share_class):
            pairs = ballot.fields["contests"][contest.id]["C"]
            for choice, pair in zip(contest.choices, pairs, strict=True):
                key = (contest.id, choice)
                self.choices[key] = self.choices.get(key, ZERO) + Ciphertext.from_json(pair, contest.id)
        self.present[share_class] = self.present.get(share_class, ZERO) + weight
        self.voters[share_class] += 1

    def merge(self, other: Sums) -> None:
        for key, value in other.choices.items():
            self.choices[key] = self.choices.get(key, ZERO) + value
        for share_class, value in other.present.items():
            self.present[share_class] = self.present.get(share_class, ZERO) + value
        self.voters += other.voters

    @property
    def ballots(self) -> int:
        """How many ballots are counted."""
        return sum(self.voters.values())


def sum_ballots(manifest: Manifest, counted: Iterable[bytes], weight: Weight) -> Sums:
    """The sums over these entries, each the counted ballot of its pseudonym."""
    sums = Sums()
    for raw in counted:
        ballot = parse_entry(raw)
        sums.add(manifest, ballot, weight(ballot.fields["roll"], ballot.fields["pseudonym"]))
    return sums


def decrypted_contests(manifest: Manifest, sums: Sums) -> Iterator[str]:
    """The contests behind whose sums at least the manifest's minimum of pseudonyms stand; no other is ever
    decrypted.
    """
    for contest in manifest.contests:
        if sum(sums.voters[c] for c in contest.classes) >= manifest.minimum_pseudonyms:
            yield contest.id


def decrypted_classes(manifest: Manifest, sums: Sums) -> Iterator[str]:
    """The classes whose weight present is decrypted, by the same minimum."""
    for share_class in manifest.classes:
        if sums.voters[share_class.id] >= manifest.minimum_pseudonyms:
            yield share_class.id
