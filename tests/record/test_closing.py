"""The end of the vote: what intakes account for, what trustees answer, and the one result that can be certified."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from audit.protocol.group import G, b64, element_from, scalar_bytes, scalar_from
from audit.protocol.refused import Refused, TrusteeFault
from audit.record.agenda import contest_of
from audit.record.counting import NOT_DECRYPTED
from audit.record.entries import parse_entry
from audit.record.manifest_shape import CONTEST
from audit.record.outcome import check_footing, result_of
from audit.record.voting import reconcile_root
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.parties import ALL_FORMS, ONE_ITEM, Parties, contest

REFUSED = {"detail": "", "identity": b64(b"\x07" * 32), "leaf": b64(b"\x08" * 32), "reason": "closed"}
FOR, AGAINST, ABSTAIN = ({"nominee-1": choice} for choice in ((1, 0, 0), (0, 1, 0), (0, 0, 1)))


def expect(reason: str, act: Callable[[], object]) -> Refused:
    with pytest.raises(Refused) as caught:
        act()
    assert caught.value.reason == reason
    return caught.value


@pytest.fixture
def voted() -> Meeting:
    meeting = Meeting().prepared()
    for account, choice in zip(meeting.accounts, (FOR, AGAINST, ABSTAIN), strict=True):
        meeting.vote(account, choice)
    return meeting.closing()


@pytest.fixture
def closed(voted: Meeting) -> Meeting:
    return voted.reconcile().close()


def test_a_late_ballot_before_the_close_counts(voted: Meeting) -> None:
    voted.vote(voted.accounts[0], AGAINST, revision=1)
    voted.reconcile().close().decrypt().certify()
    assert voted.election.result is not None
    assert voted.election.result["contests"]["nominee-1"] == {"for": 0, "against": 35, "abstain": 700}


def test_an_intake_that_has_not_reconciled(voted: Meeting) -> None:
    refusal = expect("not-complete", voted.close)
    assert "intake-1 has not reconciled" in refusal.detail


def test_an_intake_reconciles_once(voted: Meeting) -> None:
    voted.reconcile()
    with pytest.raises(Refused) as caught:
        voted.act("reconcile", {"count": 0, "root": b64(bytes(32))}, voted.parties.intakes[1])
    assert caught.value.reason == "duplicate"


@pytest.mark.parametrize("count, kept", [(4, 3), (2, 2), (3, 2)])
def test_an_account_that_the_log_does_not_bear_out(voted: Meeting, count: int, kept: int) -> None:
    """A ballot the queue dropped, or one that the intake denies: either way the vote cannot be closed over it."""
    passed = list(voted.seen.passed("intake-1"))[:kept]
    _, root = reconcile_root(passed)
    voted.act("reconcile", {"count": count, "root": b64(root)}, voted.parties.intakes[0])
    count, root = reconcile_root([])
    voted.act("reconcile", {"count": count, "root": b64(root)}, voted.parties.intakes[1])
    refusal = expect("not-complete", voted.close)
    assert "intake-1 says" in refusal.detail
    voted.close("intake-1")
    assert voted.election.overruled == ("intake-1",)


def test_a_refusal_is_accounted_for(voted: Meeting) -> None:
    fields = {**REFUSED, "intake": "intake-1", "kind": "ballot"}
    voted.act("refusal", fields, voted.parties.log[0])
    assert b"\x07" * 32 in voted.seen.passed("intake-1")
    voted.reconcile().close()


@pytest.mark.parametrize("kind, intake", [("ballot", "intake-9"), ("ballot", ""), ("closing", "intake-1")])
def test_a_refusal_of_what_no_intake_signed(voted: Meeting, kind: str, intake: str) -> None:
    fields = {**REFUSED, "intake": intake, "kind": kind}
    assert expect("unknown-key", lambda: voted.act("refusal", fields, voted.parties.log[0])).field == "intake"


def test_a_refusal_of_what_nobody_hands_in(voted: Meeting) -> None:
    fields = {**REFUSED, "intake": "", "kind": "receipt"}
    assert expect("unknown-kind", lambda: voted.act("refusal", fields, voted.parties.log[0])).field == "kind"


def test_only_an_intake_is_overruled(voted: Meeting) -> None:
    voted.reconcile()
    assert expect("unknown-key", lambda: voted.close("trustee-1")).field == "overruled"


def out_of_date(act: Callable[[], object]) -> None:
    assert expect("out-of-date", act).field == "size"


def test_an_act_drawn_up_before_what_it_needs_is_never_recorded() -> None:
    """Whoever saw an early act, a rogue intake say, would else decide when voting opens or ends."""
    meeting = Meeting().found()
    opening = meeting.resolution("open")
    expect("not-complete", lambda: meeting.add(opening))
    meeting.ceremony().rolls()
    closing, close = meeting.resolution("closing"), meeting.resolution("close", overruled=[])
    out_of_date(lambda: meeting.add(opening))
    meeting.open()
    out_of_date(lambda: meeting.add(closing))
    meeting.closing()
    overruling = meeting.resolution("close", overruled=["intake-1", "intake-2"])
    meeting.reconcile()
    out_of_date(lambda: meeting.add(close))
    out_of_date(lambda: meeting.add(overruling))
    assert meeting.close().election.phase == "closed"


def test_ballots_refusals_and_notices_leave_an_act_as_good_as_it_was() -> None:
    meeting = Meeting().prepared()
    closing = meeting.resolution("closing")
    meeting.vote(meeting.accounts[0], FOR)
    fields = {**REFUSED, "intake": "intake-1", "kind": "ballot"}
    meeting.act("refusal", fields, meeting.parties.log[0])
    meeting.resolve("notice", subject="incident", text="The lights went out.")
    meeting.add(closing)
    assert meeting.election.phase == "closing"


def test_a_close_that_waits_for_ballots_alone(voted: Meeting) -> None:
    late = parse_entry(voted.signed("ballot", voted.ballot(voted.accounts[0], AGAINST, revision=1), voted.intake))
    passed = sorted([*voted.seen.passed("intake-1"), late.identity])
    for intake, (count, root) in zip(voted.parties.intakes, (reconcile_root(passed), reconcile_root([])), strict=True):
        voted.act("reconcile", {"count": count, "root": b64(root)}, intake)
    close = voted.resolution("close", overruled=[])
    assert "wait or overrule" in expect("not-complete", lambda: voted.add(close)).detail
    voted.add(late.raw)
    voted.add(close)


def test_an_act_over_more_than_the_log_holds(voted: Meeting) -> None:
    voted.reconcile()
    close = voted.resolution("close", overruled=[], size=voted.election.size + 1)
    assert expect("not-complete", lambda: voted.add(close)).field == "size"


def shares_sent(meeting: Meeting, body: dict[str, Any], trustee: str = "trustee-1") -> bytes:
    return meeting.signed("decrypt", body, meeting.signer(trustee))


def moved(text: str) -> str:
    return b64((element_from(text) + G).raw)


Change = Callable[[dict[str, Any]], object]
WRONG_SHARES: dict[str, Change] = {
    "D": lambda s: s.update(D=moved(s["D"])),
    "c": lambda s: s.update(c=b64(scalar_bytes(scalar_from(s["c"]) + 1))),
    "z": lambda s: s.update(z=b64(scalar_bytes(scalar_from(s["z"]) + 1))),
    "D is the identity": lambda s: s.update(D=b64(bytes(32))),
}


@pytest.mark.parametrize("change", sorted(WRONG_SHARES))
@pytest.mark.parametrize("slot", ["for", "present"])
def test_a_wrong_share_names_its_trustee(closed: Meeting, change: str, slot: str) -> None:
    body = closed.shares("trustee-2")
    WRONG_SHARES[change](body["present"]["common"] if slot == "present" else body["contests"]["nominee-1"][slot])
    with pytest.raises(TrusteeFault) as caught:
        closed.add(shares_sent(closed, body, "trustee-2"))
    assert (caught.value.reason, caught.value.trustee) == ("bad-proof", "trustee-2")


def test_the_share_of_another_choice(closed: Meeting) -> None:
    body = closed.shares("trustee-1")
    shares = body["contests"]["nominee-1"]
    shares["for"], shares["against"] = shares["against"], shares["for"]
    expect("bad-proof", lambda: closed.add(shares_sent(closed, body)))


def test_the_shares_of_another_trustee(closed: Meeting) -> None:
    body = {**closed.shares("trustee-2"), "signer": "trustee-1"}
    expect("bad-proof", lambda: closed.add(shares_sent(closed, body)))


def test_shares_for_another_closing_head(closed: Meeting) -> None:
    body = {**closed.shares("trustee-1"), "closing": b64(bytes(32))}
    assert expect("another-election", lambda: closed.add(shares_sent(closed, body))).field == "closing"


def test_a_share_too_few_and_one_too_many(closed: Meeting) -> None:
    body = closed.shares("trustee-1")
    less = copy.deepcopy(body)
    del less["contests"]["nominee-1"]["for"]
    refusal = expect("missing-field", lambda: closed.add(shares_sent(closed, less)))
    assert refusal.field == "contests.nominee-1.for"
    more = copy.deepcopy(body)
    more["contests"]["nominee-2"] = more["contests"]["nominee-1"]
    assert expect("unknown-field", lambda: closed.add(shares_sent(closed, more))).field == "contests.nominee-2"


def test_a_trustee_answers_once(closed: Meeting) -> None:
    closed.decrypt(1)
    expect("duplicate", lambda: closed.add(shares_sent(closed, closed.shares("trustee-1"))))


def test_one_trustee_is_not_enough(closed: Meeting) -> None:
    closed.decrypt(1)
    assert "1 of 2 trustees" in expect("not-complete", closed.certify).detail


@pytest.mark.parametrize("pair", [("trustee-1", "trustee-3"), ("trustee-3", "trustee-2")])
def test_any_two_trustees_find_the_same_totals(closed: Meeting, pair: tuple[str, str]) -> None:
    for name in pair:
        closed.add(shares_sent(closed, closed.shares(name), name))
    closed.certify()
    assert closed.election.result == {
        "ballots": 3,
        "contests": {"nominee-1": {"for": 5, "against": 30, "abstain": 700}},
        "outcome": {"nominee-1": "not elected"},
        "present": 735,
    }


def test_all_three_trustees_find_the_same_totals(closed: Meeting) -> None:
    assert closed.decrypt(3).certify().election.phase == "certified"


RESULTS: dict[str, Change] = {
    "result.contests.nominee-1.for": lambda r: r["contests"]["nominee-1"].update({"for": 6}),
    "result.present": lambda r: r.update(present=734),
    "result.ballots": lambda r: r.update(ballots=2),
    "result.outcome.nominee-1": lambda r: r["outcome"].update({"nominee-1": "elected"}),
    "result.winner": lambda r: r.update(winner="nominee-1"),
}


@pytest.mark.parametrize("place", sorted(RESULTS))
def test_another_result_is_not_certified(closed: Meeting, place: str) -> None:
    closed.decrypt()
    result = copy.deepcopy(result_of(closed.election, closed.seen))
    RESULTS[place](result)
    closed.election.totals = None  # judged by one who has not computed it yet
    refusal = expect("wrong-result", lambda: closed.resolve("certify", result=result))
    assert refusal.detail.startswith(place)


def test_the_shares_of_fewer_than_the_minimum_are_never_asked_for() -> None:
    """One holder of preferred shares votes: a total over one ballot would be that ballot."""
    items = [contest("nominee-1"), contest("class-vote", classes=["preferred"])]
    meeting = Meeting({"common": (5, 30), "preferred": (9, 9)}, items, minimum=2).prepared()
    common, preferred = meeting.accounts[:2], meeting.accounts[2:]
    for account in common:
        meeting.vote(account, FOR)
    meeting.vote(preferred[0], {"class-vote": (1, 0, 0)})
    meeting.closing().reconcile().close()
    assert set(meeting.shares("trustee-1")["contests"]) == {"nominee-1"}
    meeting.decrypt().certify()
    assert meeting.election.result == {
        "ballots": 3,
        "contests": {"nominee-1": {"for": 35, "against": 0, "abstain": 0}},
        "outcome": {"nominee-1": "elected", "class-vote": NOT_DECRYPTED},
        "present": 35,
        "withheld": ["class-vote", "preferred"],
    }


def test_no_difference_between_sums_tells_of_fewer_than_the_minimum() -> None:
    """The votes of both classes less the weight present in common would be the one preferred holder's."""
    items = [contest("nominee-1", classes=["common", "preferred"])]
    meeting = Meeting({"common": (5, 30), "preferred": (9, 9)}, items, minimum=2).prepared()
    for account in meeting.accounts[:3]:
        meeting.vote(account, FOR)
    meeting.closing().reconcile().close()
    body = meeting.shares("trustee-1")
    assert body["present"] == {}
    slip = {**body, "present": {"common": body["contests"]["nominee-1"]["for"]}}
    assert expect("unknown-field", lambda: meeting.add(shares_sent(meeting, slip))).field == "present.common"
    meeting.decrypt().certify()
    assert meeting.election.result == {
        "ballots": 3,
        "contests": {"nominee-1": {"for": 44, "against": 0, "abstain": 0}},
        "outcome": {"nominee-1": "elected"},
        "present": 0,
        "withheld": ["common", "preferred"],
    }


