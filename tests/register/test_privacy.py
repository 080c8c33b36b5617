"""`psephos privacy`: what it reads, what it says in words, JSON and HTML, and that it says the same again."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from math import comb, log2
from pathlib import Path
from random import Random
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.commands import root
from infra.config import ConfigError
from intake.register.holdings import Account
from intake.register.privacy import default_votes
from intake.register.privacy_agenda import read_agenda
from intake.register.privacy_bound import Bound, bound_of
from intake.register.privacy_estimate import Rate, Settings, default_units, estimate, moved_by
from intake.register.privacy_page import table
from intake.register.privacy_published import published
from intake.register.privacy_report import shown
from intake.register.privacy_votes import Electorate, ballots_at, draw_vote, in_units, merged
from tests.register.elector import agenda as agenda_of
from tests.register.elector import electorate, item

HEADER = "account_id,holder_id,group_id,nominee_parent,class,shares,name,email,postal_address,language\n"
CONTEST = """
[[contests]]
id = "{id}"
title = "A question"
text = ""
kind = "resolution"
form = "{form}"
limit = {limit}
choices = [{choices}]
rule = {rule}
"""
MAJORITY = '{ name = "majority", basis = "cast", abstain = "ignored", comparator = ">", threshold = [1, 2] }'


def question(id: str, form: str = "choose-one", limit: int = 1, choices: str = "for against abstain") -> str:
    rule = MAJORITY if form == "choose-one" else '{ name = "plurality", seats = 1 }'
    words = ", ".join(f'"{choice}"' for choice in choices.split())
    return CONTEST.format(id=id, form=form, limit=limit, choices=words, rule=rule)


def agenda(tmp_path: Path, votes: int, *contests: str, minimum: int = 1, more: str = "") -> Path:
    path = tmp_path / "agenda.toml"
    path.write_text(
        f"{more}minimum = {{ pseudonyms = {minimum}, roll = 1 }}\n"
        f'[[classes]]\nid = "common"\nvotes = {votes}\nvotes_per_share = 1\n' + "".join(contests)
    )
    return path


def register(tmp_path: Path, *weights: int) -> Path:
    path = tmp_path / "register.csv"
    lines = [f"A{n},H{n},,,common,{weight},Ann,,,\n" for n, weight in enumerate(weights, 1)]
    path.write_text(HEADER + "".join(lines))
    return path


def files(tmp_path: Path, *weights: int, **more: Any) -> list[str]:
    contests = more.pop("contests", (question("item-1"),))
    return [str(register(tmp_path, *weights)), "--agenda", str(agenda(tmp_path, sum(weights), *contests, **more))]


def run(*arguments: str) -> str:
    result = CliRunner().invoke(root(), ["privacy", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def figures(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*arguments, "--json"))
    return found


def measure(found: dict[str, Any], name: str) -> list[dict[str, Any] | None]:
    (one,) = [measure for measure in found["measures"] if measure["name"] == name]
    rates: list[dict[str, Any] | None] = one["largest"]
    return rates


SMALL = ("--votes", "6", "--turnout", "50", "--turnout", "100")


def test_powers_of_two_are_all_at_risk(tmp_path: Path) -> None:
    found = figures(*files(tmp_path, *(2**i for i in range(10))), *SMALL)
    assert found["method"] == "searched" and found["simulated"] == 6
    assert [t["ballots"] for t in found["turnouts"]] == [5, 10]
    for rates in (measure(found, "agenda"), measure(found, "attended"), found["measures"][0]["all_votes"]):
        assert [(rate["proven"], rate["possible"]) for rate in rates if rate] == [(1, 1), (1, 1)]
    assert {risk["account"] for risk in found["at_risk"]} == {f"A{n}" for n in range(1, 11)}
    assert found["at_risk"][0] | {"absence_follows": 0} == {
        "account": "A10",
        "class": "common",
        "votes": 512,
        "vote_follows": [
            {"proven": 1, "possible": 1, "interval": [0.438494, 1], "of": 3},
            {"proven": 1, "possible": 1, "interval": [0.609657, 1], "of": 6},
        ],
        "absence_follows": 0,
    }


def test_equal_holdings_are_at_no_risk(tmp_path: Path) -> None:
    # Odds at which nobody can expect twelve to vote alike.
    found = figures(*files(tmp_path, *[10] * 24), *SMALL, "--support", "0.4")
    assert measure(found, "agenda") == [
        {"proven": 0, "possible": 0, "interval": [0, 0.390343], "of": 6},
        {"proven": 0, "possible": 0, "interval": [0, 0.390343], "of": 6},
    ]
    assert found["at_risk"] == []


def test_fewer_ballots_than_the_minimum_give_nothing_away(tmp_path: Path) -> None:
    found = figures(*files(tmp_path, *(2**i for i in range(10)), minimum=6), *SMALL)
    assert measure(found, "agenda")[0] is None and measure(found, "agenda")[1] is not None
    found = figures(*files(tmp_path, *(2**i for i in range(10)), minimum=5), *SMALL)
    assert None not in measure(found, "agenda")
    found = figures(*files(tmp_path, *(2**i for i in range(10))), *SMALL, "--pool", "5", "--pool", "11")
    assert measure(found, "pool-5") == measure(found, "agenda") and measure(found, "pool-11") == [None, None]


def shares(tmp_path: Path, minimum: int, preferred: int = 1) -> list[str]:
    """Five or more holders of common shares and few of preferred ones, who all vote on one item: ADR 11's example."""
    holdings = [("common", 100 + 7 * n) for n in range(6)] + [("preferred", 1000 + n) for n in range(preferred)]
    lines = [f"A{n},H{n},,,{name},{weight},Ann,,,\n" for n, (name, weight) in enumerate(holdings, 1)]
    path, asked = tmp_path / "register.csv", agenda(tmp_path, 705, question("item-1"), minimum=minimum)
    path.write_text(HEADER + "".join(lines))
    votes = sum(weight for name, weight in holdings if name == "preferred")
    more = f'[[classes]]\nid = "preferred"\nvotes = {votes}\nvotes_per_share = 1\n[[contests]]'
    asked.write_text(asked.read_text().replace("[[contests]]", more, 1))
    return [str(path), "--agenda", str(asked)]


