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
from infra.sealed import Lock
from intake.register.holdings import Account, open_register
from intake.register.letters_occasion import one_line
from intake.register.numbers import read_numbers


@dataclass(frozen=True)
class Addressee:
    """One account: whose it is, where they are reached, and its number (25 symbols) with the revision of the roll that
    it was drawn for. `line` is where the register has it.
    """

    account: Account
    name: str
    address: tuple[str, ...]
    email: str
    language: str
    line: int
    code: str = field(repr=False)
    revision: int = 0

    @property
    def number(self) -> str:
        """The control number as printed."""
        return format_control_number(self.code)


def read_addressees(register: Path, numbers: Path, lock: Lock, manifest: Manifest) -> list[Addressee]:
    """The addressees in the order of the register. Errors as `open_register` and `read_numbers`."""
    opened = open_register(register, manifest)
    drawn = read_numbers(numbers, lock, opened.accounts)
    voting = {account.id: account for account in opened.accounts}
    return [
        Addressee(
            account=voting[row["account_id"]],
            name=one_line(row["name"]),
            address=address_lines(row["postal_address"]),
            email=row["email"],
            language=row["language"],
            line=row.line,
            code=drawn[row["account_id"]].code,
            revision=drawn[row["account_id"]].revision,
        )
        for row in opened.rows
        if row["account_id"] in voting
    ]


def reissued(to: Sequence[Addressee]) -> list[Addressee]:
    """Those whose numbers are of the newest revision of their class's roll. Refused `missing-field` if no number was
    issued again.
    """
    newest: dict[str, int] = {}
    for one in to:
        newest[one.account.share_class] = max(one.revision, newest.get(one.account.share_class, 0))
    again = [one for one in to if one.revision and one.revision == newest[one.account.share_class]]
    if not again:
        raise Refused("missing-field", "none of these numbers was issued again: name the file after the reissue")
    return again


def address_lines(address: str) -> tuple[str, ...]:
    """The lines of an address as on an envelope: where it has no line breaks, its commas are taken for them."""
    text = address.strip()
    parts = text.splitlines() if "\n" in text else text.split(",")
    return tuple(line for part in parts if (line := one_line(part)))