def test_a_class_in_which_nobody_votes_withholds_nothing() -> None:
    items = [contest("nominee-1", classes=["common", "preferred"])]
    meeting = Meeting({"common": (5, 30), "preferred": (9, 9)}, items, minimum=2).prepared()
    for account in meeting.accounts[:2]:
        meeting.vote(account, FOR)
    result = meeting.counted().election.result
    assert result is not None and result["present"] == 35 and "withheld" not in result
    # Nothing is present there, so that what is present in all is known, and totals must foot.
    assert meeting.election.totals is not None
    meeting.election.totals[1]["nominee-1", "for"] = 36
    expect("does-not-foot", lambda: result_of(meeting.election, meeting.seen))


@pytest.mark.parametrize("form, most", [(ALL_FORMS[0], 10), (ALL_FORMS[1], 20), (ALL_FORMS[2], 20)])
def test_more_votes_than_are_present_do_not_foot(form: dict[str, Any], most: int) -> None:
    item = contest_of(CONTEST(form, ""), "")
    check_footing(item, dict.fromkeys(item.choices, 0) | {item.choices[0]: most}, 10)
    with pytest.raises(Refused) as caught:
        check_footing(item, dict.fromkeys(item.choices, 0) | {item.choices[0]: most, item.choices[1]: 1}, 10)
    assert caught.value.reason == "does-not-foot"


