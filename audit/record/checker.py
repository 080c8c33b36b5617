"""The stateless half of checking a ballot: signature line and proofs, in any process, given the voter's encrypted
weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from audit.log.keys import Verifier
from audit.protocol.ballot import Ballot, BallotContext, parse_ballot, verify_proofs, verify_signature
from audit.protocol.elgamal import Ciphertext
from audit.protocol.refused import Refused
from audit.record.entries import Entry, check_lines


@dataclass(frozen=True)
class BallotChecker:
    """All that is fixed while voting is open; small, and picklable to worker processes."""

    origin: str
    manifest: bytes
    intakes: tuple[Verifier, ...]
    contexts: Mapping[str, BallotContext]

    def check(self, entry: Entry, weight: Ciphertext) -> Ballot:
        """The ballot; refuses one without exactly one true intake line, or whose signature or proofs fail."""
        self.check_line(entry)
        return self.check_ballot(entry, weight)

    def check_line(self, entry: Entry) -> None:
        """Refuses a ballot that does not bear exactly one line, by an intake of the manifest."""
        check_lines(entry, self.intakes, 1, 1, "exactly one intake")

    def check_ballot(self, entry: Entry, weight: Ciphertext) -> Ballot:
        """The ballot; refuses one whose origin, form, signature or proofs fail, cheapest first. `weight` is its row's
        E.
        """
        if entry.origin != self.origin:
            text = f"this ballot is for {entry.origin[:120]}, this election is {self.origin}"
            raise Refused("another-election", text, "origin")
        context = self.contexts.get(entry.fields["roll"])
        if context is None:
            raise Refused("unknown-roll", f"the roll {entry.fields['roll'][:60]} is not in this election", "roll")
        ballot = parse_ballot(context, entry.body)
        verify_signature(context, ballot, entry.body)
        verify_proofs(context, ballot, weight)
        return ballot