def test_a_difference_of_totals_is_withheld_too(tmp_path: Path) -> None:
    """Both classes' votes less the weight present in common would be the one preferred holder's: one is withheld."""
    all_of_them = ("--votes", "4", "--turnout", "100", "--largest", "1")
    found = figures(*shares(tmp_path, minimum=1), *all_of_them)
    assert found["turnouts"][0]["withheld"] == {"contests": [], "weight_present": []}
    found = figures(*shares(tmp_path, minimum=5), *all_of_them)
    assert found["turnouts"][0]["withheld"] == {"contests": [], "weight_present": ["common", "preferred"]}
    assert found["minimum"] == 5
    words = " ".join(run(*shares(tmp_path, minimum=5), *all_of_them).split())
    told = "At a turnout of 100% the weight present of common, preferred is withheld: no sum that tells of fewer than 5"
    assert told in words
    twice = run(*shares(tmp_path, minimum=5), *all_of_them, "--turnout", "90")
    assert "At a turnout of 90%, 100% the weight present" in " ".join(twice.split())
    found = figures(*shares(tmp_path, minimum=8), *all_of_them)
    assert found["turnouts"][0]["withheld"]["contests"] == ["item-1"] and found["turnouts"][0]["bound"] is None
    assert measure(found, "agenda") == [None]


def test_a_pool_is_tried_by_the_rule_of_the_trustees() -> None:
    """With a pool of 5 no total is missing, but the weight present is; of the second preferred holder, who stays away,
    no more follows."""
    voters = Electorate(
        tuple(Account(f"A{n}", "common" if n < 6 else "preferred", 64 + 2**n) for n in range(8)),
        (item(classes="common preferred"),),
    )
    settings = Settings((80,), 12, 0.4, 8, 1, (5,), ())
    found = estimate(voters, agenda_of(voters, 1), settings)
    raised = estimate(voters, agenda_of(voters, 5), settings)
    by_name = {m.name: m for m in found.measures}
    assert by_name["pool-5"].largest == raised.measures[0].largest
    assert found.turnouts[0].hidden == () and raised.turnouts[0].hidden == ("common", "preferred")
    few, many = by_name["pool-5"].largest[0], by_name["agenda"].largest[0]
    assert few is not None and many is not None and few.high < many.low


def test_where_only_the_weight_present_is_published_absences_follow_and_no_votes() -> None:
    accounts = (*electorate(1, 2, 4, 8, 16).accounts, Account("P", "preferred", 5))
    voters = Electorate(accounts, (item(classes="preferred"),))
    found = estimate(voters, agenda_of(voters, 3), Settings((60,), 20, 0.7, 6, 1, (), ()))
    assert found.turnouts[0].withheld == ("item-1",) and found.turnouts[0].hidden == ("preferred",)
    assert found.measures[0].largest == (None,)
    assert {risk.account.id for risk in found.at_risk} == {"A1", "A2", "A3", "A4", "A5"}
    assert all(risk.votes == [None] for risk in found.judged)


