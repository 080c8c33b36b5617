"""The vote itself: ballots, refusals, closing, and the reconciliation that nothing passed on was lost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from audit.log.merkle import CompactRange, leaf_hash
from audit.protocol.refused import Refused
from audit.record.admission import SIGNED_BY, signer_of
from audit.record.entries import Entry
from audit.record.manifest import Manifest
from audit.record.seen import Seen

if TYPE_CHECKING:
    from audit.record.election import Election


PASSING = frozenset({"ballot", "refusal", "notice", "rekey"})
"""Kinds that may come at any time, so that nobody who acts need have seen the last of them."""


def expect_current(election: Election, entry: Entry) -> None:
    """The officials knew the log as it is, but for ballots, refusals, notices and rekeys, when they drew this act up.

    So an act that comes too early, before another entry that it needs, is not merely refused, but can never be recorded
    later, by whoever has seen it: the entry that it lacked makes it out of date. Only where nothing but ballots on
    their way are lacking may the very same act come again.
    """
    size = entry.fields["size"]
    if size > election.size:
        raise Refused("not-complete", f"drawn up over {size} entries, but the log has {election.size}", "size")
    if size < election.settled:
        text = f"drawn up over {size} entries; others have acted since, the last as entry {election.settled - 1}"
        raise Refused("out-of-date", f"{text}: it must be drawn up, and signed, anew", "size")


def admit_closing(election: Election, entry: Entry, seen: Seen) -> None:
    expect_current(election, entry)


def admit_ballot(election: Election, entry: Entry, seen: Seen) -> None:
    """On the roll, never refused before, and of a higher revision than the log holds: order decides nothing."""
    before = seen.refused(entry.identity, signer_of(entry))
    if before and entry.leaf in before:
        raise Refused("refused-before", f"the log holds a refusal of this ballot as handed in by {signer_of(entry)}")
    pseudonym, revision = entry.fields["pseudonym"], entry.fields["revision"]
    election.weight(entry.fields["roll"], pseudonym)
    highest = seen.revision(pseudonym)
    if highest is not None and revision < highest:
        text = f"a ballot with revision {highest} is recorded, this one has {revision}"
        raise Refused("revision-lower", text, "revision")
    if revision == highest:
        raise Refused("revision-repeated", f"another ballot with revision {revision} is recorded", "revision")


def apply_ballot(election: Election, entry: Entry) -> None:
    election.ballots += 1


def check_refusal(manifest: Manifest, entry: Entry) -> None:
    """A refusal says of an entry, as one intake handed it in, that these bytes will never be recorded from there; of a
    kind that bears no intake's line, whoever passed it on, as "".

    It is of bytes, the `leaf`, and not of all that has a ballot's identity: else whoever has an intake's key could
    spoil the signature of a ballot on its way, and by the refusal of that keep out what the intake has promised. The
    log's key answers for it alone: the refused entry is not in the log, and its intake's line, which is over all of its
    text, could not be checked without it. Who reports on a record says so.

    Also who does not look at all of the log sees that the intake fits the kind: who reads of refusals by intake so
    reads of ballots.
    """
    intake, kind = entry.fields["intake"], entry.fields["kind"]
    if kind not in SIGNED_BY:
        raise Refused("unknown-kind", "no such entry is ever admitted, so none is refused in the log", "kind")
    allowed = {key.name for key in manifest.intakes} if kind == "ballot" else {""}
    if intake not in allowed:
        raise Refused("unknown-key", f"no {kind} bears the line of such an intake", "intake")


def admit_refusal(election: Election, entry: Entry, seen: Seen) -> None:
    """Once for the same bytes, and never of what is recorded."""
    identity, intake = entry.fields["identity"], entry.fields["intake"]
    if entry.fields["leaf"] in seen.refused(identity, intake):
        raise Refused("duplicate", "the log holds this refusal already", "identity")
    if seen.recorded(identity) == intake:
        raise Refused("duplicate", "the entry that this refuses is recorded", "identity")


def apply_refusal(election: Election, entry: Entry) -> None:
    election.refusals += 1


def admit_reconcile(election: Election, entry: Entry, seen: Seen) -> None:
    if signer_of(entry) in election.reconciled:
        raise Refused("duplicate", f"{signer_of(entry)} has reconciled already")


def apply_reconcile(election: Election, entry: Entry) -> None:
    election.reconciled[signer_of(entry)] = (entry.fields["count"], entry.fields["root"])


def reconcile_root(identities: Iterable[bytes]) -> tuple[int, bytes]:
    """Count and RFC 6962 root (32 bytes) over identities, given in ascending order."""
    tree = CompactRange()
    for identity in identities:
        tree.append(leaf_hash(identity))
    return tree.size, tree.root()


def admit_close(election: Election, entry: Entry, seen: Seen) -> None:
    """Every intake's account of what it passed on equals what the log holds of it, unless the officials overrule that
    intake.
    """
    intakes = {key.name for key in election.manifest.intakes}
    overruled = entry.fields["overruled"]
    for name in overruled:
        if name not in intakes:
            raise Refused("unknown-key", f"{name[:120]} is not an intake of this election", "overruled")
    faults = [fault for name in sorted(intakes - set(overruled)) if (fault := unaccounted(election, seen, name))]
    if faults:
        raise Refused("not-complete", f"{'; '.join(faults)}: wait or overrule by name", "overruled")
    expect_current(election, entry)


def unaccounted(election: Election, seen: Seen, intake: str) -> str:
    """What is wrong with an intake's account, in words; nothing if it is of what the log holds."""
    if intake not in election.reconciled:
        return f"{intake} has not reconciled yet"
    said, held = election.reconciled[intake], reconcile_root(seen.passed(intake))
    return "" if said == held else f"{intake} says it passed on {said[0]} ballots, the log holds {held[0]}, or others"


def apply_close(election: Election, entry: Entry) -> None:
    """The head whose last leaf is this entry is the closing head: what trustees decrypt is bound to it."""
    election.overruled = entry.fields["overruled"]
    election.closing_root = election.head.root()
