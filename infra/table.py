"""A strict reader of CSV: every wrong row is reported at once, with file, line, column and value, and none is let
through.

The file is UTF-8 with a first line that names the columns, each of them and no other. Values of a secret column are
never repeated.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MOST_SHOWN = 1_000
LONGEST_SHOWN = 60
NOT_UTF_8 = "not UTF-8"

Column = Callable[[str], Any]
"""Parses one value; ValueError with the sentence that says what is expected."""


class TableError(Exception):
    """A file with wrong rows; `faults` holds one sentence for each, in file order."""

    def __init__(self, path: Path, faults: list[str]) -> None:
        self.path, self.faults = path, faults
        more = [f"{path}: and {len(faults) - MOST_SHOWN} more"] if len(faults) > MOST_SHOWN else []
        super().__init__("\n".join([*(f"{path}: {fault}" for fault in faults[:MOST_SHOWN]), *more]))


@dataclass(frozen=True)
class Row:
    """`values` by column; `line` is where the row begins, counted from 1."""

    line: int
    values: dict[str, Any]

    def __getitem__(self, column: str) -> Any:
        return self.values[column]


@dataclass
class Table:
    """The rows of a file, and of those with a fault the values that have none. What is wrong is collected, by the
    reader and by who compares rows, until `check`.
    """

    path: Path
    columns: tuple[str, ...]
    secret: frozenset[str] = frozenset()
    rows: list[Row] = field(default_factory=list)
    unread: list[Row] = field(default_factory=list)
    whole: bool = True  # whether the first line names all columns
    _faults: list[tuple[int, int, str]] = field(default_factory=list)

    def fault(self, line: int, column: str, value: str, what: str) -> None:
        """Notes that the value in this column of the row at this line is wrong."""
        place = self.columns.index(column) + 1
        shown = "" if column in self.secret else f" = {_short(value)}"
        self._faults.append((line, place, f"line {line}, column {place} ({column}){shown}: {what}"))

    def note(self, line: int, what: str) -> None:
        """Notes what is wrong with the whole row at this line."""
        self._faults.append((line, 0, f"line {line}: {what}"))

    def head(self, place: int, what: str) -> None:
        """Notes what is wrong with the name of a column, counted from 1."""
        self._faults.append((1, place, f"line 1, column {place}{what}"))

    @property
    def faulty(self) -> bool:
        """Whether anything is noted."""
        return bool(self._faults)

    def distinct(self, column: str) -> None:
        """Notes each value that stands in this column a second time, also where the rest of a row has a fault."""
        first: dict[str, int] = {}
        for row in sorted((*self.rows, *self.unread), key=lambda row: row.line):
            if column in row.values and first.setdefault(row[column], row.line) != row.line:
                self.fault(row.line, column, str(row[column]), f"stands in line {first[row[column]]} already")

    def check(self) -> None:
        """TableError naming everything noted, in file order."""
        if self._faults:
            raise TableError(self.path, [text for _, _, text in sorted(self._faults)])


def read_table(path: Path, raw: bytes, columns: Mapping[str, Column], secret: Collection[str] = ()) -> Table:
    """The table in `raw`, the bytes of the file at `path`. A row that is wrong, or no CSV, or no UTF-8, is noted and
    left out, and so are all rows if the first line does not name exactly `columns`, in any order; call `check` before
    use.

    TableError at once if the first line is no CSV in UTF-8, for then no column has a name.
    """
    # What is no UTF-8 becomes lone surrogates, which no UTF-8 does, so that it is found in its row.
    records = _records(list(io.StringIO(raw.decode("utf-8-sig", "surrogateescape"), newline="")))
    line, header = next(records, (1, []))
    if isinstance(header, str) or not all(map(_is_text, header)):
        raise TableError(path, [f"line {line}: {header if isinstance(header, str) else NOT_UTF_8}"])
    table = Table(path, tuple(header), frozenset(secret))
    _check_header(table, columns)
    for line, record in records:
        if isinstance(record, str):
            table.note(line, record)
        elif len(record) != len(header):
            said = f"has {len(record)} values, not {len(header)}"
            table.note(line, said if all(map(_is_text, record)) else NOT_UTF_8)
        else:
            # Of a column that stands there twice, the first.
            _read_row(table, line, dict(reversed(list(zip(header, record, strict=True)))), columns)
    return table


def _read_row(table: Table, line: int, record: Mapping[str, str], columns: Mapping[str, Column]) -> None:
    values: dict[str, Any] = {}
    for column, text in record.items():
        if not _is_text(text):
            table.fault(line, column, text, NOT_UTF_8)
        elif column in columns:
            try:
                values[column] = columns[column](text)
            except ValueError as error:
                table.fault(line, column, text, str(error))
    read = table.rows if len(values) == len(columns) and table.whole else table.unread
    read.append(Row(line, values))


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _records(lines: Sequence[str]) -> Iterator[tuple[int, list[str] | str]]:
    """Each record with the line it begins at, or a sentence on what is there instead; empty lines are passed over.

    After a record that is none, such as one whose quotes never end, the next line begins another, so that what it
    swallowed is read too. Given up, with a sentence, when too many are none: every one of them may read far ahead.
    """
    at, wrong = 0, 0
    while wrong < MOST_SHOWN:
        reader = csv.reader((lines[i] for i in range(at, len(lines))), strict=True)
        begins = at
        try:
            while True:
                begins = at + reader.line_num
                record = next(reader)
                if record:
                    yield begins + 1, record
        except StopIteration:
            return
        except csv.Error as error:
            yield begins + 1, f"not CSV ({error})"
        at, wrong = begins + 1, wrong + 1
    yield at + 1, "not read from here on"


def _check_header(table: Table, columns: Mapping[str, Column]) -> None:
    header = table.columns
    for name in columns:
        if name not in header:
            table.note(1, f"the column {name} is missing")
    for place, name in enumerate(header, 1):
        if name not in columns:
            table.head(place, f" = {_short(name)}: no such column is expected")
        elif name in header[: place - 1]:
            table.head(place, f" = {_short(name)}: the column stands there twice")
    table.whole = not table.faulty


def _short(value: str) -> str:
    shown = repr(value)
    return shown if len(shown) <= LONGEST_SHOWN else f"{shown[: LONGEST_SHOWN - 3]}..."


def text(most: int, least: int = 0) -> Column:
    """`least` to `most` characters, printable all of them."""

    def parse(value: str) -> str:
        if not least <= len(value) <= most:
            raise ValueError(f"expected {least} to {most} characters")
        if not all(sign.isprintable() or sign == "\n" for sign in value):
            raise ValueError("holds a control character")
        return value

    return parse


def whole_number(least: int, most: int) -> Column:
    """A decimal number from `least` to `most`, written in digits alone, without leading zeroes."""

    def parse(value: str) -> int:
        plain = value.isascii() and value.isdecimal() and str(int(value[:20])) == value
        if not plain or not least <= int(value) <= most:
            raise ValueError(f"expected a whole number from {least} to {most}, in digits alone")
        return int(value)

    return parse
