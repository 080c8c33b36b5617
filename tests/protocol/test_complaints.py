"""Complaints: a cheating dealer is found and named, a framed one cleared, and secrets serve their own ceremony only."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import pytest

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
from audit.protocol.trustee_messages import Commit
from tests.protocol.sample import REHEARSAL, TRUSTEES, Trustees, blamed, by, refused

ONE, TWO, THREE = TRUSTEES


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
        run.say("trustee-commit", ONE, make_commit(run.secrets[ONE]))
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
