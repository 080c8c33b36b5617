"""The key ceremony: its rounds end with a key, and every message is checked against all that went before."""

from __future__ import annotations

from typing import Any

import pytest

from audit.protocol.ceremony import RULES, Ceremony
from audit.protocol.group import G, b64
from audit.protocol.trustee import (
    finish,
    make_commit,
    make_deal,
)
from audit.protocol.trustee_messages import FIELDS
from tests.protocol.sample import MANIFEST, REHEARSAL, TRUSTEES, Trustees, blamed, by, plus_one, refused

ONE, TWO, THREE = TRUSTEES


@pytest.mark.parametrize("t", [1, 2, 3])
def test_a_ceremony_ends_with_a_key_of_which_t_shares_are_enough(t: int) -> None:
    run = Trustees(t).until("complete")
    keys = [finish(run.state, run.secrets[name]) for name in TRUSTEES]
    whole = sum(run.secrets[name].coefficients[0] for name in TRUSTEES)
    assert whole * G == run.state.Y
    assert [key.x_j * G for key in keys] == list(run.state.Y_j.values())
    assert [key.j for key in keys] == [1, 2, 3]
    assert run.state.waiting_for() == []


def test_messages_may_come_in_any_order_within_a_round() -> None:
    run = Trustees()
    for names in ((THREE, ONE, TWO), (TWO, THREE, ONE), (ONE, THREE, TWO)):
        run.round(*names)
    assert run.state.complete


def test_the_state_is_a_value() -> None:
    run = Trustees()
    before = run.state
    run.round(ONE)
    assert before == Ceremony.start(MANIFEST, TRUSTEES, 2)
    assert before != run.state


def test_who_is_waited_for() -> None:
    run = Trustees()
    run.round(ONE)
    assert run.state.waiting_for() == [f"{name} to commit (attempt 1)" for name in (TWO, THREE)]
    run.round(TWO, THREE)
    run.round(TWO)
    assert run.state.waiting_for() == [f"{name} to deal (attempt 1)" for name in (ONE, THREE)]


def test_there_is_no_key_before_all_have_confirmed() -> None:
    run = Trustees().until("checking")
    run.round(ONE, TWO)
    for early in (lambda: run.state.Y, lambda: run.state.Y_j, lambda: finish(run.state, run.secrets[ONE])):
        with refused("not-complete"):
            early()
    run.round(THREE)
    assert run.state.joint_key == run.state.Y


@pytest.mark.parametrize(
    ("manifest", "trustees", "t", "reason"),
    [
        (b"short", TRUSTEES, 2, "wrong-length"),
        (MANIFEST, (ONE, ONE), 1, "duplicate"),
        (MANIFEST, TRUSTEES, 0, "out-of-range"),
        (MANIFEST, TRUSTEES, 4, "out-of-range"),
    ],
)
def test_no_ceremony_starts_on_a_wrong_footing(manifest: bytes, trustees: tuple[str, ...], t: int, reason: str) -> None:
    with refused(reason):
        Ceremony.start(manifest, trustees, t)


BODIES: dict[str, Any] = {
    "trustee-commit": {"commitment": "", "key": ""},
    "trustee-deal": {"commitments": [], "proof": {}, "shares": {}},
    "trustee-confirm": {"key": ""},
    "trustee-complaint": {"dealer": TWO},
    "trustee-answer": {"receiver": TWO, "share": ""},
}
PHASES = ("committing", "dealing", "checking", "complete")
MISSING = [(phase, kind) for phase in PHASES for kind in FIELDS if (phase, kind) not in RULES]


@pytest.mark.parametrize(("phase", "kind"), MISSING)
def test_a_row_missing_in_the_table_is_a_refusal(phase: str, kind: str) -> None:
    run = Trustees().until(phase)
    sent = {"trustee-commit": phase != "committing", "trustee-deal": phase in ("checking", "complete")}
    sent["trustee-confirm"] = phase == "complete"
    body = by(ONE, **BODIES[kind])
    with refused("duplicate" if sent.get(kind) else "wrong-phase"):
        run.say(kind, ONE, body)


def test_a_round_is_sent_once() -> None:
    run = Trustees()
    ((kind, body),) = run.messages(ONE)
    run.say(kind, ONE, body)
    with refused("duplicate"):
        run.say(kind, ONE, body)