def test_nobody_votes() -> None:
    meeting = Meeting().prepared().counted()
    assert meeting.election.result == {
        "ballots": 0,
        "contests": {},
        "outcome": {"nominee-1": NOT_DECRYPTED},
        "present": 0,
    }
    texts = [parse_entry(raw).text for raw in meeting.entries]
    assert len(set(texts)) == len(texts)


def test_everybody_gives_every_vote_to_one_choice() -> None:
    """The largest total there can be, which is as large as the bound of the search for it."""
    meeting = Meeting().prepared()
    for account in meeting.accounts:
        meeting.vote(account, FOR)
    meeting.counted()
    assert meeting.election.result is not None
    assert meeting.election.result["contests"]["nominee-1"]["for"] == 735


def test_no_vote_on_an_item_is_presence_all_the_same() -> None:
    meeting = Meeting(contests=[*ONE_ITEM, contest("nominee-2")]).prepared()
    for account in meeting.accounts[:2]:
        meeting.vote(account, {"nominee-2": (1, 0, 0)})
    meeting.counted()
    assert meeting.election.result is not None
    assert meeting.election.result["contests"]["nominee-1"] == {"for": 0, "against": 0, "abstain": 0}
    assert meeting.election.result["present"] == 35
    assert meeting.election.result["outcome"] == {"nominee-1": "not elected", "nominee-2": "elected"}


