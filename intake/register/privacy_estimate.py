"""The estimate: many simulated votes at each turnout, what follows from the totals of each, and what would change it.

Three kinds of numbers come out, and none is passed off as another. In one simulated vote, that something follows or is
open is *proven*, or it is left undecided. How often is an *estimate* over the votes simulated, by the odds they were
drawn with; the interval given with it holds 95 times of 100, and what was undecided widens it on one side. The counting
*bound* needs no simulation: among all votes with so many ballots, at most as many are the only ones with their totals
as there are totals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import sqrt
from random import Random

from intake.register.holdings import Account
from intake.register.privacy_agenda import Agenda
from intake.register.privacy_bound import Bound, bound_of
from intake.register.privacy_follows import Findings, Judge, Judgement, Verdict
from intake.register.privacy_published import published
from intake.register.privacy_sampling import Sampler
from intake.register.privacy_votes import Electorate, Vote, ballots_at, draw_vote, in_units, merged

MOST_SEARCHED = 40
"""Accounts up to which every vote with the same totals is searched; above, other votes are sampled."""
STEPS_GIVEN_FEW = 500_000
"""The work on one item of a larger register at which no more than these were present."""
Z = 1.96


@dataclass(frozen=True)
class Settings:
    """How votes are drawn, and what is tried: `pools` least numbers of ballots, `units` votes counted as one."""

    turnouts: tuple[int, ...]
    votes: int
    support: float
    largest: int
    seed: int
    pools: tuple[int, ...]
    units: tuple[int, ...]


@dataclass(frozen=True)
class Rate:
    """How often something follows, over `votes` simulated votes: at least `low`, and `high` if all that is undecided
    follows too.
    """

    low: float
    high: float
    votes: int

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of Wilson's score. Shares of accounts scatter at most as single accounts do."""
        return _wilson(self.low, self.votes, -1), _wilson(self.high, self.votes, 1)


@dataclass(frozen=True)
class Turnout:
    """`withheld`: the contests of which no total is published at this turnout, and `hidden` the classes of which the
    weight present is not; `bound` is of the items that are published, None if none is.
    """

    percent: int
    ballots: int
    withheld: tuple[str, ...]
    hidden: tuple[str, ...]
    bound: Bound | None


@dataclass
class Tally:
    """The simulated votes at one turnout, as they are judged: one (low, high) for each of them."""

    everything: list[tuple[float, float]] = field(default_factory=list)
    largest: list[tuple[float, float]] = field(default_factory=list)

    def add(self, findings: Findings, largest: Sequence[int]) -> None:
        """Nothing is counted if no item was published: then there is nothing that votes could follow from."""
        if not any(findings.votes.values()):
            return
        self.everything.append(_pair([findings.everything]))
        if present := [findings.exposed(i) for i in largest if i in findings.votes]:
            self.largest.append(_pair(present))


@dataclass(frozen=True)
class Measure:
    """How the votes are taken and counted, and the rates at each turnout: that all votes follow, and of the votes of
    the largest holders, the share that follows on at least one item. None where no item's total is published.
    """

    name: str
    label: str
    everything: tuple[Rate | None, ...]
    largest: tuple[Rate | None, ...]


@dataclass
class Risk:
    """One account: at each turnout how often its vote followed on at least one item, and that it cast none."""

    account: Account
    votes: list[Rate | None] = field(default_factory=list)
    absences: list[Rate | None] = field(default_factory=list)

    def worst(self) -> float:
        return max((rate.low for rate in [*self.votes, *self.absences] if rate), default=0.0)


@dataclass(frozen=True)
class Estimate:
    """`minimum` is the agenda's; `searched`: whether all votes with the same totals were; `judged`: the accounts looked
    at one by one.
    """

    electorate: Electorate
    minimum: int
    settings: Settings
    searched: bool
    turnouts: tuple[Turnout, ...]
    measures: tuple[Measure, ...]
    judged: tuple[Risk, ...]

    @property
    def at_risk(self) -> list[Risk]:
        """Accounts of which something was proven to follow in some simulated vote, the most often exposed first."""
        return sorted((r for r in self.judged if r.worst() > 0), key=lambda r: (-r.worst(), -r.account.weight))


@dataclass(frozen=True)
class _Run:
    """One way to take or count the votes, to be simulated: what it makes of a vote."""

    name: str
    label: str
    change: Callable[[Vote], Vote]


def default_units(electorate: Electorate) -> tuple[int, ...]:
    """The two largest powers of ten that move no more than 15% of all votes, and change anything."""
    powers = [10**digits for digits in range(1, 13)]
    return tuple(unit for unit in powers if electorate.unit % unit and moved_by(electorate, unit) <= 0.15)[-2:]


