"""Which sums are decrypted, so that neither one of them nor any difference between them tells of fewer voters than the
manifest's minimum.

A sum is of one contest over the classes that vote on it, or of the weight present in one class. Who knows several sums
can add and subtract them. With five common voters and one preferred, the votes of both classes on an item, less the
weight present in common, leave the weight and the vote of that one holder; the minimum would be kept by each sum alone.

Call a class small if it has voters, but fewer than the minimum. Take the sums in agenda order, contests first, then the
weight present class by class. One is included if at least the minimum of voters stand behind it, and if no linear
combination of the sums included then has support on small classes alone. Seen as rows of zeroes and ones, a column for
each class with voters, the included sums have such a combination exactly if restricting the rows to the classes that
are not small lowers their rank: a combination that is not zero, but is zero there, has all its support on the small
ones. While there is none, both ranks are equal; so it is enough that each further row raises both or neither.
Then every combination that tells anything at all has a part in a class that is not small, whose votes nobody knows
apart.

The second condition implies the first, but for a sum over nobody, which is of no use to anyone.

Which classes a sum is over is all that is looked at, as if everybody voted alike on every item; several small classes
together are treated like each alone. Every voter's class is public, and so is what is withheld. What totals tell by
chance, when all of a large class happen to vote alike, no rule on classes can prevent: `psephos privacy` estimates it
before the vote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from audit.record.manifest import Manifest

Row = list[Fraction]


@dataclass(frozen=True)
class Decrypted:
    """Ids in agenda order. `withheld`: the ids of contests and of classes, sorted, that somebody voted on or in and
    whose sums are nevertheless kept secret. A contest and a class of one id are two of it.
    """

    contests: tuple[str, ...]
    classes: tuple[str, ...]
    withheld: tuple[str, ...]


@dataclass
class Span:
    """The space of the rows added, each kept with a leading one that no later row has in its place."""

    rows: dict[int, Row] = field(default_factory=dict)

    def rest(self, row: Sequence[int]) -> Row:
        """What of this row does not lie in the space; all zeroes if it does."""
        rest = [Fraction(value) for value in row]
        for place, known in self.rows.items():
            rest = [value - rest[place] * other for value, other in zip(rest, known, strict=True)]
        return rest

    def add(self, rest: Row) -> None:
        place = next((i for i, value in enumerate(rest) if value), None)
        if place is not None:
            self.rows[place] = [value / rest[place] for value in rest]


def decrypted(manifest: Manifest, voters: Mapping[str, int]) -> Decrypted:
    """What is decrypted of an election, and what withheld, by how many pseudonyms of each class have voted."""
    minimum = manifest.minimum_pseudonyms
    voting = [c.id for c in manifest.classes if voters.get(c.id, 0)]
    large = [c for c in voting if voters[c] >= minimum]
    everywhere, where_large = Span(), Span()

    def included(classes: Sequence[str]) -> bool:
        if sum(voters.get(c, 0) for c in classes) < minimum:
            return False
        whole = everywhere.rest([c in classes for c in voting])
        part = where_large.rest([c in classes for c in large])
        if any(whole) != any(part):
            return False
        everywhere.add(whole)
        where_large.add(part)
        return True

    contests = tuple(contest.id for contest in manifest.contests if included(contest.classes))
    classes = tuple(c.id for c in manifest.classes if included([c.id]))
    asked = [contest.id for contest in manifest.contests if any(c in voting for c in contest.classes)]
    withheld = [id for id in asked if id not in contests] + [c for c in voting if c not in classes]
    return Decrypted(contests, classes, tuple(sorted(withheld)))
