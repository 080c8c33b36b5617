"""The estimate in words and tables, for a terminal, and as JSON; each number with what it is: proven, bound or
estimate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from intake.register.privacy_bound import Bound
from intake.register.privacy_estimate import Estimate, Rate, Risk, Turnout

MOST_NAMED = 20
MOST_LISTED = 5


def headline(estimate: Estimate) -> str:
    electorate = estimate.electorate
    items = "1 item" if len(electorate.items) == 1 else f"{len(electorate.items)} items"
    return f"{len(electorate.accounts):,} accounts with {electorate.votes:,} votes, {items}"


def method(estimate: Estimate) -> str:
    """How the simulated votes were judged."""
    if estimate.searched:
        how = (
            "For each, every vote with the same totals was searched: what follows and what is open is proven; where "
            "a search was given up, a figure is a range."
        )
    else:
        how = (
            f"There are too many accounts to search every vote with the same totals, so the {len(estimate.judged)} "
            "largest accounts were judged one by one: that a vote follows is proven by its size alone, that it is "
            "open by another vote with the same totals; what was shown neither way widens a figure to a range."
        )
    settings = estimate.settings
    odds = f"{settings.support:.0%} of ballots vote for the first choice of an item (--support)"
    return (
        f"{settings.votes} votes were simulated at each turnout over the real holdings; {odds}, and who takes part is "
        f"drawn evenly. {how}"
    )


def verdict(estimate: Estimate) -> str:
    """The one sentence to take home."""
    base = estimate.measures[0].largest
    rated = [(rate, t) for rate, t in zip(base, estimate.turnouts, strict=True) if rate]
    if not rated:
        return "At these turnouts no total is published, so no vote follows."
    worst, at = max(rated, key=lambda pair: pair[0].low)
    possible, when = max(rated, key=lambda pair: pair[0].high)
    if worst.low:
        found = f"At a turnout of {at.percent}%, {shown(worst)} of the votes of the {named_largest(estimate)} follow"
        who = "for anybody who knows the register"
    else:
        found, who = f"No vote of the {named_largest(estimate)} was shown to follow", ""
    text = f"{found} from the totals{', ' + who if who else ''}"
    if possible.high > worst.high or (possible.high and not worst.low):
        text += f"; at {when.percent}% up to {percent(possible.high)} could not be ruled out"
    return f"{text}."


def named_largest(estimate: Estimate) -> str:
    number = min(estimate.settings.largest, len(estimate.electorate.accounts))
    return f"{number} largest accounts" if number > 1 else "largest account"


NOTES = (
    "Proven: in one simulated vote, that something follows (it is so in every vote with the same totals) or is open "
    "(it is otherwise in another one).",
    "Estimate: every percentage of votes, for the odds above; in brackets the 95% interval. A range is from what was "
    "proven to follow to what was not shown to be open.",
    "Bound: if all votes with so many ballots were equally likely, at most this share would be the only ones with "
    "their totals, so that everything follows. It says nothing of single accounts.",
    "Follows means certainty, from the register, the totals, the weight present and the number of ballots. Open is not "
    "secret: a guess may still be nearly certain, and whoever knows some votes, such as a holder its own, infers more.",
)


def percent(share: float) -> str:
    if 0 < share < 0.01:
        return "<1%"
    return ">99%" if 0.99 < share < 1 else f"{share:.0%}"


def shown(rate: Rate | None, everything: Rate | None = None) -> str:
    """A rate as a figure or a range. There is none where no total is published, or, if one is, where none of the
    largest took part in any simulated vote.
    """
    if rate is None:
        return "none voted" if everything else "withheld"
    low, high = percent(rate.low), percent(rate.high)
    return low if low == high else f"{low} to {high}"


def with_interval(rate: Rate | None, everything: Rate | None = None) -> str:
    if rate is None:
        return shown(rate, everything)
    low, high = rate.interval
    return f"{shown(rate)} [{low:.0%} to {high:.0%}]"


def bound_shown(bound: Bound | None) -> str:
    if bound is None:
        return "withheld"
    if bound.share == 1:
        return "no bound"
    return percent(bound.share) if bound.share > 1e-4 else f"2^-{bound.votes - bound.totals:.0f}"


def withheld_notes(estimate: Estimate) -> list[str]:
    """What the agenda's minimum keeps secret, and at which turnouts."""
    contests = {item.contest for item in estimate.electorate.items}
    told: dict[str, list[str]] = {}
    for turnout in estimate.turnouts:
        if what := _withheld(turnout, contests):
            told.setdefault(what, []).append(f"{turnout.percent}%")
    least = f"no sum that tells of fewer than {estimate.minimum:,} voters is decrypted"
    return [f"At a turnout of {', '.join(when)} {what} withheld: {least}." for what, when in told.items()]


def _withheld(turnout: Turnout, contests: set[str]) -> str:
    items = "" if not turnout.withheld else f"the totals of {_listed(turnout.withheld)}"
    if contests <= set(turnout.withheld):
        items = "all totals"
    weights = f"the weight present of {_listed(turnout.hidden)}" if turnout.hidden else ""
    both = " and ".join(filter(None, (items, weights)))
    return both and f"{both} {'is' if both == weights else 'are'}"


def _listed(names: Sequence[str]) -> str:
    more = [f"{len(names) - MOST_LISTED} more"] if len(names) > MOST_LISTED else []
    return ", ".join([*names[:MOST_LISTED], *more])


