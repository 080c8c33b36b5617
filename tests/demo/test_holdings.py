"""The demo's register and ballots reach the published figures exactly, whatever the number of accounts and the seed."""

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.demo import holdings, register
from infra.demo.holdings import ABSENT, BROKER, VOTING, TooFewAccounts, TooManyAccounts, draw_accounts
from infra.demo.published import FILE, DoesNotFoot, Nominee, Published, published

FIGURES = published()


def shares(accounts: tuple[holdings.Account, ...], part: str) -> int:
    return sum(account.shares for account in accounts if account.part == part)


def check(accounts: tuple[holdings.Account, ...], figures: Published, count: int) -> None:
    assert len(accounts) == count
    assert all(account.shares >= 1 for account in accounts)
    assert shares(accounts, VOTING) == figures.voting
    assert shares(accounts, BROKER) == figures.broker_non_votes
    assert shares(accounts, ABSENT) == figures.absent
    for account in accounts:
        assert len(account.choices) == (len(figures.nominees) if account.part == VOTING else 0)
    assert holdings.count(accounts, figures) == figures.result


@pytest.mark.parametrize("count", [*range(21, 60), 100, 333, 500, 2_000, 20_000])
def test_every_figure_is_hit(count: int) -> None:
    check(draw_accounts(FIGURES, count, seed=1), FIGURES, count)


@settings(max_examples=60, deadline=None)
@given(st.integers(21, 400), st.integers())
def test_every_figure_is_hit_with_any_seed(count: int, seed: int) -> None:
    check(draw_accounts(FIGURES, count, seed), FIGURES, count)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_figures_that_foot_are_hit(data: st.DataObject) -> None:
    voting = data.draw(st.integers(40, 2_000))
    nominees = []
    for i in range(data.draw(st.integers(1, 9))):
        first, second = sorted((data.draw(st.integers(0, voting)), data.draw(st.integers(0, voting))))
        nominees.append(Nominee(f"n-{i}", f"N {i}", (first, second - first, voting - second)))
    brokers, absent = data.draw(st.integers(0, 50)), data.draw(st.integers(0, 50))
    figures = Published("made up", voting + brokers + absent, voting + brokers, brokers, tuple(nominees))
    count = holdings.least_accounts(figures)
    check(draw_accounts(figures, count, data.draw(st.integers())), figures, count)


@pytest.mark.parametrize("count", [20, 1, 0, -5])
def test_too_few_accounts_are_refused_saying_why(count: int) -> None:
    why = f"^{count} accounts .* indivisible.* 9 nominees .* 19 holdings.* at least 21$"
    with pytest.raises(TooFewAccounts, match=why):
        draw_accounts(FIGURES, count, seed=1)


def test_more_accounts_than_shares_are_refused() -> None:
    with pytest.raises(TooManyAccounts, match="too many"):
        draw_accounts(FIGURES, FIGURES.outstanding, seed=1)


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    assert draw_accounts(FIGURES, 80, seed=3) == draw_accounts(FIGURES, 80, seed=3)
    assert draw_accounts(FIGURES, 80, seed=3) != draw_accounts(FIGURES, 80, seed=4)


@pytest.mark.parametrize("count", [500, 20_000])
def test_holdings_are_heavy_tailed_and_opinions_differ(count: int) -> None:
    accounts = draw_accounts(FIGURES, count, seed=1)
    held = sorted((account.shares for account in accounts), reverse=True)
    assert sum(held[: count // 5]) > 0.6 * FIGURES.outstanding
    assert held[0] < FIGURES.outstanding // 2
    assert len({account.choices for account in accounts}) > 19


def test_the_published_figures_are_those_of_the_filing() -> None:
    assert (FIGURES.outstanding, FIGURES.present, FIGURES.broker_non_votes) == (119_067_887, 110_697_244, 16_599_710)
    assert [nominee.name for nominee in FIGURES.nominees if not nominee.elected] == ["Nominee 2"]
    assert FIGURES.result["nominee-2"] == {"for": 43_951_801, "against": 49_933_646, "abstain": 212_087}


def test_figures_that_do_not_foot_are_refused() -> None:
    table = json.loads(Path(register.__file__).with_name(FILE).read_text())
    row = table["rows"][4]
    nominee = Nominee("nominee-5", row["nominee"], (row["for"] + 1, row["against"], row["abstain"]))
    with pytest.raises(DoesNotFoot, match="^Nominee 5:"):
        Published("altered", FIGURES.outstanding, FIGURES.present, FIGURES.broker_non_votes, (nominee,))


def test_the_files_hold_every_account_and_only_the_ballots_of_those_present(tmp_path: Path) -> None:
    accounts = draw_accounts(FIGURES, 64, seed=1)
    register.write_register(tmp_path / "register.csv", accounts, seed=1)
    register.write_ballots(tmp_path / "ballots.csv", accounts, FIGURES)
    rows = list(csv.DictReader((tmp_path / "register.csv").open()))
    ballots = list(csv.DictReader((tmp_path / "ballots.csv").open()))
    assert tuple(rows[0]) == register.COLUMNS
    held = {row["account_id"]: int(row["shares"]) for row in rows}
    assert len(held) == 64 and sum(held.values()) == FIGURES.outstanding
    assert sum(held[ballot["account_id"]] for ballot in ballots) == FIGURES.present
    silent = [ballot for ballot in ballots if not any(ballot[nominee.id] for nominee in FIGURES.nominees)]
    assert sum(held[ballot["account_id"]] for ballot in silent) == FIGURES.broker_non_votes
