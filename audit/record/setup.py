"""Before the vote: the manifest, the trustees' key ceremony, the rolls, and the opening that all of it must precede."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from audit.protocol.elgamal import Ciphertext
from audit.protocol.group import Element, scalar_from
from audit.protocol.refused import Refused
from audit.protocol.roll import Half, verify_half
from audit.protocol.threshold import Ceremony
from audit.protocol.transcript import Context
from audit.record import mixing, voting
from audit.record.admission import signer_of
from audit.record.entries import Entry
from audit.record.manifest import Manifest, parse_manifest
from audit.record.opening import check_opening
from audit.record.rolls import Roll, RollAssembly
from audit.record.seen import Seen

if TYPE_CHECKING:
    from audit.record.election import Election


def apply_manifest(election: Election, entry: Entry) -> None:
    manifest = parse_manifest(entry)
    election._manifest = manifest
    election._ceremony = Ceremony.start(manifest.hash, manifest.trustees.names, manifest.trustees.threshold)
    issuers = tuple(key.name for key in manifest.issuers)
    election.assemblies = {c.id: RollAssembly(c.id, issuers) for c in manifest.classes}


def admit_ceremony(election: Election, entry: Entry, seen: Seen) -> None:
    election.ceremony.step(entry.kind, signer_of(entry), entry.body)


def apply_ceremony(election: Election, entry: Entry) -> None:
    election._ceremony = election.ceremony.step(entry.kind, signer_of(entry), entry.body)


def check_rows(manifest: Manifest, Y: Element, entry: Entry) -> None:
    """Verifies the Schnorr proof of every half in a chunk: one who does not know s_ik cannot publish K_ik (no rogue
    halves). What else is encoded in it is decoded, so that no other chunk is ever refused for it.
    """
    context, issuer = Context(manifest.hash, Y), signer_of(entry)
    roll, revision = entry.body["class"], entry.body["revision"]
    k = [key.name for key in manifest.issuers].index(issuer)
    if "total" in entry.body:
        try:
            scalar_from(entry.body["total"])
        except Refused as refusal:
            raise Refused(refusal.reason, f"{issuer}: {refusal.detail}", "total") from None
    for i, row in enumerate(entry.body["rows"]):
        half = Half.from_json(row, f"rows[{i}]")
        if "E" in row:
            Ciphertext.from_json(row["E"], f"rows[{i}].E")
        try:
            verify_half(context, roll, revision, entry.body["first"] + i, k, half)
        except Refused as refusal:
            raise Refused(refusal.reason, f"{issuer}: {refusal.detail}", f"rows[{i}].{refusal.field}") from None


def admit_roll(election: Election, entry: Entry, seen: Seen) -> None:
    """A chunk joins its whole; an issuer's last one is admitted only if all that this issuer has published then holds,
    and the last of all only if the whole roll does.
    """
    assembly_for(election, signer_of(entry), entry.body).check(signer_of(entry), entry.body)
    look_ahead(election, entry)


def assembly_for(election: Election, issuer: str, body: dict[str, Any]) -> RollAssembly:
    """Where this chunk belongs: the roll that is being published, or the next revision of one that is complete, or of
    one that can no longer be.

    Of a whole that has been begun no chunk can be taken back. So an issuer who has published a wrong one begins the
    next revision, in which all issuers publish again; one who has published nothing yet cannot.
    """
    share_class, roll = body["class"], election.rolls.get(body["class"])
    if roll is not None:
        if body["revision"] != roll.revision + 1:
            text = f"the roll of {share_class} is complete with revision {roll.revision}"
            raise Refused("duplicate", text, "class")
        mixing.expect_unmixed(election, share_class)
        issuers = tuple(key.name for key in election.manifest.issuers)
        return RollAssembly(share_class, issuers, roll.revision + 1, len(roll.rows))
    if share_class not in election.assemblies:
        raise Refused("unknown-roll", f"there is no class {share_class[:60]} in the manifest", "class")
    begun = election.assemblies[share_class]
    if body["revision"] == begun.revision + 1 and begun.begun_by(issuer):
        return begun.anew()
    return begun


def apply_roll(election: Election, entry: Entry) -> None:
    """The first chunk of a reissue takes the former roll away, with all signatures on it: nothing opens on it any more.
    """
    share_class = entry.body["class"]
    election.assemblies[share_class], roll = look_ahead(election, entry)
    if election.rolls.pop(share_class, None) is not None:
        election._checker = None
        election.roll_signatures = {signed for signed in election.roll_signatures if signed[0] != share_class}
    if roll is not None:
        election.rolls[share_class] = roll
        del election.assemblies[share_class]


def look_ahead(election: Election, entry: Entry) -> tuple[RollAssembly, Roll | None]:
    """What this chunk would lead to. Joining a large roll is long work, so that of the last chunk looked at is kept."""
    if election.ahead is None or election.ahead[0] != entry.identity:
        share_class = entry.body["class"]
        issuer = signer_of(entry)
        assembly = assembly_for(election, issuer, entry.body).completed_by(issuer, entry.body)
        if assembly.halves[issuer].complete:
            assembly.check_whole(issuer, election.context, votes_of(election.manifest, share_class))
        roll = assembly.join() if assembly.complete else None
        if roll is not None:
            refuse_shared_keys(roll, [other for name, other in election.rolls.items() if name != share_class])
        election.ahead = (entry.identity, assembly, roll)
    return election.ahead[1], election.ahead[2]


def refuse_shared_keys(roll: Roll, others: Iterable[Roll]) -> None:
    """One pseudonym, one row of one roll: revisions are counted under the pseudonym alone."""
    for other in others:
        if not roll.rows.keys().isdisjoint(other.rows):
            raise Refused("duplicate", f"a key of this roll stands on the roll of {other.share_class} too", "rows")


def votes_of(manifest: Manifest, share_class: str) -> int:
    return next(c.votes for c in manifest.classes if c.id == share_class)


def admit_roll_signed(election: Election, entry: Entry, seen: Seen) -> None:
    """An issuer or inspector signs the roll as published, after recomputing it from its own register."""
    roll = election.roll(entry.body["class"])
    if entry.fields["hash"] != roll.issued:
        raise Refused("another-roll", "the roll in the log has another hash than the one signed here", "hash")
    if (roll.share_class, signer_of(entry)) in election.roll_signatures:
        raise Refused("duplicate", f"{signer_of(entry)} has signed this roll already")


def apply_roll_signed(election: Election, entry: Entry) -> None:
    election.roll_signatures.add((entry.body["class"], signer_of(entry)))


def admit_open(election: Election, entry: Entry, seen: Seen) -> None:
    """Voting opens on a complete key and complete, countersigned rolls, each mixed by every mixer, and says which."""
    _ = election.Y
    for share_class in election.manifest.classes:
        election.roll(share_class.id)
        mixing.expect_signed(election, share_class.id)
        election.anonymous_roll(share_class.id)
    voting.expect_current(election, entry)
    check_opening(election, entry.body)