def test_coarser_units_make_holdings_equal(tmp_path: Path) -> None:
    found = figures(*files(tmp_path, *range(1000, 1016)), *SMALL, "--unit", "100", "--support", "0.4")
    assert [rate["proven"] for rate in measure(found, "unit-100") if rate] == [0, 0]
    assert in_units(electorate(1, 149, 150, 1000), 100).accounts == tuple(
        Account(f"A{n}", "common", weight) for n, weight in enumerate((1, 1, 2, 10), 1)
    )
    assert moved_by(electorate(1, 149, 150, 1000), 100) == (99 + 49 + 50) / 1300


def test_units_are_tried_that_leave_votes_nearly_as_they_are() -> None:
    assert default_units(electorate(1234, 56_789, 910_111)) == (1000, 10_000)
    assert default_units(electorate(1, 1, 1)) == ()


def test_merged_items_are_those_that_ask_the_same(tmp_path: Path) -> None:
    items = (item("a"), item("b", "for against"), item("c"), item("d", classes="common preferred"))
    assert merged(electorate(1, items=items)) == [0, 1, 3]
    found = figures(*files(tmp_path, 3, 5, 9, contests=(question("a"), question("b"))), *SMALL)
    assert [m["name"] for m in found["measures"]][:4] == ["agenda", "attended", "pool-2", "merged"]
    with pytest.raises(ValueError):
        measure(figures(*files(tmp_path, 3, 5, 9), *SMALL), "merged")


def test_large_registers_are_sampled_and_say_so(tmp_path: Path) -> None:
    rng = Random("sampled")
    weights = [10**6, *(rng.randint(1, 9_000) for _ in range(60))]
    arguments = files(tmp_path, *weights)
    found = figures(*arguments, "--votes", "2", "--turnout", "100", "--largest", "2")
    assert found["method"] == "sampled" and found["largest"][0] == "A1"
    assert [risk["account"] for risk in found["at_risk"]] == ["A1"]
    (rate,) = measure(found, "agenda")
    assert rate is not None and (rate["proven"], rate["possible"]) == (0.5, 0.5)
    assert found["turnouts"][0]["bound"]["share"] < 1e-6
    words = " ".join(run(*arguments, "--votes", "2", "--turnout", "100", "--largest", "2").split())
    assert "proven by its size alone" in words and "Estimate: every percentage of votes" in words
    assert "At a turnout of 100%, 50% of the votes of the 2 largest accounts follow" in words


def test_the_same_seed_gives_the_same_and_another_another(tmp_path: Path) -> None:
    arguments = files(tmp_path, 9, 8, 7, 6, 5, 4, 3, 2, 1)
    assert figures(*arguments, *SMALL) == figures(*arguments, *SMALL)
    assert figures(*arguments, *SMALL) != figures(*arguments, *SMALL, "--seed", "2")


def test_the_words_name_accounts_and_say_what_kind_of_number_is_which(tmp_path: Path) -> None:
    words = run(*files(tmp_path, 1000, 100, 10, 1), *SMALL)
    assert "A1" in words and "Accounts at risk" in words
    for kind in ("Proven:", "Estimate:", "Bound:"):
        assert kind in words


