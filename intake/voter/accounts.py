"""Whose ballots a command is about: the control numbers of one account, or of many from the issuers' sealed tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import typer

from audit.log.reader import ReadError
from audit.protocol.refused import Refused
from audit.record.manifest import Manifest
from infra.control_numbers import read_number_lines, read_number_table
from infra.follow import WrongLog
from infra.sealed import Lock, lock_for
from infra.table import Table
from intake.voter.choices import read_instructions
from intake.voter.holder import Holder
from intake.voter.opening import Opening
from intake.voter.orders import Order

SINGLE = "ballot"
"""The name of the one account whose numbers stand in a file of lines."""
NUMBERS_HELP = "Control numbers, never an argument: one file of lines; with --batch, each issuer's sealed table."
BATCH_HELP = "A CSV file: account_id, and a column for every contest; an empty value means no vote on it."
UNLOCK_HELP = "With --batch, what unseals the tables: a file with passphrase or key for each, or one for all."


def codes_in(numbers: Sequence[Path]) -> list[str]:
    """One account's numbers, which stand in one file or several."""
    return [code for path in numbers for code in read_number_lines(path)]


def locks_for(numbers: Sequence[Path], unlock: Sequence[Path]) -> list[Lock]:
    """What unseals each table of numbers. SealedError, KeyFileError; typer.BadParameter for locks that do not fit."""
    if len(unlock) not in (0, 1, len(numbers)):
        raise typer.BadParameter("give --unlock once, or once for each --numbers in their order")
    files: Sequence[Path | None] = unlock if len(unlock) == len(numbers) else [*unlock, None][:1] * len(numbers)
    return [lock_for(path, file) for path, file in zip(numbers, files, strict=True)]


def read_tables(numbers: Sequence[Path], locks: Sequence[Lock]) -> list[Table]:
    """The issuers' tables. TableError, SealedError, KeyFileError."""
    return [read_number_table(path, lock) for path, lock in zip(numbers, locks, strict=True)]


def batch_orders(manifest: Manifest, tables: Sequence[Table], batch: Path) -> list[Order]:
    """The orders of many accounts. TableError as `read_instructions`."""
    codes: dict[str, list[str]] = defaultdict(list)
    classes: dict[str, str] = {}
    for table in tables:
        for row in table.rows:
            codes[row["account_id"]].append(row["control_number"])
            classes[row["account_id"]] = row["class"]
    wanted = read_instructions(batch, manifest, codes)
    return [Order(one.account, codes[one.account], classes[one.account], one.selections) for one in wanted]


def find_holders(opening: Opening, orders: Sequence[Order]) -> tuple[dict[str, Holder], dict[str, str]]:
    """The holders by name, and why there is none for the others: what is wrong with a part of the log, or cannot be
    read of it, concerns those whose rows stand there."""
    holders: dict[str, Holder] = {}
    failed: dict[str, str] = {}
    for order in orders:
        try:
            holders[order.name] = order.holder(opening)
        except (Refused, ReadError, WrongLog) as fault:
            failed[order.name] = str(fault)
    return holders, failed