def test_two_classes_vote_on_one_item_and_all_forms() -> None:
    items = [{**form, "classes": ["common", "preferred"]} for form in ALL_FORMS]
    meeting = Meeting({"common": (5, 30), "preferred": (100, 2)}, items).prepared()
    for account in meeting.accounts:
        meeting.vote(account, {"nominee-1": (0, 1, 0), "committee": (1, 0, 1), "board": (0, 1, 1)})
    meeting.counted()
    assert meeting.election.result == {
        "ballots": 4,
        "contests": {
            "nominee-1": {"for": 0, "against": 137, "abstain": 0},
            "committee": {"ann": 137, "ben": 0, "cem": 137},
            "board": {"ann": 0, "ben": 137, "cem": 137},
        },
        "outcome": {
            "nominee-1": "not elected",
            "committee": {"elected": ["ann", "cem"], "tied": []},
            "board": {"elected": ["ben", "cem"], "tied": []},
        },
        "present": 137,
    }


def test_one_issuer_is_enough_to_hold_a_vote() -> None:
    meeting = Meeting(parties=Parties.drawn(Dice(9), issuers=1)).prepared()
    for account in meeting.accounts[:2]:
        meeting.vote(account, FOR)
    meeting.counted()
    assert meeting.election.phase == "certified"
