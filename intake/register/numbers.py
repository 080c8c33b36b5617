"""Control numbers: one for each account and issuer, drawn once, and kept in a sealed file that only the issuer opens.

The file is what the letters are printed from. Whoever has all issuers' files can vote for everybody; one of two can
vote for nobody, and can tell who votes only while the roll is not mixed. It is written before anything that follows
from it is published, and never over another: a reissue writes another file, in which the numbers of the accounts
concerned are new and all others are as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from audit.protocol.control_number import format_control_number, new_control_number
from audit.protocol.refused import Refused
from infra.control_numbers import COLUMNS, account_id, read_number_table, to_csv
from infra.sealed import Lock, stored_sealed
from infra.table import TableError
from intake.register.holdings import Account

Entropy = Callable[[int], bytes]
"""Gives so many random bytes."""


@dataclass(frozen=True)
class Number:
    """An account's number, as its 25 symbols, and the revision of the roll for which it was drawn."""

    revision: int
    code: str = field(repr=False)


def numbers_of(
    path: Path, lock: Lock, accounts: Sequence[Account], revisions: Mapping[str, int], entropy: Entropy
) -> dict[str, Number]:
    """Every account's number by its id; drawn for these revisions, by class, and stored if there are none at `path`
    yet.

    Errors as `read_numbers`.
    """

    def draw() -> bytes:
        return _table((a, revisions[a.share_class], new_control_number(entropy(16))) for a in accounts)

    stored_sealed(path, draw, lock)
    return read_numbers(path, lock, accounts)


def read_numbers(path: Path, lock: Lock, accounts: Sequence[Account]) -> dict[str, Number]:
    """The numbers kept at `path`. TableError, SealedError, KeyFileError; Refused `another-register` if they are for
    other accounts.
    """
    table = read_number_table(path, lock)
    if {(row["account_id"], row["class"]) for row in table.rows} != {(a.id, a.share_class) for a in accounts}:
        raise Refused("another-register", f"{path} holds the numbers of other accounts than the register")
    return {row["account_id"]: Number(row["revision"], row["control_number"]) for row in table.rows}


def drawn_for(numbers: Mapping[str, Number], accounts: Sequence[Account]) -> dict[str, int]:
    """The classes of these accounts, each with the revision of its roll: the latest that a number was drawn for."""
    revisions: dict[str, int] = {}
    for account in accounts:
        known = revisions.get(account.share_class, 0)
        revisions[account.share_class] = max(numbers[account.id].revision, known)
    return revisions


def renewed(
    path: Path,
    lock: Lock,
    accounts: Sequence[Account],
    former: Mapping[str, Number],
    revisions: Mapping[str, int],
    entropy: Entropy,
) -> dict[str, Number]:
    """As `numbers_of`, with new numbers for the accounts in `revisions`, drawn for those revisions, and the former ones
    of all others. If there is a file at `path` already, it is the revisions in it that count.

    Errors as `read_numbers`; Refused `another-register` if that file renews the numbers of other accounts.
    """

    def draw() -> bytes:
        return _table(
            (account, revisions[account.id], new_control_number(entropy(16)))
            if account.id in revisions
            else (account, former[account.id].revision, format_control_number(former[account.id].code))
            for account in accounts
        )

    stored_sealed(path, draw, lock)
    numbers = read_numbers(path, lock, accounts)
    other = {id for id, number in numbers.items() if number != former[id]} ^ revisions.keys()
    if other:
        text = f"{path} renews the numbers of other accounts than those lost: {', '.join(sorted(other))}"
        raise Refused("another-register", text)
    return numbers


def read_lost(path: Path, accounts: Collection[Account]) -> list[str]:
    """The accounts whose numbers are lost, from a file with one id a line. TableError naming every wrong line."""
    known = {account.id for account in accounts}
    faults: list[str] = []
    lost: list[str] = []
    for line, id in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        try:
            if not id.strip():
                continue
            if account_id(id.strip()) not in known:
                raise ValueError("no such account votes by this register")
            if id.strip() in lost:
                raise ValueError("stands there twice")
            lost.append(id.strip())
        except ValueError as error:
            faults.append(f"line {line} = {id.strip()[:60]!r}: {error}")
    if not lost and not faults:
        faults.append("names no account")
    if faults:
        raise TableError(path, faults)
    return lost


def _table(numbers: Iterable[tuple[Account, int, str]]) -> bytes:
    rows = [(account.id, account.share_class, revision, number) for account, revision, number in numbers]
    return to_csv(tuple(COLUMNS), rows)
