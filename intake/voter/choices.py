"""What a voter wants, in words, becomes the numbers a_1..a_k that a ballot encrypts; or all that is wrong with it is
said.

A contest left empty is "no vote on this item", which nobody can tell from a vote. Words are the choices of the
manifest: one for choose-one, several joined by `;` for choose-up-to, `choice=votes` joined by `;` for cumulative.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from audit.protocol.refused import Refused
from audit.record.manifest import Contest, Manifest
from infra.config import load
from infra.control_numbers import account_id
from infra.table import Column, read_table

Selections = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Wishes:
    """A choices file: `[choices]`, a word or words for each contest."""

    choices: dict[str, str]


@dataclass(frozen=True)
class Instruction:
    """What one account wants."""

    account: str
    selections: Selections


def selection(contest: Contest, words: str) -> tuple[int, ...]:
    """a_1..a_k for the words; all 0 for none. ValueError with a sentence for words that the contest's form does not
    allow.
    """
    votes: dict[str, int] = {}
    for word in filter(None, (word.strip() for word in words.split(";"))):
        choice, given = _choice(contest, word)
        if choice in votes:
            raise ValueError(f"{choice} stands there twice")
        votes[choice] = given
    if sum(votes.values()) > contest.form.limit:
        raise ValueError(_limit(contest))
    return tuple(votes.get(choice, 0) for choice in contest.choices)


def _choice(contest: Contest, word: str) -> tuple[str, int]:
    choice, equals, digits = (part.strip() for part in word.partition("="))
    if choice not in contest.choices:
        raise ValueError(f"the choices are {', '.join(contest.choices)}, or nothing for no vote")
    if contest.form.form == "cumulative":
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= 6):
            raise ValueError(f"votes are given as {choice}=NUMBER")
        return choice, int(digits)
    if equals:
        raise ValueError("a number of votes may be given only where they are cumulative")
    return choice, 1


def _limit(contest: Contest) -> str:
    limit = contest.form.limit
    return {
        "choose-one": "one choice may be named, or none",
        "choose-up-to": f"at most {limit} choices may be named",
        "cumulative": f"at most {limit} votes a share may be given",
    }[contest.form.form]


def read_choices(path: Path, contests: tuple[Contest, ...]) -> Selections:
    """One voter's selections in a TOML file. ConfigError; Refused `not-allowed`, one sentence for each contest that is
    wrong.
    """
    wishes = load(Wishes, path).choices
    known = {contest.id: contest for contest in contests}
    faults = [f"{path}: there is no contest {id!r} to vote on" for id in wishes if id not in known]
    found: dict[str, tuple[int, ...]] = {}
    for contest in contests:
        try:
            found[contest.id] = selection(contest, wishes.get(contest.id, ""))
        except ValueError as error:
            faults.append(f"{path}: {contest.id} = {wishes[contest.id]!r:.80}: {error}")
    if faults:
        raise Refused("not-allowed", "\n".join(faults))
    return found


def read_instructions(path: Path, manifest: Manifest, numbers: Mapping[str, Collection[str]]) -> list[Instruction]:
    """What many accounts want, from a CSV file: account_id, and a column for every contest. numbers: those given for
    each account. TableError naming every wrong row, an account among them that not every issuer has a number for.
    """

    def column(contest: Contest) -> Column:
        return lambda words: selection(contest, words)

    def account(value: str) -> str:
        found, issuers = len(numbers.get(account_id(value), ())), len(manifest.issuers)
        if found != issuers:
            raise ValueError(f"has {found} control numbers of {issuers}")
        return value

    columns = {"account_id": account, **{contest.id: column(contest) for contest in manifest.contests}}
    table = read_table(path, path.read_bytes(), columns)
    table.distinct("account_id")
    table.check()
    return [
        Instruction(row["account_id"], {contest.id: row[contest.id] for contest in manifest.contests})
        for row in table.rows
    ]


def of_class(manifest: Manifest, selections: Selections, share_class: str) -> Selections:
    """The selections for the contests that this class votes on. Refused `unknown-contest` for a vote on another."""
    own = {contest.id for contest in manifest.contests_of(share_class)}
    for id, chosen in selections.items():
        if id not in own and any(chosen):
            raise Refused("unknown-contest", f"shares of class {share_class} do not vote on {id}")
    return {id: chosen for id, chosen in selections.items() if id in own}