def test_strangers_and_other_elections_have_no_say() -> None:
    run = Trustees()
    ((kind, body),) = run.messages(ONE)
    with refused("wrong-signers"):
        run.say(kind, "stranger", body)
    with refused("another-election", "manifest"):
        run.say(kind, ONE, {**body, "manifest": b64(REHEARSAL)})
    with refused("wrong-attempt", "attempt"):
        run.say(kind, ONE, {**body, "attempt": 2})
    with blamed(TWO, "wrong-signers", "signer"):
        run.say(kind, TWO, body)
    with refused("unknown-kind"):
        run.say("ballot", ONE, body)


COMMIT = make_commit(Trustees().secrets[ONE])


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"commitment": b64(bytes(31))}, "wrong-length", "commitment"),
        ({"commitment": 1}, "wrong-type", "commitment"),
        ({"key": b64(bytes(32))}, "identity", "key"),
        ({"key": b64((2**255 - 19 + 9).to_bytes(32, "little"))}, "bad-encoding", "key"),
        ({"key": b64(b"\xff" * 32)}, "bad-encoding", "key"),
        ({"share": ""}, "unknown-field", "share"),
    ],
)
def test_commits_are_read_strictly(change: dict[str, Any], reason: str, field: str) -> None:
    with blamed(ONE, reason, field):
        Trustees().say("trustee-commit", ONE, {**COMMIT, **change})


def test_a_sealing_key_is_used_by_one_trustee_once() -> None:
    run = Trustees()
    run.round(ONE)
    with blamed(TWO, "duplicate", "key"):
        run.say("trustee-commit", TWO, {**make_commit(run.secrets[TWO]), "key": COMMIT["key"]})


def dealt() -> tuple[Trustees, dict[str, Any]]:
    run = Trustees().until("dealing")
    return run, make_deal(run.state, run.secrets[ONE], 0x5A)


@pytest.mark.parametrize(
    ("path", "new", "reason", "field"),
    [
        ("commitments", lambda A: A[:1], "wrong-length", "commitments"),
        ("commitments", lambda A: [*A, A[0]], "wrong-length", "commitments"),
        ("commitments", lambda A: A[::-1], "bad-commitment", "commitments"),
        ("commitments", lambda A: [b64(bytes(32)), A[1]], "identity", "commitments[0]"),
        ("commitments", lambda A: [A[0], b64(b"\xff" * 32)], "bad-element", "commitments[1]"),
        ("commitments", lambda A: [A[0], 5], "wrong-type", "commitments[1]"),
        ("proof", lambda proof: {**proof, "c": plus_one(proof["c"])}, "bad-proof", "proof"),
        ("proof", lambda proof: {**proof, "z": plus_one(proof["z"])}, "bad-proof", "proof"),
        ("shares", lambda shares: {TWO: shares[TWO]}, "missing-field", f"shares.{THREE}"),
        ("shares", lambda shares: {**shares, ONE: shares[TWO]}, "unknown-field", f"shares.{ONE}"),
        ("shares", lambda shares: {**shares, TWO: b64(bytes(79))}, "wrong-length", f"shares.{TWO}"),
    ],
)
def test_deals_are_checked(path: str, new: Any, reason: str, field: str) -> None:
    run, body = dealt()
    with blamed(ONE, reason, field):
        run.say("trustee-deal", ONE, {**body, path: new(body[path])})


def test_another_trustees_deal_cannot_be_taken_over() -> None:
    """Commitment and proof are bound to the dealer: a copy of another polynomial, to double it, is refused."""
    run, body = dealt()
    with blamed(TWO, "wrong-signers", "signer"):
        run.say("trustee-deal", TWO, body)
    copied = {**body, "signer": TWO, "shares": make_deal(run.state, run.secrets[TWO], 1)["shares"]}
    with blamed(TWO, "bad-commitment"):
        run.say("trustee-deal", TWO, copied)


def test_a_commit_copied_from_another_cannot_be_opened() -> None:
    run = Trustees()
    run.round(ONE)
    run.say("trustee-commit", TWO, {**make_commit(run.secrets[TWO]), "commitment": COMMIT["commitment"]})
    run.round(THREE)
    copied = make_deal(run.state, run.secrets[ONE], 1)
    mine = {ONE: copied["shares"][THREE], THREE: copied["shares"][THREE]}
    with blamed(TWO, "bad-commitment"):
        run.say("trustee-deal", TWO, {**copied, "signer": TWO, "shares": mine})
