"""A register that could have been: holdings and votes that add up, to the share, to what was published.

Holdings are heavy-tailed and indivisible: an account casts one choice per nominee with all its shares. That every
figure can be hit is shown by construction. Lay the voting accounts out in a row, in any order: the first shares are to
vote for the nominee, the next against, the rest to abstain. Where the border between two choices falls inside an
account, that account is two accounts. A nominee has two borders, so nine nominees, each with an order of its own, cut
at most 18 accounts; starting with 18 fewer than wanted, never fewer than one, all nine come out exactly. Hence the
least: 19 voting accounts, one broker's, one absent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from infra.demo.published import CHOICES, Nominee, Published

TAIL = 1.16
"""Exponent of the Pareto distribution of holdings; with this one, a fifth of the holders hold four fifths."""
BROKERS_PER_MILLE = 30
ABSENT_PER_MILLE = 170
"""Of a large register; of a small one, what the least leaves over."""

VOTING, BROKER, ABSENT = "voting", "broker", "absent"


class TooFewAccounts(Exception):
    """No register of this size reaches the figures; the message says why."""


class TooManyAccounts(Exception):
    """More accounts than shares to hold."""


@dataclass(frozen=True, slots=True)
class Account:
    """A holding in shares, and its word for each nominee in agenda order: none for a broker's or an absent one."""

    number: int
    part: str
    shares: int
    choices: tuple[str, ...] = ()

    @property
    def present(self) -> bool:
        """Whether this account casts a ballot; a broker's is present and votes on no nominee."""
        return self.part != ABSENT


def least_accounts(figures: Published) -> int:
    """How many accounts it takes for indivisible holdings to hit every figure (see the module's text)."""
    return borders(figures.nominees) + 1 + (figures.broker_non_votes > 0) + (figures.absent > 0)


def borders(nominees: tuple[Nominee, ...]) -> int:
    """How many borders between two choices the nominees have together."""
    return sum(sum(votes > 0 for votes in nominee.votes) - 1 for nominee in nominees)


def draw_accounts(figures: Published, accounts: int, seed: int) -> tuple[Account, ...]:
    """`accounts` accounts whose holdings and votes add up to the figures, the same for the same seed, numbered from 1.

    Raises TooFewAccounts, TooManyAccounts.
    """
    brokers, absent = sizes_of_parts(figures, accounts)
    voting = accounts - brokers - absent
    rng = Random(f"psephos demo {seed}")
    drawn = [
        *draw_voting(figures, voting, rng),
        *(Account(0, BROKER, shares) for shares in heavy_tailed(figures.broker_non_votes, brokers, rng)),
        *(Account(0, ABSENT, shares) for shares in heavy_tailed(figures.absent, absent, rng)),
    ]
    rng.shuffle(drawn)
    return tuple(replace(account, number=number) for number, account in enumerate(drawn, start=1))


def sizes_of_parts(figures: Published, accounts: int) -> tuple[int, int]:
    """How many accounts are brokers' and how many absent; the others vote."""
    least = least_accounts(figures)
    if accounts < least:
        raise TooFewAccounts(
            f"{accounts} accounts cannot reach the published figures: an account is indivisible, and the for, against "
            f"and abstain of {len(figures.nominees)} nominees cut the shares that voted into "
            f"{borders(figures.nominees) + 1} holdings; with a broker's account, which votes on no nominee, and an "
            f"absent one it takes at least {least}"
        )
    spare = accounts - least
    brokers = (figures.broker_non_votes > 0) + spare * BROKERS_PER_MILLE // 1000
    absent = (figures.absent > 0) + spare * ABSENT_PER_MILLE // 1000
    for shares, holders in (
        (figures.broker_non_votes, brokers),
        (figures.absent, absent),
        (figures.voting, accounts - brokers - absent),
    ):
        if holders > shares:
            raise TooManyAccounts(f"{accounts} accounts are too many: {holders} of them would share {shares} shares")
    return brokers, absent


def heavy_tailed(shares: int, holders: int, rng: Random) -> list[int]:
    """`holders` holdings of at least one share that add up to `shares`, Pareto-distributed."""
    if not holders:
        return []
    sizes = [rng.paretovariate(TAIL) for _ in range(holders)]
    scale = (shares - holders) / sum(sizes)
    holdings = [1 + int(size * scale) for size in sizes]
    # What rounding left over, less than two shares a holder, goes to (or, by a float's error, comes from) the largest.
    largest = max(range(holders), key=holdings.__getitem__)
    holdings[largest] += shares - sum(holdings)
    return holdings


def draw_voting(figures: Published, count: int, rng: Random) -> list[Account]:
    """`count` accounts that vote, hitting every nominee's figures."""
    start = heavy_tailed(figures.voting, count - borders(figures.nominees), rng)
    accounts = [Account(0, VOTING, shares) for shares in start]
    for nominee in figures.nominees:
        rng.shuffle(accounts)
        accounts = list(vote(accounts, nominee))
    while len(accounts) < count:  # where a border happened to fall between two accounts
        accounts += halve(accounts, rng)
    return accounts


def vote(accounts: list[Account], nominee: Nominee) -> Iterator[Account]:
    """The accounts in this order, each with its word on the nominee added; one that a border falls into is two."""
    left = [(choice, votes) for choice, votes in zip(CHOICES, nominee.votes, strict=True) if votes > 0]
    for account in accounts:
        while account.shares:
            choice, votes = left[0]
            taken = min(account.shares, votes)
            yield replace(account, shares=taken, choices=(*account.choices, choice))
            account = replace(account, shares=account.shares - taken)
            left[0] = (choice, votes - taken)
            if taken == votes:
                left.pop(0)


def halve(accounts: list[Account], rng: Random) -> list[Account]:
    """Takes the largest account out of the list and returns its two parts."""
    largest = accounts.pop(max(range(len(accounts)), key=lambda i: accounts[i].shares))
    part = rng.randint(1, largest.shares - 1)
    return [replace(largest, shares=part), replace(largest, shares=largest.shares - part)]


def count(accounts: tuple[Account, ...], figures: Published) -> dict[str, dict[str, int]]:
    """What these accounts' votes add up to, in the form of a result's `contests`."""
    totals = {nominee.id: dict.fromkeys(CHOICES, 0) for nominee in figures.nominees}
    for account in accounts:
        for nominee, choice in zip(figures.nominees, account.choices, strict=False):
            totals[nominee.id][choice] += account.shares
    return totals
