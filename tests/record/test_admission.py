"""Admission row by row: what the table allows is done once by a simulated election, all else is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from audit.log.keys import Signer
from audit.protocol.group import G, b64
from audit.protocol.refused import Refused
from audit.record.admission import PHASES, RULES, rule_for
from audit.record.bodies import BODIES
from audit.record.entries import Entry, parse_entry
from tests.simulator.ceremonies import with_complaint
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.parties import Parties
from tests.simulator.rekeys import rekey

H = b64(bytes(32))
PROOF = {"c": H, "z": H}
SNAPPED = {"accounts": 3, "id": "common", "shares": 735, "treasury": 0, "votes": 735, "voting": 3}

UNTIL: dict[str, Callable[[Meeting], Any]] = {
    "none": lambda m: m,
    "noticed": lambda m: m.found().ceremony().rolls(),
    "open": lambda m: m.prepared(),
    "closing": lambda m: m.prepared().closing(),
    "closed": lambda m: m.prepared().closing().reconcile().close(),
    "certified": lambda m: m.prepared().counted(),
}

FIELDS: dict[str, dict[str, Any]] = {
    "trustee-commit": {"attempt": 1, "commitment": H, "key": H, "signer": "trustee-1"},
    "trustee-deal": {"attempt": 1, "commitments": [H], "proof": PROOF, "shares": {}, "signer": "trustee-1"},
    "trustee-confirm": {"attempt": 1, "key": H, "signer": "trustee-1"},
    "trustee-complaint": {"attempt": 1, "dealer": "trustee-2", "signer": "trustee-1"},
    "trustee-answer": {"attempt": 1, "receiver": "trustee-2", "share": H, "signer": "trustee-1"},
    "roll": {
        "class": "common",
        "first": 0,
        "part": {"hash": H, "index": 0, "of": 1},
        "revision": 0,
        "rows": [{"K": H, "proof": PROOF}],
    },
    "roll-signed": {"class": "common", "hash": H, "signer": "issuer-2"},
    "mix": {
        "attempt": 0,
        "before": H,
        "class": "common",
        "first": 0,
        "generator": H,
        "part": {"hash": H, "index": 0, "of": 1},
        "proof": dict.fromkeys(("challenge", "s1", "s2", "s3", "s4", "s5"), H),
        "rows": [{"E": [H, H], "K": b64(G.raw), "c": H, "c_hat": H, "s_hat": H, "s_prime": H}],
        "signer": "mixer-1",
    },
    "open": {"key": H, "rolls": {"common": {"generator": H, "hash": H, "revision": 0, "rows": 1}}, "size": 1},
    "ballot": {"contests": {}, "pseudonym": H, "revision": 0, "roll": "common", "signature": PROOF},
    "closing": {"size": 1},
    "reconcile": {"count": 0, "root": H, "signer": "intake-1"},
    "close": {"overruled": [], "size": 1},
    "decrypt": {"closing": H, "contests": {}, "present": {}, "signer": "trustee-1"},
    "certify": {"result": {}},
    "refusal": {"detail": "", "identity": H, "intake": "intake-1", "kind": "ballot", "leaf": H, "reason": "closed"},
    "notice": {"subject": "incident", "text": "The lights went out."},
    "snapshot": {"classes": [SNAPPED], "record_date": "2026-04-01", "register": H, "signer": "trustee-1"},
    "receipt": {"deadline": 1, "identity": H, "kind": "ballot", "leaf": H},
    "rekey": {
        "kind": "intake",
        "name": "intake-1",
        "new": [Dice(11).signers("intake-1")[0].vkey],
        "old": [Dice(12).signers("intake-1")[0].vkey],
    },
    "restart": {"least": 1, "until": 1, "without": ["custodian-a"]},
}
SIGNER = {"roll": "issuer-1", "roll-signed": "issuer-2", "refusal": "log"}
SIGNER |= {"ballot": "intake-1", "reconcile": "intake-1", "mix": "mixer-1"}


def with_mixers() -> Meeting:
    return Meeting(parties=Parties.drawn(Dice(5), mixers=2))


def named(meeting: Meeting, name: str) -> Signer:
    parties = meeting.parties
    everybody = [
        *parties.officials,
        *parties.trustees,
        *parties.issuers,
        *parties.inspectors,
        *parties.mixers,
        *parties.intakes,
        parties.log[0],
    ]
    return next(signer for signer in everybody if signer.name == name)


def signers_of(meeting: Meeting, kind: str) -> list[Signer]:
    """Those whose lines an entry of this kind should bear."""
    if kind in ("manifest", "open", "closing", "close", "certify", "notice", "rekey"):
        return list(meeting.parties.officials[:2])
    return [named(meeting, SIGNER.get(kind, "trustee-1"))]


def specimen(meeting: Meeting, kind: str) -> Entry:
    """A well-formed entry of this kind for this election, signed as its rule demands; it may mean nothing."""
    if kind == "manifest":
        return parse_entry(meeting.signed("manifest", meeting.body, *signers_of(meeting, kind)))
    bound = meeting.hash if meeting.election.phase != "none" else H
    return parse_entry(meeting.signed(kind, {"manifest": bound, **FIELDS[kind]}, *signers_of(meeting, kind)))


@pytest.fixture(scope="module", params=PHASES)
def in_phase(request: pytest.FixtureRequest) -> Meeting:
    meeting = with_mixers()
    UNTIL[request.param](meeting)
    assert meeting.election.phase == request.param
    return meeting


def test_every_kind_has_a_specimen() -> None:
    assert set(FIELDS) | {"manifest"} == set(BODIES)


@pytest.mark.parametrize("kind", sorted(BODIES))
def test_missing_row_is_refused(in_phase: Meeting, kind: str) -> None:
    phase = in_phase.election.phase
    if (phase, kind) in RULES:
        rule_for(phase, kind)
        return
    expected = "wrong-phase"
    if kind == "ballot":
        expected = "not-open" if phase in ("none", "noticed") else "closed"
    with pytest.raises(Refused) as refused:
        in_phase.election.admit(specimen(in_phase, kind), in_phase.seen)
    assert (refused.value.reason, refused.value.field) == (expected, "type")
    with pytest.raises(Refused):
        in_phase.election.take(specimen(in_phase, kind), in_phase.seen)
    with pytest.raises(Refused):
        in_phase.election.apply_recorded(specimen(in_phase, kind))


def refuse(meeting: Meeting, number: int) -> None:
    """And the officials say so, though they need not, and replace the key of an intake."""
    meeting.resolve("notice", subject="incident", text=f"Refused for the {number}. time.")
    body = {**FIELDS["refusal"], "identity": b64(bytes([number]) * 32)}
    meeting.act("refusal", body, meeting.parties.log[0])
    rekey(meeting, "intake", "intake-2", Dice(100 + number).signers("intake-2"))


def test_every_row_is_used_by_a_simulated_election(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: set[tuple[str, str]] = set()
    add = Meeting.add

    def noting(meeting: Meeting, raw: bytes) -> Entry:
        phase = meeting.election.phase
        entry = add(meeting, raw)
        rows.add((phase, entry.kind))
        return entry

    monkeypatch.setattr(Meeting, "add", noting)
    meeting = with_mixers()
    with_complaint(meeting.found())
    meeting.rolls().mix()
    refuse(meeting, 1)
    meeting.open()
    refuse(meeting, 2)
    for account in meeting.accounts[:2]:
        meeting.vote(account, {"nominee-1": (1, 0, 0)})
    meeting.closing()
    meeting.vote(meeting.accounts[2], {"nominee-1": (0, 1, 0)})
    refuse(meeting, 3)
    meeting.reconcile().close()
    refuse(meeting, 4)
    meeting.decrypt().certify()
    refuse(meeting, 5)
    assert rows == set(RULES)
    assert meeting.election.result is not None
    assert meeting.election.result["contests"] == {"nominee-1": {"for": 35, "against": 700, "abstain": 0}}


KINDS_ADMITTED = sorted({kind for _, kind in RULES})


@pytest.fixture(scope="module")
def noticed() -> Meeting:
    return with_mixers().found()


def lines_refused(meeting: Meeting, entry: Entry, reason: str) -> Refused:
    with pytest.raises(Refused) as refused:
        meeting.election.check_signed(entry)
    assert refused.value.reason == reason
    return refused.value


@pytest.mark.parametrize("kind", KINDS_ADMITTED)
def test_the_right_signers_pass(noticed: Meeting, kind: str) -> None:
    noticed.election.check_signed(specimen(noticed, kind))


@pytest.mark.parametrize("kind", KINDS_ADMITTED)
def test_another_office_does_not_sign(noticed: Meeting, kind: str) -> None:
    right = {signer.name.split("-")[0] for signer in signers_of(noticed, kind)}
    offices = ["chair", "trustee-1", "issuer-1", "inspector", "mixer-1", "intake-1", "log"]
    if right & {"chair"}:
        right = {"chair"}
    witnesses = {"issuer", "inspector"} if kind == "roll-signed" else set()
    for name in offices:
        if name.split("-")[0] in right | witnesses and not (kind == "roll-signed" and name == "issuer-1"):
            continue
        entry = specimen(noticed, kind)
        raw = noticed.signed(kind, entry.body, named(noticed, name))
        lines_refused(noticed, parse_entry(raw), "wrong-signers")


@pytest.mark.parametrize("kind", KINDS_ADMITTED)
def test_too_many_signers(noticed: Meeting, kind: str) -> None:
    right = signers_of(noticed, kind)
    surplus = named(noticed, "intake-2" if kind in ("ballot", "reconcile") else "trustee-2")
    raw = noticed.signed(kind, specimen(noticed, kind).body, *right, surplus)
    lines_refused(noticed, parse_entry(raw), "wrong-signers")


@pytest.mark.parametrize("kind", ["manifest", "open", "closing", "close", "certify"])
def test_one_official_is_no_quorum(noticed: Meeting, kind: str) -> None:
    raw = noticed.signed(kind, specimen(noticed, kind).body, noticed.parties.officials[0])
    refusal = lines_refused(noticed, parse_entry(raw), "wrong-signers")
    assert "2 of the 3 officials" in refusal.detail


@pytest.mark.parametrize("kind", KINDS_ADMITTED)
def test_a_false_line_is_refused(noticed: Meeting, kind: str) -> None:
    entry = specimen(noticed, kind)
    line = entry.signatures[-1]
    false = replace(line, sig=bytes([line.sig[0] ^ 1]) + line.sig[1:])
    lines_refused(noticed, replace(entry, signatures=(*entry.signatures[:-1], false)), "bad-signature")


@pytest.mark.parametrize("kind", KINDS_ADMITTED)
def test_an_unsigned_entry_is_refused(noticed: Meeting, kind: str) -> None:
    lines_refused(noticed, replace(specimen(noticed, kind), signatures=()), "wrong-signers")


@pytest.mark.parametrize("kind", [k for k in KINDS_ADMITTED if "signer" in FIELDS.get(k, {})])
def test_who_signs_is_who_is_named(noticed: Meeting, kind: str) -> None:
    body = {**specimen(noticed, kind).body, "signer": "somebody"}
    raw = noticed.signed(kind, body, *signers_of(noticed, kind))
    assert lines_refused(noticed, parse_entry(raw), "wrong-signers").field == "signer"


@pytest.mark.parametrize("kind", sorted(set(KINDS_ADMITTED) - {"manifest"}))
def test_an_entry_of_another_election_is_refused(noticed: Meeting, kind: str) -> None:
    other = Meeting(seed=2, parties=noticed.parties).found()
    refusal = lines_refused(noticed, specimen(other, kind), "another-election")
    assert refusal.field == "manifest"


@pytest.mark.parametrize("kind", sorted(set(KINDS_ADMITTED) - {"manifest"}))
def test_an_entry_of_another_origin_is_refused(noticed: Meeting, kind: str) -> None:
    entry = replace(specimen(noticed, kind), origin="vote.example/other")
    assert lines_refused(noticed, entry, "another-election").field == "origin"


def test_a_receipt_is_never_admitted(noticed: Meeting) -> None:
    lines_refused(noticed, specimen(noticed, "receipt"), "wrong-phase")
