"""Letters as a table, for who merges them into a template of their own or hands them to a printer.

Spreadsheets run what looks like a formula, and a name in a share register is written by whoever buys a share. So a
value that could be one begins with an apostrophe, which spreadsheets take for "this is text" (OWASP, "CSV Injection").
"""

from __future__ import annotations

import csv
import io
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Sequence
from typing import BinaryIO

from intake.register.holdings import in_shares
from intake.register.letters_addressees import Addressee
from intake.register.letters_occasion import Occasion

LINES = 8
"""Lines of an address that have columns of their own; the last one takes what is left."""
COLUMNS = (
    "account_id",
    "class",
    "votes",
    "name",
    *(f"address_{i}" for i in range(1, LINES + 1)),
    "email",
    "language",
    "control_number",
    "link",
    "company",
    "meeting",
    "record_date",
    "voting_opens",
    "voting_closes",
    "sender",
    "other_sender",
    "voting_page",
    "fingerprint",
    "manifest",
)
FORMULA = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""The last four are the wide forms of the first four, which some spreadsheets take for them."""


def write_merge(file: BinaryIO, occasion: Occasion, letters: Iterable[Addressee], step: Callable[[], None]) -> None:
    """Writes the table as UTF-8 with a mark at its beginning, by which spreadsheets know it, one row a letter, calling
    `step` after each.
    """
    file.write(BOM_UTF8 + record(COLUMNS))
    for to in letters:
        file.write(record(row(occasion, to)))
        step()


def record(values: Sequence[str]) -> bytes:
    """One line of the table (RFC 4180), every value in quotes and none of them a formula."""
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow([safe(value) for value in values])
    return out.getvalue().encode()


def row(occasion: Occasion, to: Addressee) -> tuple[str, ...]:
    """The values of one letter, in the order of the columns."""
    lines = (*to.address[: LINES - 1], ", ".join(to.address[LINES - 1 :]))
    return (
        to.account.id,
        to.account.share_class,
        in_shares(to.account.weight, occasion.decimals),
        to.name,
        *lines,
        *("" for _ in range(LINES - len(lines))),
        to.email,
        to.language,
        to.number,
        occasion.link(to.code, to.account.weight),
        occasion.company,
        occasion.title,
        occasion.record_date,
        occasion.opens,
        occasion.closes,
        occasion.sender,
        occasion.other,
        occasion.page,
        " ".join(occasion.fingerprint),
        occasion.manifest,
    )


def safe(value: str) -> str:
    """The value, behind an apostrophe if a spreadsheet could take it for a formula."""
    return f"'{value}" if {value[:1], value.lstrip()[:1]} & FORMULA else value
