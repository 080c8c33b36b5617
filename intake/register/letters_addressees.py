"""To whom letters go: every account that votes, with name, postal address and e-mail address from the share register,
and the control number that this issuer drew for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from audit.protocol.control_number import format_control_number
from audit.protocol.refused import Refused
from audit.record.manifest import Manifest
from infra.control_numbers import read_number_table
from infra.table import Table, read_table
from intake.register.holdings import COLUMNS, Account, read_register
from intake.register.letters_occasion import one_line


@dataclass(frozen=True)
class Addressee:
    """One account: whose it is, where they are reached, and its number (25 symbols). `line` is where the register has
    it.
    """

    account: Account
    name: str
    address: tuple[str, ...]
    email: str
    language: str
    line: int
    code: str = field(repr=False)

    @property
    def number(self) -> str:
        """The control number as printed."""
        return format_control_number(self.code)


def read_addressees(register: Path, numbers: Path, manifest: Manifest) -> list[Addressee]:
    """The addressees in the order of the register. Errors as `read_register` and `read_number_table`.

    Refused `another-register` unless the numbers are those of exactly the accounts that vote.
    """
    accounts = read_register(register, manifest)
    codes = _codes(numbers, accounts)
    voting = {account.id: account for account in accounts}
    return [
        Addressee(
            account=voting[row["account_id"]],
            name=one_line(row["name"]),
            address=address_lines(row["postal_address"]),
            email=row["email"],
            language=row["language"],
            line=row.line,
            code=codes[row["account_id"]],
        )
        for row in register_table(register).rows
        if row["account_id"] in voting
    ]


def register_table(register: Path) -> Table:
    """The register's rows, unchecked beyond their columns."""
    return read_table(register, register.read_bytes(), COLUMNS)


def address_lines(address: str) -> tuple[str, ...]:
    """The lines of an address as on an envelope: where it has no line breaks, its commas are taken for them."""
    text = address.strip()
    parts = text.splitlines() if "\n" in text else text.split(",")
    return tuple(line for part in parts if (line := one_line(part)))


def _codes(numbers: Path, accounts: Sequence[Account]) -> dict[str, str]:
    table = read_number_table(numbers)
    if {(row["account_id"], row["class"]) for row in table.rows} != {(a.id, a.share_class) for a in accounts}:
        raise Refused("another-register", f"{numbers} holds the numbers of other accounts than the register")
    return {row["account_id"]: row["control_number"] for row in table.rows}
