"""Admission as a table: (phase, kind) -> who must sign, and the phase that follows. A missing row is a refusal.

Only entries change the phase; the manifest's times are announcements. What else an entry of a kind requires is checked
by the function of that kind in `setup`, `voting` and `outcome`.
"""

from __future__ import annotations

from dataclasses import dataclass

from audit.log.keys import Verifier
from audit.protocol.refused import Refused
from audit.record.bodies import NOTICES
from audit.record.entries import Entry, check_lines
from audit.record.manifest import Manifest, check_quorum

PHASES = ("none", "noticed", "open", "closing", "closed", "certified")


@dataclass(frozen=True)
class Rule:
    """Whose signature lines an entry bears: a quorum of the officials, or exactly one holder of the office named. Who
    signs a notice depends on its subject, which `bodies.NOTICES` says.
    """

    signed_by: str
    then: str | None = None


RULES: dict[tuple[str, str], Rule] = {
    ("none", "manifest"): Rule("officials", then="noticed"),
    ("noticed", "trustee-commit"): Rule("trustee"),
    ("noticed", "trustee-deal"): Rule("trustee"),
    ("noticed", "trustee-confirm"): Rule("trustee"),
    ("noticed", "trustee-complaint"): Rule("trustee"),
    ("noticed", "trustee-answer"): Rule("trustee"),
    ("noticed", "roll"): Rule("issuer"),
    ("noticed", "roll-signed"): Rule("witness"),
    ("noticed", "mix"): Rule("mixer"),
    ("noticed", "open"): Rule("officials", then="open"),
    ("open", "ballot"): Rule("intake"),
    ("open", "closing"): Rule("officials", then="closing"),
    ("closing", "ballot"): Rule("intake"),
    ("closing", "reconcile"): Rule("intake"),
    ("closing", "close"): Rule("officials", then="closed"),
    ("closed", "decrypt"): Rule("trustee"),
    ("closed", "certify"): Rule("officials", then="certified"),
    ("noticed", "notice"): Rule("its subject"),
    ("open", "notice"): Rule("its subject"),
    ("closing", "notice"): Rule("its subject"),
    ("closed", "notice"): Rule("its subject"),
    ("certified", "notice"): Rule("its subject"),
    ("noticed", "rekey"): Rule("officials"),
    ("open", "rekey"): Rule("officials"),
    ("closing", "rekey"): Rule("officials"),
    ("closed", "rekey"): Rule("officials"),
    ("certified", "rekey"): Rule("officials"),
    ("noticed", "refusal"): Rule("log"),
    ("open", "refusal"): Rule("log"),
    ("closing", "refusal"): Rule("log"),
    ("closed", "refusal"): Rule("log"),
    ("certified", "refusal"): Rule("log"),
}

SIGNED_BY = {kind: rule.signed_by for (_, kind), rule in RULES.items()}


def rule_for(phase: str, kind: str) -> Rule:
    """The row of the table; refuses with the reason why there is none."""
    rule = RULES.get((phase, kind))
    if rule is not None:
        return rule
    phases = [p for p in PHASES if (p, kind) in RULES]
    if not phases:
        raise Refused("wrong-phase", f"an entry of type {kind} is never admitted to the log", "type")
    if kind == "ballot":
        early = PHASES.index(phase) < PHASES.index("open")
        reason = "not-open" if early else "closed"
        detail = "voting is not open yet" if early else "voting is closed: this ballot came too late"
        raise Refused(reason, detail, "type")
    when = " or ".join(phases)
    raise Refused("wrong-phase", f"{kind} is admitted while the election is {when}; it is {phase} now", "type")


def check_signatures(manifest: Manifest, entry: Entry) -> None:
    """Refuses an entry that does not bear exactly the lines its rule demands, each true."""
    office = SIGNED_BY.get(entry.kind)
    if office is None:
        raise Refused("wrong-phase", f"an entry of type {entry.kind} is never admitted to the log", "type")
    if entry.kind == "notice":
        office = NOTICES[entry.fields["subject"]]
    if office == "officials":
        check_quorum(manifest.officials, entry)
    else:
        check_lines(entry, keys_of_office(manifest, office), 1, 1, f"exactly one {office}")
        if entry.fields.get("signer", signer_of(entry)) != signer_of(entry):
            raise Refused("wrong-signers", f"{signer_of(entry)} has signed what names another as its signer", "signer")


def keys_of_office(manifest: Manifest, office: str) -> tuple[Verifier, ...]:
    """The keys of which each may sign alone in this office."""
    return {
        "trustee": manifest.trustees.keys,
        "issuer": manifest.issuers,
        "witness": manifest.issuers[1:] + manifest.inspectors,
        "mixer": manifest.mixers,
        "intake": manifest.intakes,
        "log": (manifest.log_key,),
    }[office]


def signer_of(entry: Entry) -> str:
    """The name of the one who signed an entry that exactly one signs."""
    return entry.signatures[0].name
