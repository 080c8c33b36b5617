"""A strict reader of CSV: every wrong row is reported at once, with file, line, column and value, and none is let
through.

The file is UTF-8 with a first line that names the columns, each of them and no other. Values of a secret column are
never repeated.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MOST_SHOWN = 1_000
LONGEST_SHOWN = 60

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
    """The rows of a file, and of those that could not be read the texts. What is wrong is collected, by the reader and
    by who compares rows, until `check`.
    """

    path: Path
    columns: tuple[str, ...]
    secret: frozenset[str] = frozenset()
    rows: list[Row] = field(default_factory=list)
    unread: list[Mapping[str, str]] = field(default_factory=list)
    _faults: list[tuple[int, int, str]] = field(default_factory=list)

    def fault(self, line: int, column: str, value: str, what: str) -> None:
        """Notes that the value in this column of the row at this line is wrong."""
        place = self.columns.index(column) + 1
        shown = "" if column in self.secret else f" = {_short(value)}"
        self._faults.append((line, place, f"line {line}, column {place} ({column}){shown}: {what}"))

    def note(self, line: int, what: str) -> None:
        """Notes what is wrong with the whole row at this line."""
        self._faults.append((line, 0, f"line {line}: {what}"))

    def distinct(self, column: str) -> None:
        """Notes each value that stands in this column a second time."""
        first: dict[str, int] = {}
        for row in self.rows:
            if first.setdefault(row[column], row.line) != row.line:
                self.fault(row.line, column, str(row[column]), f"stands in line {first[row[column]]} already")

    def check(self) -> None:
        """TableError naming everything noted, in file order."""
        if self._faults:
            raise TableError(self.path, [text for _, _, text in sorted(self._faults)])


def read_table(path: Path, raw: bytes, columns: Mapping[str, Column], secret: Collection[str] = ()) -> Table:
    """The table in `raw`, the bytes of the file at `path`. A row that is wrong is noted and left out; call `check`
    before use.

    TableError at once if it is no UTF-8 or its first line does not name exactly `columns`, in any order.
    """
    try:
        source = io.StringIO(raw.decode("utf-8-sig"), newline="")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise TableError(path, [f"line {line}: not UTF-8"]) from None
    records = _records(path, source)
    _, header = next(records, (1, []))
    _check_header(path, header, columns)
    table = Table(path, tuple(header), frozenset(secret))
    for line, record in records:
        if len(record) != len(header):
            table.note(line, f"has {len(record)} values, not {len(header)}")
            continue
        _read_row(table, line, dict(zip(header, record, strict=True)), columns)
    return table


def _read_row(table: Table, line: int, record: Mapping[str, str], columns: Mapping[str, Column]) -> None:
    values: dict[str, Any] = {}
    for column, text in record.items():
        try:
            values[column] = columns[column](text)
        except ValueError as error:
            table.fault(line, column, text, str(error))
    if len(values) == len(columns):
        table.rows.append(Row(line, values))
    else:
        table.unread.append(record)


def _records(path: Path, source: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line it begins at; empty lines are passed over."""
    reader = csv.reader(source, strict=True)
    while True:
        begins = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise TableError(path, [f"line {begins}: not CSV ({error})"]) from None
        if record:
            yield begins, record


def _check_header(path: Path, header: list[str], columns: Mapping[str, Column]) -> None:
    faults = [f"line 1: the column {name} is missing" for name in columns if name not in header]
    for place, name in enumerate(header, 1):
        if name not in columns:
            faults.append(f"line 1, column {place} = {_short(name)}: no such column is expected")
        elif name in header[: place - 1]:
            faults.append(f"line 1, column {place} = {_short(name)}: the column stands there twice")
    if faults:
        raise TableError(path, faults)


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
