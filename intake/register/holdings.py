"""The share register, read strictly, and the weights that follow from it.

An account is one class held in one registered name. A nominee's position may be held for others whose accounts stand in
the register too and name it as their parent: then the parts vote for themselves and the nominee for what remains, so no
share votes twice. Shares that the company holds in itself, the group `treasury`, do not vote. Shares of fractions are
counted in units of the last decimal that the manifest declares, exactly. Weights are votes: units times the class's
votes per share.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from audit.protocol.refused import Refused
from audit.record.manifest import Manifest, ShareClass
from infra.control_numbers import account_id
from infra.table import Column, Row, Table, read_table, text, whole_number

MOST_SHARES = (1 << 40) - 1
TREASURY = "treasury"
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")


def _parent(value: str) -> str:
    return account_id(value) if value else ""


def _group(value: str) -> str:
    group: str = text(120)(value)
    if group != TREASURY and group.strip().casefold() == TREASURY:
        raise ValueError(f"shares that the company holds in itself are of the group {TREASURY}, written so")
    return group


def _email(value: str) -> str:
    if value and not (len(value) <= 254 and _EMAIL.fullmatch(value)):
        raise ValueError("not an e-mail address")
    return value


def _language(value: str) -> str:
    if value and not _LANGUAGE.fullmatch(value):
        raise ValueError("not a language tag such as en or pt-BR")
    return value


def shares(decimals: int) -> Column:
    """A number of shares with at most so many decimal places, as units of the last: 1.5 with three is 1500."""
    if not decimals:
        return whole_number(1, MOST_SHARES)
    form = re.compile(rf"(0|[1-9][0-9]{{0,19}})(?:\.([0-9]{{1,{decimals}}}))?", re.ASCII)

    def parse(value: str) -> int:
        found = form.fullmatch(value)
        units = int(found[1] + (found[2] or "").ljust(decimals, "0")) if found else 0
        if not 1 <= units <= MOST_SHARES:
            least, most = in_shares(1, decimals), in_shares(MOST_SHARES, decimals)
            raise ValueError(f"expected a number from {least} to {most} with at most {decimals} decimal places")
        return units

    return parse


def one_of(classes: Sequence[str]) -> Column:
    """The id of one of these classes."""

    def parse(value: str) -> str:
        if value not in classes:
            raise ValueError(f"the manifest has the classes {', '.join(classes)}")
        return value

    return parse


def in_shares(units: int, decimals: int) -> str:
    """Units as the number of shares that a register says."""
    whole, part = divmod(units, 10**decimals)
    return f"{whole}.{part:0{decimals}}" if decimals else str(whole)


COLUMNS: dict[str, Column] = {
    "account_id": account_id,
    "holder_id": text(120, least=1),
    "group_id": _group,
    "nominee_parent": _parent,
    "class": text(60, least=1),
    "shares": shares(0),
    "name": text(300, least=1),
    "email": _email,
    "postal_address": text(1_000),
    "language": _language,
}


@dataclass(frozen=True)
class Account:
    """Who votes, on which roll, with how many votes; at least one."""

    id: str
    share_class: str
    weight: int


@dataclass(frozen=True)
class ClassTotal:
    """A class as the register has it: its accounts, those of them that vote, its shares and the treasury's in units,
    and its votes.
    """

    id: str
    accounts: int
    voting: int
    shares: int
    treasury: int
    votes: int


@dataclass(frozen=True)
class Register:
    """A register without a fault: all its rows, and the accounts that vote, in file order."""

    path: Path
    rows: tuple[Row, ...]
    accounts: tuple[Account, ...]
    totals: tuple[ClassTotal, ...]


def read_register(path: Path, manifest: Manifest) -> list[Account]:
    """The accounts that vote, in file order. Errors as `open_register`."""
    return list(open_register(path, manifest).accounts)


def open_register(path: Path, manifest: Manifest) -> Register:
    """The register in a file; of the manifest only the classes are read.

    TableError naming every wrong row; Refused `wrong-total` if a class's votes are not those of the manifest.
    """
    classes = {c.id: c for c in manifest.classes}
    decimals = manifest.classes[0].decimals
    columns = {**COLUMNS, "class": one_of(tuple(classes)), "shares": shares(decimals)}
    table = read_table(path, path.read_bytes(), columns)
    table.distinct("account_id")
    held = _own_shares(table, decimals)
    table.check()
    accounts = tuple(
        Account(row["account_id"], row["class"], held[row["account_id"]] * classes[row["class"]].votes_per_share)
        for row in table.rows
        if held[row["account_id"]] and row["group_id"] != TREASURY
    )
    totals = tuple(_total(share_class, table.rows, held) for share_class in manifest.classes)
    _check_totals(path, totals, manifest.classes)
    return Register(path, tuple(table.rows), accounts, totals)


def _own_shares(table: Table, decimals: int) -> dict[str, int]:
    """What each account holds for itself, in units: its shares without those of its parts. Notes parts that are none.
    """
    rows = {row["account_id"]: row for row in table.rows}
    parts: dict[str, list[Row]] = defaultdict(list)
    for row in table.rows:
        if row["nominee_parent"]:
            parts[row["nominee_parent"]].append(row)
            what = _wrong_parent(row, rows, table)
            if what:
                table.fault(row.line, "nominee_parent", row["nominee_parent"], what)
    held = {name: row["shares"] - sum(part["shares"] for part in parts[name]) for name, row in rows.items()}
    for name, own in held.items():
        if own < 0:
            row, more = rows[name], in_shares(-own, decimals)
            what = f"the accounts it holds for have {more} more"
            table.fault(row.line, "shares", in_shares(row["shares"], decimals), what)
    return held


def _wrong_parent(row: Row, rows: Mapping[str, Row], table: Table) -> str:
    """Why the account that this row names is not its nominee; "" if it may be."""
    parent = rows.get(row["nominee_parent"])
    if parent is None and any(other.values.get("account_id") == row["nominee_parent"] for other in table.unread):
        # Its own row is noted already.
        return ""
    if parent is None or parent is row:
        return "no other account has this name"
    if parent["class"] != row["class"]:
        return f"the nominee holds {parent['class']}, this account {row['class']}"
    passed = {row["account_id"]}
    while parent is not None:
        if parent["account_id"] in passed:
            return "the nominee holds, through others, for itself" if parent is row else ""
        passed.add(parent["account_id"])
        parent = rows.get(parent["nominee_parent"])
    return ""


def _total(share_class: ShareClass, rows: Sequence[Row], held: Mapping[str, int]) -> ClassTotal:
    members = [row for row in rows if row["class"] == share_class.id]
    own = [(held[row["account_id"]], row["group_id"] == TREASURY) for row in members]
    voting = [units for units, treasury in own if units and not treasury]
    return ClassTotal(
        id=share_class.id,
        accounts=len(members),
        voting=len(voting),
        shares=sum(units for units, _ in own),
        treasury=sum(units for units, treasury in own if treasury),
        votes=sum(voting) * share_class.votes_per_share,
    )


def _check_totals(path: Path, totals: Sequence[ClassTotal], classes: Sequence[ShareClass]) -> None:
    for found, share_class in zip(totals, classes, strict=True):
        if found.votes != share_class.votes:
            text = f"{path}: class {found.id} has {found.votes} votes, the manifest says {share_class.votes}"
            raise Refused("wrong-total", text)
