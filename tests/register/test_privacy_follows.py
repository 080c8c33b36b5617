"""What follows from exact totals: registers to check by hand, and every vote of small ones tried."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings

from intake.register.holdings import Account
from intake.register.privacy_follows import Findings, Judge, Verdict
from intake.register.privacy_sampling import Sampler
from intake.register.privacy_votes import Electorate, Vote
from tests.register.elector import (
    ABSTAIN,
    AGAINST,
    FOR,
    NONE,
    by_trying,
    electorate,
    fitting,
    item,
    small_votes,
    vote,
)

FOLLOWS, OPEN, UNDECIDED = Verdict.FOLLOWS, Verdict.OPEN, Verdict.UNDECIDED


def votes(found: Findings) -> list[Verdict]:
    return [verdict for verdicts in found.votes.values() for verdict in verdicts.values()]


def test_of_powers_of_two_everything_follows() -> None:
    did = (FOR, AGAINST, None, FOR, ABSTAIN, None, NONE, AGAINST)
    found = Judge(vote(tuple(2**i for i in range(8)), did)).judge().alone
    assert set(votes(found)) == {FOLLOWS} and set(found.absences.values()) == {FOLLOWS}
    assert found.everything is FOLLOWS


def test_of_forty_powers_of_two_everything_follows() -> None:
    # Far too many votes to try; every sum of powers of two has one part.
    did = [FOR, AGAINST, None, FOR, ABSTAIN, FOR, NONE, AGAINST] * 5
    found = Judge(vote(tuple(2**i for i in range(40)), tuple(did)), steps=20_000_000).judge().alone
    assert set(votes(found)) == {FOLLOWS} and set(found.absences.values()) == {FOLLOWS}


def test_of_equal_holdings_nothing_follows() -> None:
    found = Judge(vote((7,) * 6, (FOR, FOR, FOR, AGAINST, None, None))).judge()
    assert set(votes(found.alone)) == {OPEN} and set(found.alone.absences.values()) == {OPEN}
    assert set(votes(found.attended)) == {OPEN}


def test_of_equal_holdings_that_all_did_the_same_everything_follows() -> None:
    assert set(votes(Judge(vote((7,) * 6, (FOR,) * 6)).judge().alone)) == {FOLLOWS}


def test_equal_holdings_hide_in_each_other_but_not_from_one_who_knows_who_took_part() -> None:
    found = Judge(vote((7, 7, 100), (FOR, None, AGAINST))).judge()
    assert found.alone.votes == {0: {0: OPEN}, 2: {0: FOLLOWS}} and found.alone.absences == {1: OPEN}
    assert found.attended.votes == {0: {0: FOLLOWS}, 2: {0: FOLLOWS}}


def test_one_who_holds_as_much_as_two_others_hides_where_they_did_alike() -> None:
    # 5 = 2 + 3: either the largest voted for, or both others did.
    assert set(votes(Judge(vote((5, 3, 2), (FOR, AGAINST, AGAINST))).judge().alone)) == {OPEN}
    assert set(votes(Judge(vote((5, 3, 2), (FOR, AGAINST, ABSTAIN))).judge().alone)) == {FOLLOWS}


def test_the_number_of_ballots_tells_one_holding_from_two() -> None:
    # 5 present weigh as much as 2 and 3, but one ballot is not two.
    found = Judge(vote((5, 3, 2), (FOR, None, None))).judge().alone
    assert votes(found) == [FOLLOWS] and found.absences == {1: FOLLOWS, 2: FOLLOWS}


def test_the_unchanged_part_of_a_mixture_follows() -> None:
    # The small ones could be each other; nobody else could be the large one.
    found = Judge(vote((1000, 1, 1, 1, 1), (FOR, FOR, AGAINST, FOR, AGAINST))).judge().alone
    assert found.votes[0] == {0: FOLLOWS} and {found.votes[i][0] for i in range(1, 5)} == {OPEN}
    assert found.everything is OPEN and found.exposed(0) is FOLLOWS and found.exposed(1) is OPEN


def test_a_second_item_tells_who_was_present() -> None:
    # By the first item 4 + 1 or 3 + 2 were present; by the second, somebody who holds 4 was.
    accounts = electorate(4, 3, 2, 1, items=(item("one", "for"), item("two", "for")))
    both = Vote(accounts, ((FOR, 0), None, None, (FOR, 1)))
    assert both.totals(1) == [4, 1]
    assert set(votes(Judge(both).judge().alone)) == {FOLLOWS}
    assert set(votes(Judge(both.over([0])).judge().alone)) == {OPEN}


def test_classes_do_not_hide_each_other_in_who_was_present() -> None:
    accounts = (Account("A1", "common", 5), Account("A2", "preferred", 5))
    voters = Electorate(accounts, (item(classes="common preferred"),))
    found = Judge(Vote(voters, ((FOR,), None))).judge().alone
    assert found.votes == {0: {0: FOLLOWS}} and found.absences == {1: FOLLOWS}
    found = Judge(Vote(voters, ((FOR,), (AGAINST,)))).judge().alone
    assert set(votes(found)) == {OPEN}


def test_a_search_given_up_leaves_undecided_what_size_does_not_prove() -> None:
    weights = (10_000, *(2**i for i in range(12)))
    did = (FOR, *(FOR, AGAINST, ABSTAIN) * 4)
    found = Judge(vote(weights, did), steps=10).judge().alone
    assert found.votes[0] == {0: FOLLOWS}
    assert {found.votes[i][0] for i in range(1, 13)} == {UNDECIDED} and found.everything is UNDECIDED


def test_who_weighs_less_than_all_absent_is_not_told_by_size() -> None:
    made = vote((100, 150, *(2**i for i in range(6))), (FOR, None, *[AGAINST] * 6))
    found = Judge(made, steps=10).judge()
    assert found.alone.votes[0] == {0: UNDECIDED} and found.attended.votes[0] == {0: FOLLOWS}


@pytest.mark.parametrize("did", [(NONE, None, None), (None, NONE, None)])
def test_size_tells_nothing_where_the_weight_present_is_withheld(did: tuple[int | None, ...]) -> None:
    """One ballot without a vote: 100 weighs more than everybody else, but that 100 were present nobody knows."""
    made = vote((100, 30, 20), did)
    hidden = replace(made, hidden=frozenset({"common"}))
    for open_one, searched in ((made, FOLLOWS), (hidden, OPEN)):
        found = Judge(open_one).judge().alone
        assert votes(found) == [searched] and set(found.absences.values()) == {searched}
    for found in (Judge(hidden, steps=10).judge().alone, Sampler(hidden, range(3), Random(1)).judge().alone):
        assert FOLLOWS not in {*votes(found), *found.absences.values()}
    assert Judge(hidden).judge().attended == Judge(made).judge().attended


def test_sampling_tries_others_who_could_have_been_present() -> None:
    # 6 and 1 weigh as much as 4 and 3, which is another vote only if they did alike.
    alike, apart = (vote((6, 1, 4, 3), (FOR, group, None, None)) for group in (FOR, AGAINST))
    found = Sampler(alike, range(4), Random(1)).judge().alone
    assert set(votes(found)) | set(found.absences.values()) == {OPEN}
    found = Sampler(apart, range(4), Random(1)).judge().alone
    assert OPEN not in {*votes(found), *found.absences.values()}


@settings(max_examples=250, deadline=None)
@given(small_votes())
def test_the_search_finds_what_trying_every_vote_finds(made: Vote) -> None:
    found = Judge(made).judge()
    assert found.alone == by_trying(made, attended=False)
    assert found.attended.votes == by_trying(made, attended=True).votes


@settings(max_examples=150, deadline=None)
@given(small_votes())
def test_sampling_never_contradicts_it(made: Vote) -> None:
    sampled = Sampler(made, range(len(made.rows)), Random(1)).judge()
    for found, attended in ((sampled.alone, False), (sampled.attended, True)):
        true = by_trying(made, attended)
        for i, verdicts in found.votes.items():
            assert all(v in (UNDECIDED, true.votes[i][j]) for j, v in verdicts.items())
        assert attended or all(v in (UNDECIDED, true.absences[i]) for i, v in found.absences.items())
        assert found.everything in (UNDECIDED, true.everything)


@pytest.mark.parametrize("turn", range(3))
def test_sampling_finds_what_is_open_among_many_and_what_follows_by_size(turn: int) -> None:
    rng = Random(f"weights {turn}")
    weights = (10**7, *(rng.randint(1, 20_000) for _ in range(120)))
    did = (FOR, *(rng.choice((FOR, AGAINST, None)) for _ in range(120)))
    made = vote(weights, did)
    largest = made.electorate.largest(6)
    found = Sampler(made, largest, rng).judge()
    assert found.alone.votes.pop(0) == {0: FOLLOWS} == found.attended.votes.pop(0)
    assert set(votes(found.alone)) | set(found.alone.absences.values()) == {OPEN}
    assert set(votes(found.attended)) == {OPEN} and found.alone.everything is OPEN


def test_what_is_open_has_another_vote() -> None:
    made = vote((5, 3, 2), (FOR, AGAINST, AGAINST))
    assert len(fitting(made, attended=True)) == 2
