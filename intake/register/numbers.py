"""Control numbers: one for each account and issuer, drawn once, and kept in a file that only the issuer may read.

The file is what the letters are printed from. Whoever has all issuers' files can vote for everybody; one of two can
vote for nobody, and can tell who votes only while the roll is not mixed. It is written before anything that follows
from it is published, and never over another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from audit.protocol.control_number import new_control_number
from audit.protocol.refused import Refused
from infra.control_numbers import COLUMNS, read_number_table, to_csv
from infra.desk import stored
from intake.register.holdings import Account


def numbers_of(path: Path, accounts: Sequence[Account], entropy: Callable[[int], bytes]) -> dict[str, str]:
    """Every account's number, as its 25 symbols; drawn and stored if there are none at `path` yet.

    entropy: gives so many random bytes. TableError; Refused `another-register` if the file is for other accounts.
    """

    def draw() -> bytes:
        rows = [(account.id, account.share_class, new_control_number(entropy(16))) for account in accounts]
        return to_csv(tuple(COLUMNS), rows)

    stored(path, draw)
    table = read_number_table(path)
    if {(row["account_id"], row["class"]) for row in table.rows} != {(a.id, a.share_class) for a in accounts}:
        raise Refused("another-register", f"{path} holds the numbers of other accounts than the register")
    return {row["account_id"]: row["control_number"] for row in table.rows}
