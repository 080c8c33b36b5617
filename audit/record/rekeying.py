"""Keys that change while an election runs: a service's is rotated, or a custodian is replaced, by an entry that the
officials' quorum has signed.

From the entry on the new keys count, and for what stands before it the old ones still do: `Manifest.at` says which. A
key or a name that was ever used in the election is never taken again, so a rekey that is replayed, or an old key that
comes back, is refused by what the log holds already. The old keys sign nothing here: one that is lost, or in strange
hands, must be replaceable without it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from audit.log.keys import Verifier
from audit.protocol.refused import Refused
from audit.record.entries import Entry
from audit.record.manifest import Manifest, Rekey, entry_keys, keys_of, log_keys, signers
from audit.record.seen import Seen

if TYPE_CHECKING:
    from audit.record.election import Election

KIND = "rekey"
WHOSE = {"intake": "an intake", "log": "the log", "custodian": "a custodian"}


def admit_rekey(election: Election, entry: Entry, seen: Seen) -> None:
    rekeyed(election.manifest, entry, election.size)


def apply_rekey(election: Election, entry: Entry) -> None:
    election.rekey(rekeyed(election.manifest, entry, election.size - 1))


def rekeyed(manifest: Manifest, entry: Entry, index: int) -> Manifest:
    """The manifest with the keys that count from a rekey on, which is entry `index`; its signatures are checked by
    `check_signatures`.

    Refused `unknown-key` for who is not in that office, or a key of the wrong kind; `wrong-key` if the old keys are not
    those that count; `duplicate` for a key or a name that is, or was, used in this election; `wrong-signers` for a key
    of another name.
    """
    rekey = parse_rekey(manifest, entry, index)
    check_unused(manifest, rekey)
    changes = {"intake": _with_intake, "log": _with_log, "custodian": _with_custodian}
    try:
        changed = changes[rekey.office](manifest, rekey)
    except Refused as refusal:
        raise refusal.at("new") from None
    return replace(changed, before=manifest, rekey=rekey)


def parse_rekey(manifest: Manifest, entry: Entry, index: int) -> Rekey:
    """What the entry says, its keys parsed; refuses old keys that do not count, and new ones of another name."""
    fields = entry.fields
    office, name = fields["kind"], fields["name"]
    to = fields.get("to", name)
    counting = holders(manifest, office).get(name)
    if counting is None:
        raise Refused("unknown-key", f"{name} is not the name of {WHOSE[office]} of this election", "name")
    if fields["old"] != tuple(key.vkey for key in counting):
        raise Refused("wrong-key", f"these are not the keys by which {name} counts now", "old")
    if "to" in fields and (office != "custodian" or to == name):
        raise Refused("unknown-field", "only a custodian that is replaced by another one takes another name", "to")
    new = new_keys(office, fields["new"])
    if any(key.name != to for key in new):
        raise Refused("wrong-signers", f"the new keys carry the name {to}", "new")
    return Rekey(index, office, name, to, counting, new, entry.raw)


def holders(manifest: Manifest, office: str) -> dict[str, tuple[Verifier, ...]]:
    """The keys that count now of those in this office, by name."""
    if office == "intake":
        return {key.name: (key,) for key in manifest.intakes}
    if office == "log":
        return {manifest.log_key.name: manifest.log.log}
    return dict(manifest.log.custodians)


def new_keys(office: str, vkeys: tuple[str, ...]) -> tuple[Verifier, ...]:
    if office == "log":
        return log_keys(vkeys, "new")
    keys = entry_keys(vkeys, "new") if office == "intake" else keys_of(vkeys, "new")
    if office == "intake" and len(keys) != 1:
        raise Refused("wrong-length", "an intake has one key", "new")
    return keys


def check_unused(manifest: Manifest, rekey: Rekey) -> None:
    """Neither a new key nor a new name is, or was, used in this election: else one could count as two, or what is over
    could come again.
    """
    used = {key.public: key.name for past in manifest.history for _, key in signers(past)}
    for key in rekey.new:
        if key.public in used:
            raise Refused("duplicate", f"{used[key.public]} has, or had, this key", "new")
    if rekey.to != rekey.name and rekey.to in used.values():
        raise Refused("duplicate", f"{rekey.to} is, or was, a name in this election", "to")


def _with_intake(manifest: Manifest, rekey: Rekey) -> Manifest:
    (new,) = rekey.new
    return replace(manifest, intakes=tuple(new if key.name == rekey.name else key for key in manifest.intakes))


def _with_log(manifest: Manifest, rekey: Rekey) -> Manifest:
    return replace(manifest, log=replace(manifest.log, log=rekey.new))


def _with_custodian(manifest: Manifest, rekey: Rekey) -> Manifest:
    # In the place of the one that is replaced, for the lines of a checkpoint stand in this order.
    standing = manifest.log.custodians
    custodians = tuple((rekey.to, rekey.new) if one[0] == rekey.name else one for one in standing)
    return replace(manifest, log=replace(manifest.log, custodians=custodians))