def worst_of(rates: Sequence[Rate | None], estimate: Estimate) -> str:
    """The highest of an account's rates with its turnout."""
    rated = [(rate, t.percent) for rate, t in zip(rates, estimate.turnouts, strict=True) if rate]
    if not rated:
        return "-"
    rate, turnout = max(rated, key=lambda pair: (pair[0].low, pair[0].high))
    return f"{shown(rate)} at {turnout}%" if rate.high else "never"


def rows_of_turnouts(estimate: Estimate) -> list[list[str]]:
    """Turnout, ballots, all votes follow, the largest's follow, the same if attendance is known, and the bound."""
    base, attended = estimate.measures[:2]
    return [
        [
            f"{turnout.percent}%",
            f"{turnout.ballots:,}",
            with_interval(base.everything[n]),
            with_interval(base.largest[n], base.everything[n]),
            with_interval(attended.largest[n], attended.everything[n]),
            bound_shown(turnout.bound),
        ]
        for n, turnout in enumerate(estimate.turnouts)
    ]


COLUMNS = (
    "turnout",
    "ballots",
    "all votes follow",
    "votes of the largest that follow",
    "the same, knowing who took part",
    "bound on all votes following",
)


def rows_at_risk(risks: Sequence[Risk], estimate: Estimate) -> list[list[str]]:
    """Account, class, votes, share of all, how often its vote and that it stayed away follow."""
    votes = estimate.electorate.votes
    return [
        [
            risk.account.id,
            risk.account.share_class,
            f"{risk.account.weight:,}",
            f"{risk.account.weight / votes:.2%}",
            worst_of(risk.votes, estimate),
            worst_of(risk.absences, estimate),
        ]
        for risk in risks
    ]


RISK_COLUMNS = ("account", "class", "votes", "of all", "its vote follows", "that it stayed away follows")


def rows_of_measures(estimate: Estimate) -> list[list[str]]:
    """What is done, then at each turnout how many of the largest's votes follow."""
    return [[measure.label, *map(shown, measure.largest, measure.everything)] for measure in estimate.measures]


def print_report(console: Console, estimate: Estimate, skipped: Sequence[str]) -> None:
    """Prints the whole report."""
    console.print(f"[bold]What exact totals give away: {headline(estimate)}", highlight=False)
    for line in (method(estimate), verdict(estimate), *skipped_note(skipped)):
        console.print(line, highlight=False, markup=False)
    table(console, "What follows from the totals", COLUMNS, rows_of_turnouts(estimate), left=0)
    for line in withheld_notes(estimate):
        console.print(line, highlight=False, markup=False)
    risks = estimate.at_risk
    if risks:
        more = f" (the first {MOST_NAMED} of {len(risks)})" if len(risks) > MOST_NAMED else ""
        table(console, f"Accounts at risk{more}", RISK_COLUMNS, rows_at_risk(risks[:MOST_NAMED], estimate), left=2)
    else:
        console.print("Nothing was proven to follow of any account that was judged.", highlight=False)
    columns = ["turnout", *(f"{turnout.percent}%" for turnout in estimate.turnouts)]
    title = "What would change it: votes of the largest that follow"
    table(console, title, columns, rows_of_measures(estimate), left=1)
    for note in NOTES:
        console.print(note, highlight=False, markup=False)


def skipped_note(skipped: Sequence[str]) -> list[str]:
    return [f"Not estimated, for they are cumulative: {', '.join(skipped)}."] if skipped else []


def table(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> None:
    """Prints a table whose first `left` columns are words and whose others are figures."""
    made = Table(title=title, title_justify="left")
    for place, column in enumerate(columns):
        made.add_column(column, justify="left" if place < left else "right")
    for row in rows:
        made.add_row(*row)
    console.print(made, highlight=False)


def to_json(estimate: Estimate, skipped: Sequence[str]) -> dict[str, Any]:
    """The estimate as a JSON object; a rate that is null was withheld, or never came up."""
    settings = estimate.settings
    return {
        "accounts": len(estimate.electorate.accounts),
        "votes": estimate.electorate.votes,
        "items": [item.id for item in estimate.electorate.items],
        "skipped": list(skipped),
        "method": "searched" if estimate.searched else "sampled",
        "simulated": settings.votes,
        "support": settings.support,
        "minimum": estimate.minimum,
        "seed": settings.seed,
        "largest": [estimate.electorate.accounts[i].id for i in estimate.electorate.largest(settings.largest)],
        "turnouts": [
            {
                "percent": turnout.percent,
                "ballots": turnout.ballots,
                "withheld": {"contests": list(turnout.withheld), "weight_present": list(turnout.hidden)},
                "bound": _bound(turnout.bound),
            }
            for turnout in estimate.turnouts
        ],
        "measures": [
            {
                "name": measure.name,
                "label": measure.label,
                "all_votes": [_rate(rate) for rate in measure.everything],
                "largest": [_rate(rate) for rate in measure.largest],
            }
            for measure in estimate.measures
        ],
        "at_risk": [
            {
                "account": risk.account.id,
                "class": risk.account.share_class,
                "votes": risk.account.weight,
                "vote_follows": [_rate(rate) for rate in risk.votes],
                "absence_follows": [_rate(rate) for rate in risk.absences],
            }
            for risk in estimate.at_risk
        ],
    }


def _bound(bound: Bound | None) -> dict[str, Any] | None:
    if bound is None:
        return None
    bits = {"bits_of_votes": round(bound.votes, 3), "bits_of_totals": round(bound.totals, 3)}
    return {**bits, "share": bound.share}


def _rate(rate: Rate | None) -> dict[str, Any] | None:
    if rate is None:
        return None
    interval = [round(edge, 6) for edge in rate.interval]
    return {"proven": round(rate.low, 6), "possible": round(rate.high, 6), "interval": interval, "of": rate.votes}
