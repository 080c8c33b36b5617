"""What the first issuer tells the others, and only them: which row of the roll is whose, and how its weight is
encrypted.

With (w_i, r_i) the others recompute every E_i and see that each weight is that of their own register. The order of rows
is drawn, since an order that followed the register would let anybody who knows that tell whose row is whose. The file
is as secret as the register, and sealed with a lock that those who share it share.

A reissue has a file of its own, of the classes concerned. It says too which accounts were given new numbers for which
revision, so that no issuer replaces others than the first one did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from audit.protocol.group import b64, scalar_bytes, scalar_from
from audit.protocol.refused import Refused
from infra.control_numbers import MOST_REVISIONS, account_id, to_csv
from infra.sealed import Lock, read_sealed, stored_sealed
from infra.table import Column, read_table, text, whole_number
from intake.register.holdings import MOST_SHARES, Account

MOST_NAMED = 20


def _scalar(value: str) -> int:
    try:
        return scalar_from(value)
    except Refused as refusal:
        raise ValueError(refusal.detail) from None


COLUMNS: dict[str, Column] = {
    "account_id": account_id,
    "class": text(60, least=1),
    "revision": whole_number(0, MOST_REVISIONS),
    "row": whole_number(0, 1 << 30),
    "weight": whole_number(1, MOST_SHARES),
    "randomness": _scalar,
}


@dataclass(frozen=True)
class Opening:
    """An account's row on the roll of its class, and the randomness r_i that encrypts its weight; `revision` is that
    of the roll for which its number was drawn.
    """

    account: Account
    row: int
    r: int = field(repr=False)
    revision: int = 0


def write_openings(path: Path, lock: Lock, openings: Sequence[Opening]) -> None:
    """Stores the openings, for the other issuers and the inspectors; what is stored there already stays."""
    rows = [
        (o.account.id, o.account.share_class, o.revision, o.row, o.account.weight, b64(scalar_bytes(o.r)))
        for o in openings
    ]
    stored_sealed(path, lambda: to_csv(tuple(COLUMNS), rows), lock)


def read_openings(path: Path, lock: Lock, accounts: Sequence[Account], issuer: str) -> list[Opening]:
    """The openings by class and row, once they fit this register; of the classes that stand in the file, every account.
    issuer: who wrote them, and is named.

    TableError naming every row that says something else than the register; SealedError; KeyFileError if there is no
    such file.
    """
    table = read_table(path, read_sealed(path, lock), COLUMNS, secret={"randomness"})
    table.distinct("account_id")
    table.distinct("randomness")
    own = {account.id: account for account in accounts}
    for row in table.rows:
        account = own.get(row["account_id"])
        if account is None:
            what = f"{issuer} lets it vote; by this register no such account does"
            table.fault(row.line, "account_id", row["account_id"], what)
        elif account.share_class != row["class"]:
            what = f"{issuer} says so; by this register it is {account.share_class}"
            table.fault(row.line, "class", row["class"], what)
        elif account.weight != row["weight"]:
            what = f"{issuer} says so; by this register it is {account.weight}"
            table.fault(row.line, "weight", str(row["weight"]), what)
    table.check()
    found = [Opening(own[row["account_id"]], row["row"], row["randomness"], row["revision"]) for row in table.rows]
    opened = classes_of(found)
    _expect_every_row(path, found, [account for account in accounts if account.share_class in opened])
    return sorted(found, key=lambda opening: (opening.account.share_class, opening.row))


def classes_of(openings: Sequence[Opening]) -> dict[str, int]:
    """The classes that are opened, each with the revision of its roll: the latest that a number was drawn for."""
    revisions: dict[str, int] = {}
    for opening in openings:
        share_class = opening.account.share_class
        revisions[share_class] = max(opening.revision, revisions.get(share_class, 0))
    return revisions


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
        missing = sorted({account.id for account in accounts} - {opening.account.id for opening in openings})
        text = f"{path} opens {len(openings)} rows, the register has {len(accounts)} accounts that vote; "
        text += f"not opened: {', '.join(missing[:MOST_NAMED])}"
        raise Refused("wrong-length", text)
    for share_class in {account.share_class for account in accounts}:
        rows = sorted(o.row for o in openings if o.account.share_class == share_class)
        if rows != list(range(len(rows))):
            raise Refused("duplicate", f"{path}: the rows of {share_class} are not 0 to {len(rows) - 1}, each once")
