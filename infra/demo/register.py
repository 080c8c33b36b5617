"""The files a real meeting starts from: the share register as CSV, and what every account present wants to vote.

Names and addresses are made up, in ranges that belong to nobody (RFC 2606). Whoever is absent stands in the register
and not among the ballots; a broker's account casts a ballot that leaves every nominee empty.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

from infra.demo.holdings import BROKER, Account
from infra.demo.published import Published

COLUMNS = (
    "account_id",
    "holder_id",
    "group_id",
    "nominee_parent",
    "class",
    "shares",
    "name",
    "email",
    "postal_address",
    "language",
)
CLASS = "common"

GIVEN = ("Ada", "Amir", "Bea", "Chidi", "Dana", "Elif", "Femi", "Goran", "Hana", "Ines", "Jun", "Karim", "Lena", "Noor")
FAMILY = ("Adler", "Brandt", "Costa", "Dubois", "Eriksen", "Fischer", "Garcia", "Huber", "Ito", "Jensen", "Lopez")
STREETS = ("Oak Street", "Mill Lane", "Station Road", "Church Street", "Park Avenue", "Bridge Street", "High Street")
LANGUAGES = ("en", "en", "en", "en", "es", "fr", "de")


def write_register(path: Path, accounts: Iterable[Account], seed: int) -> None:
    """Writes the share register, one row an account."""
    rng = Random(f"psephos demo names {seed}")
    write_csv(path, COLUMNS, (register_row(account, rng) for account in accounts))


def register_row(account: Account, rng: Random) -> tuple[str | int, ...]:
    id = account_id(account)
    name = f"{rng.choice(GIVEN)} {rng.choice(FAMILY)}"
    if account.part == BROKER:
        name = f"{rng.choice(FAMILY)} Securities, customers' account {account.number}"
    address = f"{rng.randint(1, 400)} {rng.choice(STREETS)}, Springfield"
    holder = f"H{account.number:06}"
    email = f"holder{account.number}@example.com"
    return id, holder, "", "", CLASS, account.shares, name, email, address, rng.choice(LANGUAGES)


def write_ballots(path: Path, accounts: Iterable[Account], figures: Published) -> None:
    """Writes what to cast, one row an account present: its word on every nominee, or nothing."""
    columns = ("account_id", *(nominee.id for nominee in figures.nominees))
    write_csv(path, columns, ballot_rows(accounts, len(figures.nominees)))


def ballot_rows(accounts: Iterable[Account], nominees: int) -> Iterator[tuple[str, ...]]:
    for account in accounts:
        if account.present:
            yield account_id(account), *(account.choices or ("",) * nominees)


def account_id(account: Account) -> str:
    return f"A{account.number:06}"


def write_csv(path: Path, columns: tuple[str, ...], rows: Iterable[tuple[str | int, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
