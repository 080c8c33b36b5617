"""The share register, read strictly, and the weights that follow from it.

An account is one class held in one registered name. A nominee's position may be held for others whose accounts stand in
the register too and name it as their parent: then the parts vote for themselves and the nominee for what remains, so no
share votes twice. Weights are votes: shares times the class's votes per share.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audit.protocol.refused import Refused
from audit.record.manifest import Manifest, ShareClass
from infra.control_numbers import account_id
from infra.table import Column, Row, Table, read_table, text, whole_number

MOST_SHARES = (1 << 40) - 1
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")


def _parent(value: str) -> str:
    return account_id(value) if value else ""


def _email(value: str) -> str:
    if value and not (len(value) <= 254 and _EMAIL.fullmatch(value)):
        raise ValueError("not an e-mail address")
    return value


def _language(value: str) -> str:
    if value and not _LANGUAGE.fullmatch(value):
        raise ValueError("not a language tag such as en or pt-BR")
    return value


COLUMNS: dict[str, Column] = {
    "account_id": account_id,
    "holder_id": text(120, least=1),
    "group_id": text(120),
    "nominee_parent": _parent,
    "class": text(60, least=1),
    "shares": whole_number(1, MOST_SHARES),
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


def read_register(path: Path, manifest: Manifest) -> list[Account]:
    """The accounts that vote, in file order.

    TableError naming every wrong row; Refused `wrong-total` if a class's votes are not those of the manifest.
    """
    table = read_table(path, path.read_bytes(), COLUMNS)
    classes = {c.id: c for c in manifest.classes}
    table.distinct("account_id")
    for row in table.rows:
        if row["class"] not in classes:
            table.fault(row.line, "class", row["class"], f"the manifest has the classes {', '.join(classes)}")
    remaining = _own_shares(table)
    table.check()
    accounts = [
        Account(row["account_id"], row["class"], remaining[row["account_id"]] * classes[row["class"]].votes_per_share)
        for row in table.rows
        if remaining[row["account_id"]]
    ]
    _check_totals(path, accounts, manifest.classes)
    return accounts


def _own_shares(table: Table) -> dict[str, int]:
    """What each account votes for itself: its shares without those of its parts. Notes parts that are none."""
    rows = {row["account_id"]: row for row in table.rows}
    parts: dict[str, list[Row]] = defaultdict(list)
    for row in table.rows:
        parent = rows.get(row["nominee_parent"])
        if row["nominee_parent"]:
            parts[row["nominee_parent"]].append(row)
            if parent is None or parent is row:
                what = "no other account has this name"
                table.fault(row.line, "nominee_parent", row["nominee_parent"], what)
            elif parent["class"] != row["class"]:
                what = f"the nominee holds {parent['class']}, this account {row['class']}"
                table.fault(row.line, "nominee_parent", row["nominee_parent"], what)
    held = {name: row["shares"] - sum(part["shares"] for part in parts[name]) for name, row in rows.items()}
    for name, own in held.items():
        if own < 0:
            row = rows[name]
            table.fault(row.line, "shares", str(row["shares"]), f"the accounts it holds for have {-own} more")
    return held


def _check_totals(path: Path, accounts: Sequence[Account], classes: Sequence[ShareClass]) -> None:
    for share_class in classes:
        found = sum(account.weight for account in accounts if account.share_class == share_class.id)
        if found != share_class.votes:
            text = f"{path}: class {share_class.id} has {found} votes, the manifest says {share_class.votes}"
            raise Refused("wrong-total", text)
