"""The two kinds of files that control numbers stand in: an issuer's table of all accounts, which is sealed, and a
voter's few lines, which are plain.

Either is as good as the votes of those it names, so both are refused unless only their owner may read them, and no
error repeats a number.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from audit.protocol.control_number import parse_control_number
from audit.protocol.refused import Refused
from infra.keys import read_secret
from infra.sealed import Lock, read_sealed
from infra.table import Column, Table, read_table, text, whole_number

MOST_REVISIONS = 1 << 20
_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")


def account_id(value: str) -> str:
    """An account's name, which also names its files. ValueError."""
    if not _ACCOUNT.fullmatch(value):
        raise ValueError("an account is 1 to 60 letters, digits, and . _ - within")
    return value


def control_number(value: str) -> str:
    """The 25 symbols of a control number as printed. ValueError."""
    try:
        return parse_control_number(value)
    except Refused as refusal:
        raise ValueError(refusal.detail) from None


COLUMNS: dict[str, Column] = {
    "account_id": account_id,
    "class": text(60, least=1),
    "revision": whole_number(0, MOST_REVISIONS),
    "control_number": control_number,
}


def read_number_table(path: Path, lock: Lock) -> Table:
    """An issuer's table: account, class, the revision of its roll for which the number was drawn, and the number; no
    account and no number twice. TableError, SealedError, KeyFileError.
    """
    table = read_table(path, read_sealed(path, lock), COLUMNS, secret={"control_number"})
    table.distinct("account_id")
    table.distinct("control_number")
    table.check()
    return table


def read_number_lines(path: Path) -> list[str]:
    """A voter's numbers, a line each; empty lines are passed over. Refused naming the line; KeyFileError."""
    numbers: list[str] = []
    lines = read_secret(path).decode("utf-8", errors="replace").splitlines()
    for place, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            numbers.append(parse_control_number(line))
        except Refused as refusal:
            raise Refused(refusal.reason, f"{path}, line {place}: {refusal.detail}") from None
    return numbers


def to_csv(columns: Sequence[str], rows: Sequence[Sequence[str | int]]) -> bytes:
    """The table as UTF-8."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue().encode()
