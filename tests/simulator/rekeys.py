"""Keys replaced during a simulated meeting: who replaces them, and everybody who goes on with the new ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from audit.log.keys import Signer
from audit.record.entries import Entry
from tests.simulator.meeting import Meeting


def rekey(meeting: Meeting, office: str, name: str, new: Sequence[Signer]) -> Entry:
    """The officials replace the keys of `name` by these, of another name too, if they carry one."""
    entry = meeting.add(rekeying(meeting, office, name, new))
    take_over(meeting, office, name, new)
    return entry


def rekeying(meeting: Meeting, office: str, name: str, new: Sequence[Signer], old: Sequence[Signer] = ()) -> bytes:
    """The entry, signed by two officials; `old` are the keys that count now, unless they are given."""
    body = {
        "kind": office,
        "manifest": meeting.hash,
        "name": name,
        "new": [signer.vkey for signer in new],
        "old": [signer.vkey for signer in old or holding(meeting, office, name)],
    }
    other = {"to": new[0].name} if new[0].name != name else {}
    return meeting.signed("rekey", body | other, *meeting.parties.officials[:2])


def holding(meeting: Meeting, office: str, name: str) -> tuple[Signer, ...]:
    """The keys by which one acts."""
    parties = meeting.parties
    if office == "log":
        return parties.log
    held = parties.custodians if office == "custodian" else tuple((key,) for key in parties.intakes)
    return next(keys for keys in held if keys[0].name == name)


def take_over(meeting: Meeting, office: str, name: str, new: Sequence[Signer]) -> None:
    """From now on these act for `name`."""
    parties, keys = meeting.parties, tuple(new)
    if office == "log":
        meeting.parties = replace(parties, log=keys)
    elif office == "custodian":
        custodians = tuple(keys if one[0].name == name else one for one in parties.custodians)
        meeting.parties = replace(parties, custodians=custodians)
    else:
        (key,) = keys
        intakes = tuple(key if one.name == name else one for one in parties.intakes)
        meeting.parties = replace(parties, intakes=intakes)
        meeting.intake = key if meeting.intake.name == name else meeting.intake