def test_the_page_stands_alone_and_has_its_figures_in_tables(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    contests = (question("item-1"), question("elect", "cumulative", 2, "ann bob"))
    run(*files(tmp_path, 1000, 100, 10, 1, contests=contests), *SMALL, "--html", str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text()
    assert "default-src 'none'" in text and "Not estimated, for they are cumulative: elect." in text
    for outside in ("<script", "http:", "https:", "url(", "@import", "<link", "<img"):
        assert outside not in text
    svg = text[text.index("<svg") : text.index("</svg>") + len("</svg>")]
    drawing = ET.fromstring(svg)
    assert drawing.get("role") == "img"
    named = [element.text for element in drawing if element.get("id") in drawing.get("aria-labelledby", "").split()]
    assert len(named) == 2 and all(named)
    assert text.count("<table>") == text.count("<caption>") == 3 and text.count('scope="row"') > 6


def test_a_page_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("mine")
    result = CliRunner().invoke(root(), ["privacy", *files(tmp_path, 2, 1), "--html", str(path)])
    assert "exists already" in str(result.exception) and path.read_text() == "mine"


def test_names_from_the_files_are_text_on_the_page() -> None:
    assert "<b>" not in table("a < b", ["<b>"], [["<b>", "&"]])


def test_an_agenda_is_read_for_its_items_alone(tmp_path: Path) -> None:
    contests = (question("one"), question("seats", "choose-up-to", 2, "ann bob cem"), question("c", "cumulative", 3))
    found = read_agenda(agenda(tmp_path, 10, *contests, minimum=4, more='origin = "vote.example/x"\nissuers = []\n'))
    assert [i.id for i in found.items] == ["one", "seats/ann", "seats/bob", "seats/cem"]
    assert found.items[0].choices == ("for", "against", "abstain") and found.items[1].choices == ("ann",)
    assert found.minimum_pseudonyms == 4 and found.skipped == ("c",) and found.items[0].classes == ("common",)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("minimum =", "minimal =", "minimum: this field is required"),
        ("votes = 10", 'votes = "10"', "classes[0].votes: expected an integer, found a string"),
        ("limit = 1", "limits = 1", "contests[0].limits: no such field is known here"),
        ('id = "one"', 'id = "One"', "contests[0].id: must match"),
        ("limit = 1", "limit = 2", "contests[0].limit: choose-one has limit 1"),
        ("choose-one", "cumulative", "contests[0].rule.name: a majority is counted over choose-one"),
        ("[[classes]]", "[[classes", "is not TOML"),
    ],
)
def test_a_wrong_agenda_is_refused_by_the_name_of_its_field(tmp_path: Path, old: str, new: str, fault: str) -> None:
    path = agenda(tmp_path, 10, question("one"))
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        read_agenda(path)
    assert str(caught.value).startswith(f"{path}: {fault}")


def test_an_agenda_of_cumulative_items_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="all are cumulative"):
        read_agenda(agenda(tmp_path, 10, question("c", "cumulative", 3)))


def test_turnout_is_of_accounts_class_by_class() -> None:
    accounts = [Account(f"A{n}", "common" if n < 7 else "preferred", 1) for n in range(10)]
    voters = Electorate(tuple(accounts), (item(), item("pref", classes="preferred")))
    assert ballots_at(voters, 50) == {"common": 4, "preferred": 2}
    made = draw_vote(voters, 50, 0.7, Random(1))
    assert (made.ballots("common"), made.ballots("preferred")) == (4, 2)
    assert sum(made.totals(0)) == 4 and sum(made.totals(1)) == 2


def bound_at(voters: Electorate, ballots: int, minimum: int = 1) -> Bound | None:
    return bound_of(voters, {"common": ballots}, published(agenda_of(voters, minimum), {"common": ballots}))


def test_the_bound_counts_votes_against_totals() -> None:
    # Three of four present, each with two choices or none; the weight present is from 30 to 45.
    bound = bound_at(electorate(5, 10, 15, 20, items=(item(choices="for against"),)), 3)
    assert bound is not None
    assert bound.votes == pytest.approx(log2(comb(4, 3)) + 3 * log2(3))
    assert bound.totals == pytest.approx(log2(4) + log2(comb(9 + 2, 2)))
    assert bound.share == 1
    many = bound_at(electorate(*[1] * 100), 100)
    assert many is not None and many.share == pytest.approx(comb(103, 3) / 4**100)
    assert bound_at(electorate(1, 2, 3, 4), 3, minimum=4) is None


def test_the_interval_is_wilsons_and_wider_for_the_undecided() -> None:
    low, high = Rate(0.5, 0.5, 10).interval
    assert low == pytest.approx(0.2366, abs=1e-4) and high == pytest.approx(0.7634, abs=1e-4)
    assert Rate(0.5, 1, 10).interval == (low, 1)


def test_a_rate_that_is_not_there_says_why() -> None:
    assert [shown(None), shown(None, Rate(0, 1, 4))] == ["withheld", "none voted"]
    assert [shown(Rate(0.25, 0.25, 4)), shown(Rate(0.001, 0.999, 4))] == ["25%", "<1% to >99%"]


def test_every_simulated_vote_is_told(tmp_path: Path) -> None:
    told: list[None] = []
    settings = Settings((50, 100), 3, 0.7, 1, 1, (), ())
    voters = electorate(1, 2, 4)
    estimate(voters, agenda_of(voters), settings, lambda: told.append(None))
    assert len(told) == 6


def test_votes_that_cost_more_are_simulated_less_often() -> None:
    assert [default_votes(n, 9) for n in (10, 35, 40, 500)] == [100, 20, 10, 10] and default_votes(500, 1) == 20
