"""The homomorphic sums behind a result: of every contest and choice, and of the weight present in every class.

Sums are of counted ballots only (the highest revision under every pseudonym). They add up over parts, so that many
processes can each sum a part of the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from audit.protocol.elgamal import Ciphertext
from audit.record.entries import Entry, parse_entry
from audit.record.manifest import Manifest

Slot = TypeVar("Slot")
Weight = Callable[[str, bytes], Ciphertext]  # (class, pseudonym) -> the encrypted weight of that row
Contests = Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]]  # class -> (contest, its choices), in agenda order


class Sums:
    """Running sums; `choices[contest, choice]` and `present[class]` are ciphertexts, `voters[class]` counts
    pseudonyms.
    """

    def __init__(self) -> None:
        self.choices: dict[tuple[str, str], Ciphertext] = {}
        self.present: dict[str, Ciphertext] = {}
        self.voters: Counter[str] = Counter()

    def add(
        self, contests: Contests, share_class: str, votes: Iterable[Sequence[Ciphertext]], weight: Ciphertext
    ) -> None:
        """Adds one counted ballot, whose proofs have been verified; votes: C_1..C_k of each contest, in agenda
        order.
        """
        for (contest, choices), C in zip(contests[share_class], votes, strict=True):
            for choice, C_j in zip(choices, C, strict=True):
                grow(self.choices, (contest, choice), C_j)
        grow(self.present, share_class, weight)
        self.voters[share_class] += 1

    def merge(self, other: Sums) -> None:
        """Adds the sums over other ballots."""
        for slot, value in other.choices.items():
            grow(self.choices, slot, value)
        for share_class, value in other.present.items():
            grow(self.present, share_class, value)
        self.voters.update(other.voters)

    def remove(self, other: Sums) -> None:
        """Takes out the sums over ballots that were added before."""
        for slot, value in other.choices.items():
            self.choices[slot] -= value
        for share_class, value in other.present.items():
            self.present[share_class] -= value
        self.voters.subtract(other.voters)

    @property
    def ballots(self) -> int:
        """How many ballots are counted."""
        return sum(self.voters.values())


def grow(sums: dict[Slot, Ciphertext], slot: Slot, more: Ciphertext) -> None:
    so_far = sums.get(slot)
    sums[slot] = more if so_far is None else so_far + more


def contests_by_class(manifest: Manifest) -> Contests:
    """What `Sums.add` needs of a manifest."""
    return {
        c.id: tuple((contest.id, contest.choices) for contest in manifest.contests_of(c.id)) for c in manifest.classes
    }


def sum_ballots(contests: Contests, counted: Iterable[bytes], weight: Weight) -> Sums:
    """The sums over these entries, each the counted ballot of its pseudonym, recorded and so checked before."""
    sums = Sums()
    for raw in counted:
        ballot = parse_entry(raw)
        share_class = ballot.fields["roll"]
        votes = [votes_in(ballot, contest) for contest, _ in contests[share_class]]
        sums.add(contests, share_class, votes, weight(share_class, ballot.fields["pseudonym"]))
    return sums


def votes_in(ballot: Entry, contest: str) -> list[Ciphertext]:
    pairs = ballot.fields["contests"][contest]["C"]
    return [Ciphertext.from_json(pair, f"contests.{contest}.C[{j}]") for j, pair in enumerate(pairs)]
