"""What the first issuer tells the others, and only them: which row of the roll is whose, and how its weight is
encrypted.

With (w_i, r_i) the others recompute every E_i and see that each weight is that of their own register. The order of rows
is drawn, since an order that followed the register would let anybody who knows that tell whose row is whose. The file
is as secret as the register.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from audit.protocol.group import b64, scalar_bytes, scalar_from
from audit.protocol.refused import Refused
from infra.control_numbers import account_id, to_csv
from infra.desk import stored
from infra.keys import read_secret
from infra.table import Column, read_table, text, whole_number
from intake.register.holdings import MOST_SHARES, Account


def _scalar(value: str) -> int:
    try:
        return scalar_from(value)
    except Refused as refusal:
        raise ValueError(refusal.detail) from None


COLUMNS: dict[str, Column] = {
    "account_id": account_id,
    "class": text(60, least=1),
    "row": whole_number(0, 1 << 30),
    "weight": whole_number(1, MOST_SHARES),
    "randomness": _scalar,
}


@dataclass(frozen=True)
class Opening:
    """An account's row on the roll of its class, and the randomness r_i that encrypts its weight."""

    account: Account
    row: int
    r: int


def write_openings(path: Path, openings: Sequence[Opening]) -> None:
    """Stores the openings, for the other issuers and the inspectors; what is stored there already stays."""
    rows = [(o.account.id, o.account.share_class, o.row, o.account.weight, b64(scalar_bytes(o.r))) for o in openings]
    stored(path, lambda: to_csv(tuple(COLUMNS), rows))


def read_openings(path: Path, accounts: Sequence[Account]) -> list[Opening]:
    """The openings by class and row, once they fit this register.

    TableError naming every row that says something else than the register; KeyFileError if there is no such file.
    """
    table = read_table(path, read_secret(path), COLUMNS, secret={"randomness"})
    table.distinct("account_id")
    own = {account.id: account for account in accounts}
    for row in table.rows:
        account = own.get(row["account_id"])
        if account is None:
            table.fault(row.line, "account_id", row["account_id"], "no such account votes by this register")
        elif account.share_class != row["class"]:
            table.fault(row.line, "class", row["class"], f"by this register it is {account.share_class}")
        elif account.weight != row["weight"]:
            table.fault(row.line, "weight", str(row["weight"]), f"by this register it is {account.weight}")
    table.check()
    found = [Opening(own[row["account_id"]], row["row"], row["randomness"]) for row in table.rows]
    _expect_every_row(path, found, accounts)
    return sorted(found, key=lambda opening: (opening.account.share_class, opening.row))


def draw_rows(accounts: Sequence[Account], shuffle: Callable[[list[Account]], None]) -> list[tuple[Account, int]]:
    """Each account with its row, in an order drawn for every class."""
    placed: list[tuple[Account, int]] = []
    for share_class in sorted({account.share_class for account in accounts}):
        members = [account for account in accounts if account.share_class == share_class]
        shuffle(members)
        placed += [(account, row) for row, account in enumerate(members)]
    return placed


def _expect_every_row(path: Path, openings: Sequence[Opening], accounts: Sequence[Account]) -> None:
    if len(openings) != len(accounts):
        text = f"{path} opens {len(openings)} rows, the register has {len(accounts)} accounts that vote"
        raise Refused("wrong-length", text)
    for share_class in {account.share_class for account in accounts}:
        rows = sorted(o.row for o in openings if o.account.share_class == share_class)
        if rows != list(range(len(rows))):
            raise Refused("duplicate", f"{path}: the rows of {share_class} are not 0 to {len(rows) - 1}, each once")
