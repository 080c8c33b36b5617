"""An entry that the log refuses, as tally keeps it: what it shows of whose fault the refusal is.

The log's refusal names it by its leaf hash, so nobody can show another in its place, and whoever holds a copy can show
it. Of a ballot's bytes its identity fixes all but the voter's signature and the intake's line. An intake puts its line
only under a ballot whose signature it has checked: where that line is true and the signature is not, the intake, or
who has its key, has spoiled the ballot, whatever its receipt says.
"""

from __future__ import annotations

from dataclasses import dataclass

from audit.protocol.ballot import Ballot, BallotContext, verify_signature
from audit.protocol.group import b64, parse_element
from audit.protocol.refused import Refused
from audit.protocol.sigma import Schnorr
from audit.record.admission import check_signatures, signer_of
from audit.record.election import check_binding
from audit.record.entries import Entry, parse_entry
from audit.record.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Kept:
    """A refused ballot, and `index`, the number of its refusal in the log. `spoiled`: why the voter's signature in it
    does not hold; None if it does. `replaced`: the number of the entry that has replaced its intake's key since.
    """

    entry: Entry
    index: int
    spoiled: Refused | None
    replaced: int | None


def read_kept(raw: bytes, identity: bytes) -> Entry:
    """The entry in a file that `psephos refused` has written. Refused as `parse_entry`; `unknown-kind` if it is no
    ballot, `another-entry` if it is not the one with this identity (32 bytes).
    """
    entry = parse_entry(raw)
    if entry.kind != "ballot":
        raise Refused("unknown-kind", f"the refused entry is no ballot, but of type {entry.kind}", "type")
    if entry.identity != identity:
        text = f"the refused entry is ballot {b64(entry.identity)}, and the claim is of {b64(identity)}"
        raise Refused("another-entry", text)
    return entry


def judge(entry: Entry, refusal: Entry, index: int, opening: Entry | None, manifest: Manifest) -> Kept:
    """What the kept ballot shows, given the refusal with its leaf hash, entry `index` of the log, and the opening
    before it, by the rules' lines both.

    Refused `another-election`; as `check_signatures` if no intake's line is under it that counted there, or
    `another-entry` if another's than the refusal names: then the log's key has refused what that intake never said;
    `not-open` if nothing was opened before it, and no signature can be checked.
    """
    check_binding(manifest.origin, manifest.hash, entry)
    check_signatures(manifest.at(index), entry)
    if signer_of(entry) != refusal.fields["intake"]:
        text = f"entry {index} refuses it as {refusal.fields['intake']} passed it on, but it is {signer_of(entry)} that"
        raise Refused("another-entry", f"{text} has signed it")
    if opening is None:
        raise Refused("not-open", f"voting was not open before entry {index}: no voter's signature can be checked")
    (line,) = entry.signatures
    replaced = (rekey.index for rekey in manifest.rekeys if line.key_id in {key.key_id for key in rekey.old})
    return Kept(entry, index, spoiled_by(entry, opening, manifest), next(replaced, None))


def spoiled_by(entry: Entry, opening: Entry, manifest: Manifest) -> Refused | None:
    """Why the ballot is not signed by its pseudonym, None if it is, by the key and the roll that the opening names."""
    body = entry.body
    roll = opening.fields["rolls"].get(entry.fields["roll"])
    try:
        P = parse_element(entry.fields["pseudonym"], identity_ok=False)
    except Refused:
        P = None
    if roll is None or P is None:
        # Both are part of the identity: no intake can have changed them on the way.
        return None
    key, generator, hash_ = opening.fields["key"], roll["generator"], roll["hash"]
    context = BallotContext(manifest.hash, manifest.origin, key, entry.fields["roll"], hash_, generator, ())
    try:
        signature = Schnorr.from_json(body["signature"], "signature")
        ballot = Ballot(P, entry.fields["revision"], (), signature)
        verify_signature(context, ballot, body)
    except Refused as refusal:
        return refusal
    return None
