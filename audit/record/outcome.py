"""After the close: the trustees' shares, the totals, and the result that the officials certify."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from audit.protocol.decryption import PRESENT, DecryptionShare, combine, verify_decryption_share
from audit.protocol.discrete_log import DiscreteLog
from audit.protocol.elgamal import Ciphertext
from audit.protocol.group import Element, G
from audit.protocol.refused import Refused
from audit.record.admission import signer_of
from audit.record.agenda import Contest
from audit.record.counting import NOT_DECRYPTED, outcome
from audit.record.entries import Entry
from audit.record.seen import Seen
from audit.record.shapes import only
from audit.record.totals import Sums, contests_by_class, sum_ballots
from audit.record.withholding import decrypted

if TYPE_CHECKING:
    from audit.record.election import Election

Slot = tuple[str, str]  # what one sum is of: (contest, choice), or (PRESENT, class)
Shares = dict[Slot, Element]  # one trustee's D for every slot


def sums_of(election: Election, seen: Seen) -> Sums:
    """The sums over the counted ballots, computed once."""
    if election.closing_root is None:
        raise Refused("wrong-phase", "the vote is not closed yet")
    if election.sums is None:
        election.sums = sum_ballots(contests_by_class(election.manifest), seen.counted(), election.weight)
    return election.sums


def slots(election: Election, sums: Sums) -> Iterator[tuple[Slot, Ciphertext]]:
    """Every sum that is decrypted, in agenda order; none that would tell of too few pseudonyms."""
    included = decrypted(election.manifest, sums.voters)
    for contest in election.manifest.contests:
        if contest.id in included.contests:
            for choice in contest.choices:
                yield (contest.id, choice), sums.choices[contest.id, choice]
    for share_class in included.classes:
        yield (PRESENT, share_class), sums.present[share_class]


def admit_decrypt(election: Election, entry: Entry, seen: Seen) -> None:
    """One answer of each trustee, ever, over exactly the sums of the closing head, each share with a proof that
    holds.
    """
    trustee = signer_of(entry)
    if trustee not in election.ceremony.participants:
        raise Refused("wrong-signers", f"{trustee} has no share of the key", "signatures")
    if trustee in election.shares:
        raise Refused("duplicate", f"{trustee} has answered already, and answers once")
    if entry.fields["closing"] != election.closing_root:
        raise Refused("another-election", "these shares are for another closing head", "closing")
    sums = sums_of(election, seen)
    check_slots(election, sums, entry.body)
    j, Y_j = election.ceremony.index(trustee), election.ceremony.Y_j[trustee]
    for slot, C in slots(election, sums):
        share = DecryptionShare.from_json(share_at(entry.body, slot), path_of(slot))
        verify_decryption_share(election.context, trustee, *slot, entry.fields["closing"], C, j, Y_j, share)


def check_slots(election: Election, sums: Sums, body: Mapping[str, Any]) -> None:
    included = decrypted(election.manifest, sums.voters)
    only(body["contests"], set(included.contests), "contests")
    for contest in election.manifest.contests:
        if contest.id in body["contests"]:
            only(body["contests"][contest.id], set(contest.choices), f"contests.{contest.id}")
    only(body["present"], set(included.classes), "present")


def share_at(body: Mapping[str, Any], slot: Slot) -> Any:
    return body["present"][slot[1]] if slot[0] == PRESENT else body["contests"][slot[0]][slot[1]]


def path_of(slot: Slot) -> str:
    return f"present.{slot[1]}" if slot[0] == PRESENT else f"contests.{slot[0]}.{slot[1]}"


def apply_decrypt(election: Election, entry: Entry) -> None:
    said = [(contest, choice) for contest, shares in entry.body["contests"].items() for choice in shares]
    said += [(PRESENT, share_class) for share_class in entry.body["present"]]
    election.shares[signer_of(entry)] = {
        slot: DecryptionShare.from_json(share_at(entry.body, slot), path_of(slot)).D for slot in said
    }


def decrypt_totals(election: Election, sums: Sums, said: Mapping[Slot, int]) -> dict[Slot, int]:
    """Every decrypted total, in votes, from the shares in the log; refuses while fewer than t trustees have
    answered. Computed once for the same answers, by whoever computes, judges and admits a certificate in one process.

    `said`: what somebody says some totals are. One that is right need not be searched for; any other has no effect.
    """
    manifest = election.manifest
    if len(election.shares) < manifest.trustees.threshold:
        answered = f"{len(election.shares)} of {manifest.trustees.threshold} trustees needed have answered"
        raise Refused("not-complete", f"{answered}; the totals cannot be computed yet")
    answers = frozenset(election.shares)
    if election.totals is None or election.totals[0] != answers:
        bounds = [manifest.votes_on(contest) for contest in manifest.contests] + [c.votes for c in manifest.classes]
        bound = max(bounds) + 1
        elements = {slot: opened(election, slot, C) for slot, C in slots(election, sums)}
        # Below the bound only one n has this nG, so a total that opens to it is the total, whoever said it.
        totals = {slot: n for slot, n in said.items() if 0 <= n < bound and n * G == elements.get(slot)}
        missing = [slot for slot in elements if slot not in totals]
        if missing:
            logarithm = DiscreteLog(bound, len(missing))
            totals |= {slot: logarithm.find(elements[slot]) for slot in missing}
        election.totals = answers, totals
    return election.totals[1]


def claimed_totals(election: Election, said: Any) -> dict[Slot, int]:
    """The totals that a claimed result names, of whatever form it is."""
    contests, present = (said.get("contests"), said.get("present")) if isinstance(said, dict) else (None, None)
    found = {
        (contest.id, choice): votes[choice]
        for contest in election.manifest.contests
        if isinstance(contests, dict) and isinstance(votes := contests.get(contest.id), dict)
        for choice in contest.choices
        if type(votes.get(choice)) is int
    }
    if len(election.manifest.classes) == 1 and type(present) is int:
        found[PRESENT, election.manifest.classes[0].id] = present
    return found


def opened(election: Election, slot: Slot, C: Ciphertext) -> Element:
    """nG, n the total in C, from the shares of all trustees that have answered."""
    shares = {election.ceremony.index(name): shares[slot] for name, shares in election.shares.items()}
    return combine(shares, C, election.manifest.trustees.threshold)


def result_of(election: Election, seen: Seen, said: Any = None) -> dict[str, Any]:
    """The result: votes present (of the classes decrypted), ballots counted, the votes of every choice, what they
    decide, and, if anything is, what is withheld. Refuses one that does not foot. `said`: a result that somebody
    claims, which is quicker to confirm than to find. """
    sums = sums_of(election, seen)
    included = decrypted(election.manifest, sums.voters)
    totals = decrypt_totals(election, sums, claimed_totals(election, said))
    present = {c: totals[PRESENT, c] for c in included.classes}
    # In a class in which nobody voted, nothing is present: that is known without decrypting.
    known = present | {c.id: 0 for c in election.manifest.classes if not sums.voters[c.id]}
    contests: dict[str, dict[str, int]] = {}
    outcomes: dict[str, Any] = {}
    for contest in election.manifest.contests:
        outcomes[contest.id] = NOT_DECRYPTED
        if contest.id in included.contests:
            contests[contest.id] = {choice: totals[contest.id, choice] for choice in contest.choices}
            outcomes[contest.id] = outcome(contest, contests[contest.id])
            if all(c in known for c in contest.classes):
                check_footing(contest, contests[contest.id], sum(known[c] for c in contest.classes))
    result = {"ballots": sums.ballots, "contests": contests, "outcome": outcomes, "present": sum(present.values())}
    return {**result, "withheld": list(included.withheld)} if included.withheld else result


def check_footing(contest: Contest, totals: Mapping[str, int], present: int) -> None:
    """Every vote present is on one choice or on none, or on as many as the form allows; so they cannot be more."""
    if sum(totals.values()) > contest.form.limit * present:
        text = f"{sum(totals.values())} votes on {contest.id}, but {present} are present"
        raise Refused("does-not-foot", text, f"contests.{contest.id}")


def admit_certify(election: Election, entry: Entry, seen: Seen) -> None:
    """The officials certify the result that anyone computes from the log, and no other."""
    result = result_of(election, seen, entry.body["result"])
    if entry.body["result"] != result:
        raise Refused("wrong-result", first_difference(entry.body["result"], result), "result")


def first_difference(said: Any, computed: Any, path: str = "result") -> str:
    """Where two results differ first, in words."""
    if isinstance(said, dict) and isinstance(computed, dict):
        for name in sorted(set(said) | set(computed)):
            if said.get(name) != computed.get(name):
                return first_difference(said.get(name), computed.get(name), f"{path}.{name}")
    return f"{path} is said to be {said!r:.80}; from the log it is {computed!r:.80}"


def apply_certify(election: Election, entry: Entry) -> None:
    election.result = entry.body["result"]

