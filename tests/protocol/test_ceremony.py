"""The key ceremony: it ends with a key, a cheating dealer is named, an honest one framed by a complaint is cleared."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import pytest

from audit.protocol.ceremony import RULES, Ceremony
from audit.protocol.group import G, b64, scalar_bytes
from audit.protocol.polynomial import commit, evaluate
from audit.protocol.refused import Refused, TrusteeFault
from audit.protocol.trustee import (
    CeremonySecret,
    KeyShare,
    check_deals,
    finish,
    make_answer,
    make_commit,
    make_complaint,
    make_confirm,
    make_deal,
    new_secret,
)
from audit.protocol.trustee_messages import FIELDS, Commit
from tests.protocol.sample import MANIFEST, REHEARSAL, TRUSTEES, Trustees, plus_one, refused

ONE, TWO, THREE = TRUSTEES


def by(trustee: str, **fields: Any) -> dict[str, Any]:
    """The body of a message by this trustee in the first attempt."""
    return {"manifest": b64(MANIFEST), "attempt": 1, "signer": trustee, **fields}


def blamed(trustee: str, reason: str, field: str | None = None) -> Any:
    """Expects a fault of exactly this trustee."""

    class Blamed:
        def __enter__(self) -> None:
            pass

        def __exit__(self, kind: object, error: object, trace: object) -> bool:
            assert isinstance(error, TrusteeFault), error
            assert (error.trustee, error.reason) == (trustee, reason), str(error)
            assert field is None or error.field == field
            assert trustee in error.detail
            return True

    return Blamed()


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


class Cheating(Trustees):
    """Trustee 1 seals to trustee 2 a share that is not f_1(2); everything else it does by the rules."""

    def __init__(self, t: int = 2) -> None:
        super().__init__(t)
        self.until("dealing")
        true = self.secrets[ONE]
        other = replace(true, coefficients=tuple(a + 1 for a in true.coefficients))
        bare = replace(self.state, commits={name: c for name, c in self.state.commits.items() if name != ONE})
        # Sealed from other coefficients, put into the true deal.
        false = make_deal(replace(bare, commits={**bare.commits, ONE: _commit_of(other)}), other, 1)
        body = make_deal(self.state, true, 0x5A)
        self.say("trustee-deal", ONE, {**body, "shares": {**body["shares"], TWO: false["shares"][TWO]}})
        self.round(TWO, THREE)


def _commit_of(secret: CeremonySecret) -> Any:
    return Commit.from_json({name: make_commit(secret)[name] for name in ("commitment", "key")})


def test_a_cheating_dealer_is_found_out_and_named() -> None:
    run = Cheating()
    assert check_deals(run.state, run.secrets[TWO]) == [ONE]
    assert check_deals(run.state, run.secrets[THREE]) == []
    with refused("trustee-fault"):
        make_confirm(run.state, run.secrets[TWO])
    ((kind, body),) = run.messages(TWO)
    assert (kind, body["dealer"]) == ("trustee-complaint", ONE)
    run.say(kind, TWO, body)
    assert f"{ONE} to answer the complaint of {TWO}" in run.state.waiting_for()


def test_a_dealer_that_publishes_a_wrong_share_is_out_and_the_others_start_again() -> None:
    run = Cheating()
    run.round(TWO)
    wrong = evaluate(run.secrets[ONE].coefficients, 2) + 1
    answer = by(ONE, receiver=TWO, share=b64(scalar_bytes(wrong)))
    run.say("trustee-answer", ONE, answer)
    assert run.state.faulty == (ONE,)
    assert run.state.attempt == 2 and run.state.phase == "committing"
    assert "trustee-1 is out" in str(run.state.verdicts[0])
    with refused("wrong-signers"):
        run.say("trustee-commit", ONE, COMMIT)
    run.draw_secrets()
    run.until("complete")
    assert list(run.state.Y_j) == [TWO, THREE]
    assert run.state.index(THREE) == 3
    keys = [finish(run.state, run.secrets[name]) for name in (TWO, THREE)]
    assert [key.x_j * G for key in keys] == list(run.state.Y_j.values())


def test_a_dealer_that_publishes_the_true_share_is_cleared_and_the_ceremony_goes_on() -> None:
    run = Cheating()
    run.round(TWO)
    run.round(ONE)
    assert run.state.faulty == () and run.state.attempt == 1
    assert "cleared" in str(run.state.verdicts[0])
    run.until("complete")
    assert finish(run.state, run.secrets[TWO]).x_j * G == run.state.Y_j[TWO]


def test_an_honest_dealer_framed_by_a_complaint_is_cleared() -> None:
    run = Trustees().until("checking")
    frame = by(TWO, dealer=ONE)
    with refused("wrong-dealer"):
        make_complaint(run.state, run.secrets[TWO], ONE)
    run.say("trustee-complaint", TWO, frame)
    run.round(ONE)
    (verdict,) = run.state.verdicts
    assert verdict.cleared and (verdict.dealer, verdict.receiver) == (ONE, TWO)
    assert run.state.faulty == ()
    with blamed(TWO, "duplicate", "dealer"):
        run.say("trustee-complaint", TWO, frame)
    run.until("complete")


def test_who_complains_confirms_only_after_the_answer() -> None:
    run = Trustees().until("checking")
    confirm = make_confirm(run.state, run.secrets[TWO])
    run.say("trustee-complaint", TWO, by(TWO, dealer=ONE))
    with blamed(TWO, "open-complaint"):
        run.say("trustee-confirm", TWO, confirm)
    run.round(ONE)
    run.say("trustee-confirm", TWO, confirm)


@pytest.mark.parametrize("dealer", [TWO, "stranger"])
def test_complaints_name_another_participant(dealer: str) -> None:
    run = Trustees().until("checking")
    with blamed(TWO, "wrong-dealer", "dealer"):
        run.say("trustee-complaint", TWO, by(TWO, dealer=dealer))


def test_no_complaint_after_confirming_and_no_answer_without_one() -> None:
    run = Trustees().until("checking")
    run.round(TWO)
    with blamed(TWO, "wrong-phase"):
        run.say("trustee-complaint", TWO, by(TWO, dealer=ONE))
    with refused("no-complaint"):
        make_answer(run.state, run.secrets[ONE], TWO)
    answer = by(ONE, receiver=TWO, share=b64(scalar_bytes(1)))
    with blamed(ONE, "no-complaint", "receiver"):
        run.say("trustee-answer", ONE, answer)
    with blamed(ONE, "bad-scalar", "share"):
        run.say("trustee-answer", ONE, {**answer, "share": b64(b"\xff" * 32)})


def test_a_wrong_key_is_not_confirmed() -> None:
    run = Trustees().until("checking")
    with blamed(ONE, "wrong-key", "key"):
        run.say("trustee-confirm", ONE, by(ONE, key=b64(G.raw)))
    with blamed(ONE, "identity", "key"):
        run.say("trustee-confirm", ONE, by(ONE, key=b64(bytes(32))))


def test_too_few_trustees_left_is_the_end() -> None:
    run = Cheating(t=3)
    run.round(TWO)
    wrong = by(ONE, receiver=TWO, share=b64(scalar_bytes(7)))
    run.say("trustee-answer", ONE, wrong)
    assert run.state.phase == "failed"
    assert "cannot have a key" in run.state.waiting_for()[0]
    with refused("wrong-phase"):
        run.say("trustee-commit", TWO, {**make_commit(run.secrets[TWO]), "attempt": 2})


def test_polynomials_and_keys_of_a_failed_attempt_never_come_again() -> None:
    run = Cheating()
    run.round(TWO)
    wrong = by(ONE, receiver=TWO, share=b64(scalar_bytes(7)))
    run.say("trustee-answer", ONE, wrong)
    old = run.secrets[TWO]
    with refused("wrong-attempt"):
        run.messages(TWO)
    reused = new_secret(run.state, TWO, old.coefficients, old.key)
    with blamed(TWO, "duplicate", "key"):
        run.say("trustee-commit", TWO, make_commit(reused))
    fresh_key = new_secret(run.state, TWO, old.coefficients, bytes(range(32)))
    run.draw_secrets()
    run.secrets[TWO] = fresh_key
    run.round()
    with blamed(TWO, "duplicate", "commitments[0]"):
        run.round(TWO)


def test_a_joint_key_that_cancels_out_is_refused() -> None:
    """All dealers together can bring about the identity; whoever deals last is told, and nobody has a key."""
    run = Trustees(t=1)
    a, b = (run.secrets[name].coefficients[0] for name in (ONE, TWO))
    run.secrets[THREE] = replace(run.secrets[THREE], coefficients=(-(a + b),))
    run.until("dealing")
    run.round(ONE, TWO)
    with blamed(THREE, "identity", "commitments"):
        run.round(THREE)


def test_secrets_fit_their_own_ceremony_only() -> None:
    run = Trustees().until("checking")
    with refused("another-election"):
        check_deals(run.state, replace(run.secrets[ONE], manifest=REHEARSAL))
    with refused("wrong-secret"):
        check_deals(run.state, replace(run.secrets[ONE], coefficients=(1, 2)))
    with refused("wrong-signers"):
        new_secret(run.state, "stranger", [1, 2], bytes(32))
    with refused("wrong-length"):
        new_secret(run.state, ONE, [1], bytes(32))
    with refused("identity"):
        new_secret(run.state, ONE, [0, 1], bytes(32))


def test_a_crash_after_storing_the_secrets_changes_nothing() -> None:
    """The same secrets, read from their file, commit to the same and confirm the same."""
    run = Trustees().until("checking")
    stored = CeremonySecret.from_json(run.secrets[ONE].to_json())
    assert stored == run.secrets[ONE]
    assert make_commit(stored) == make_commit(run.secrets[ONE])
    assert make_confirm(run.state, stored) == make_confirm(run.state, run.secrets[ONE])
    run.until("complete")
    key = finish(run.state, stored)
    assert KeyShare.from_json(key.to_json()) == key


def test_secrets_are_not_printed() -> None:
    run = Trustees().until("complete")
    key = finish(run.state, run.secrets[ONE])
    assert str(run.secrets[ONE].coefficients[0]) not in repr(run.secrets[ONE])
    assert str(key.x_j) not in repr(key)


def test_shares_are_sealed_to_one_receiver_election_and_attempt() -> None:
    run = Trustees().until("checking")
    deal = run.state.deals[ONE]
    crossed = replace(deal, shares={TWO: deal.shares[THREE], THREE: deal.shares[TWO]})
    state = replace(run.state, deals={**run.state.deals, ONE: crossed})
    for name in (TWO, THREE):
        assert check_deals(state, run.secrets[name]) == [ONE]
    assert commit(run.secrets[ONE].coefficients) == deal.commitments


def test_a_fault_travels_between_processes() -> None:
    fault = TrusteeFault(ONE, "bad-proof", f"{ONE}: wrong", "proof")
    again = pickle.loads(pickle.dumps(fault))
    assert (again.trustee, again.reason, again.detail, again.field) == (ONE, "bad-proof", fault.detail, "proof")
    refusal = pickle.loads(pickle.dumps(Refused("syntax", "no JSON", "line")))
    assert (refusal.reason, refusal.detail, refusal.field) == ("syntax", "no JSON", "line")
    assert refusal.at("file").field == "file.line" and refusal.field == "line"
