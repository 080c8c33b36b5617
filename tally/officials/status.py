"""Where an election stands, as its log tells it, and who has to act next."""

from __future__ import annotations

from typing import Any

from audit.protocol.refused import Refused
from audit.record.election import Election
from audit.record.mixing import next_mixer, unsigned_by


def status(election: Election) -> dict[str, Any]:
    """Phase, entries, ballots and refusals in the log, and `waiting_for`: sentences that say whose turn it is."""
    return {
        "ballots": election.ballots,
        "entries": election.size,
        "phase": election.phase,
        "refusals": election.refusals,
        "waiting_for": waiting_for(election),
    }


def waiting_for(election: Election) -> list[str]:
    """Whose turn it is, one sentence each."""
    if election.phase == "none":
        return ["the officials to submit the manifest"]
    if election.phase == "noticed":
        return setting_up(election) or ["the officials to open"]
    if election.phase == "open":
        return ["voters, and the officials to announce the closing"]
    if election.phase == "closing":
        missing = [key.name for key in election.manifest.intakes if key.name not in election.reconciled]
        return [f"{name} to reconcile" for name in missing] or ["the officials to close"]
    if election.phase == "closed":
        needed = election.manifest.trustees.threshold - len(election.shares)
        return [f"{needed} more trustees to decrypt"] if needed > 0 else ["the officials to certify"]
    return []


def setting_up(election: Election) -> list[str]:
    """What is missing before the vote can open."""
    missing = election.ceremony.waiting_for()
    for share_class in election.manifest.classes:
        try:
            roll = election.roll(share_class.id)
        except Refused:
            missing.append(f"the issuers to publish the roll of {share_class.id}")
            continue
        missing += [f"{name} to sign the roll of {share_class.id}" for name in unsigned_by(election, share_class.id)]
        due = next_mixer(election.manifest, roll)
        if due is not None:
            missing.append(f"{due} to mix the roll of {share_class.id}")
    return missing