def default_pools(electorate: Electorate) -> tuple[int, ...]:
    """Half of the accounts."""
    return (max(2, len(electorate.accounts) // 2),)


def runs(electorate: Electorate, settings: Settings) -> list[_Run]:
    """What is simulated beside the votes as the agenda has them."""
    found = []
    first = merged(electorate)
    if len(first) < len(electorate.items):
        label = f"the {len(electorate.items)} items merged into {len(first)}"
        found.append(_Run("merged", label, lambda vote: vote.over(first)))
    for unit in settings.units:
        coarse = in_units(electorate, unit)
        label = f"counted in units of {unit:,} votes, which moves {moved_by(electorate, unit):.2%} of all votes"
        found.append(_Run(f"unit-{unit}", label, partial(Vote.weighing, electorate=coarse)))
    return found


def moved_by(electorate: Electorate, unit: int) -> float:
    """The votes that rounding gives to or takes from accounts, as a share of all."""
    coarse = in_units(electorate, unit).accounts
    pairs = zip(electorate.accounts, coarse, strict=True)
    return sum(abs(account.weight - unit * rounded.weight) for account, rounded in pairs) / electorate.votes


def estimate(
    electorate: Electorate, agenda: Agenda, settings: Settings, advance: Callable[[], None] = lambda: None
) -> Estimate:
    """The estimate for an agenda, of which only what its minimum lets trustees decrypt is taken as published; `advance`
    is called after each simulated vote. The same arguments give the same estimate.
    """
    searched = len(electorate.accounts) <= MOST_SEARCHED
    largest = electorate.largest(settings.largest)
    judged = range(len(electorate.accounts)) if searched else largest
    risks = [Risk(electorate.accounts[i]) for i in judged]
    changes = runs(electorate, settings)
    pools = {f"pool-{pool}": pool for pool in settings.pools}
    tallies: dict[str, list[Tally]] = {
        name: [] for name in ("agenda", "attended", *pools, *(run.name for run in changes))
    }
    turnouts = []
    for percent in settings.turnouts:
        for counted in tallies.values():
            counted.append(Tally())
        found: list[Findings] = []
        ballots = ballots_at(electorate, percent)
        shown = published(agenda, ballots)
        raised = {name: max(pool, agenda.minimum_pseudonyms) for name, pool in pools.items()}
        pooled = {name: published(agenda, ballots, minimum) for name, minimum in raised.items()}
        for number in range(settings.votes):
            vote = draw_vote(electorate, percent, settings.support, _rng("vote", settings, percent, number))
            rng = _rng("search", settings, percent, number)
            if as_it_is := judge(shown.of(vote), judged, rng):
                found.append(as_it_is.alone)
                tallies["agenda"][-1].add(as_it_is.alone, largest)
                tallies["attended"][-1].add(as_it_is.attended, largest)
            for name, less in pooled.items():
                if judgement := as_it_is if less == shown else judge(less.of(vote), judged, rng):
                    tallies[name][-1].add(judgement.alone, largest)
            for run in changes:
                if judgement := judge(shown.of(run.change(vote)), judged, rng):
                    tallies[run.name][-1].add(judgement.alone, largest)
            advance()
        for i, risk in zip(judged, risks, strict=True):
            risk.votes.append(_rate([_pair([f.exposed(i)]) for f in found if f.votes.get(i)]))
            risk.absences.append(_rate([_pair([f.absences[i]]) for f in found if i in f.absences]))
        bound = bound_of(electorate, ballots, shown)
        turnouts.append(Turnout(percent, sum(ballots.values()), shown.withheld, tuple(sorted(shown.hidden)), bound))
    labels = {"agenda": "as the agenda has it", "attended": "the same, for one who knows who took part"}
    labels |= {name: f"no total that tells of fewer than {pool:,} ballots" for name, pool in pools.items()}
    labels |= {run.name: run.label for run in changes}
    measures = [_measure(name, label, tallies[name]) for name, label in labels.items()]
    least = agenda.minimum_pseudonyms
    return Estimate(electorate, least, settings, searched, tuple(turnouts), tuple(measures), tuple(risks))


def judge(vote: Vote, judged: Sequence[int], rng: Random) -> Judgement | None:
    """What follows from what is published of a vote; None if nobody voted or no sum is."""
    present = {a.share_class for a, row in zip(vote.electorate.accounts, vote.rows, strict=True) if row is not None}
    if not present or not (vote.electorate.items or present - vote.hidden):
        return None
    if len(vote.rows) <= MOST_SEARCHED:
        return Judge(vote).judge()
    sampled = Sampler(vote, judged, rng).judge()
    if sum(row is not None for row in vote.rows) > MOST_SEARCHED:
        return sampled
    # So few were present that all votes of theirs can be searched; what is open to one who knows them is open to all.
    attended = Judge(vote, STEPS_GIVEN_FEW).attended()
    for account, verdicts in sampled.alone.votes.items():
        for j in verdicts:
            if attended.votes[account][j] is Verdict.OPEN:
                verdicts[j] = Verdict.OPEN
    if attended.everything is Verdict.OPEN:
        sampled.alone.everything = Verdict.OPEN
    return Judgement(sampled.alone, attended)


def _measure(name: str, label: str, tallies: Iterable[Tally]) -> Measure:
    tallies = list(tallies)
    everything = tuple(_rate(tally.everything) for tally in tallies)
    return Measure(name, label, everything, tuple(_rate(tally.largest) for tally in tallies))


def _rate(pairs: Sequence[tuple[float, float]]) -> Rate | None:
    if not pairs:
        return None
    return Rate(sum(low for low, _ in pairs) / len(pairs), sum(high for _, high in pairs) / len(pairs), len(pairs))


def _pair(verdicts: Sequence[Verdict]) -> tuple[float, float]:
    """The share of verdicts that something follows, and the share that do not exclude it."""
    follows = sum(verdict is Verdict.FOLLOWS for verdict in verdicts) / len(verdicts)
    return follows, 1 - sum(verdict is Verdict.OPEN for verdict in verdicts) / len(verdicts)


def _rng(what: str, settings: Settings, percent: int, number: int) -> Random:
    return Random(f"psephos privacy {what} {settings.seed} {percent} {number}")


def _wilson(share: float, number: int, side: int) -> float:
    spread = Z * sqrt(share * (1 - share) / number + Z * Z / (4 * number * number))
    return min(1.0, max(0.0, (share + Z * Z / (2 * number) + side * spread) / (1 + Z * Z / number)))
