"""Where in a TOML file a value stands, so that a fault can be named by line and column: the standard parser does not
tell.

Only what an agenda needs: tables, arrays of tables and keys, each at the beginning of a line; what stands within an
array or an inline table is placed where its key is.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any

_KEY = r"(?:[A-Za-z0-9_-]+|\"[^\"\n]*\"|'[^'\n]*')"
_DOTTED = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_DOTTED})\s*\]\]?\s*(?:#.*)?")
_ASSIGNED = re.compile(rf"\s*({_DOTTED})\s*=")
_QUOTES = re.compile(r'"""|\'\'\'')

Place = tuple[int, int]


def places(text: str) -> dict[str, Place]:
    """Line and column, both from 1, of every table and key, by path: `contests[2].rule.threshold`."""
    found: dict[str, Place] = {"": (1, 1)}
    counts: dict[str, int] = {}
    table, open_quotes = "", ""
    for number, line in enumerate(text.split("\n"), 1):
        if not open_quotes:
            header, assigned = _HEADER.fullmatch(line), _ASSIGNED.match(line)
            if header:
                table = _table(header[2], header[1] == "[[", counts)
                found.setdefault(table, (number, header.start(1) + 1))
            elif assigned:
                path = ".".join(filter(None, [table, *_names(assigned[1])]))
                found.setdefault(path, (number, assigned.start(1) + 1))
        open_quotes = _after(line, open_quotes)
    return found


def place_of(found: dict[str, Place], path: str) -> Place:
    """The place of a path, or of the nearest thing around it that has one."""
    while path not in found:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return found[path]


def value_at(table: Any, path: str) -> str | None:
    """The value at a path as it is shown in a message, None if there is none."""
    for step in steps(path):
        try:
            table = table[step]
        except (KeyError, IndexError, TypeError):
            return None
    text = repr(table)
    return text if len(text) <= 60 else f"{text[:57]}..."


def steps(path: str) -> list[str | int]:
    """The names and indices a path is made of: `a.b[3]` is a, b, 3."""
    return [int(index) if index else name for name, index in re.findall(r"([^.\[\]]+)(?![^\[]*\])|\[(\d+)\]", path)]


def _table(dotted: str, repeated: bool, counts: dict[str, int]) -> str:
    """The path of a header, its arrays of tables counted; `[contests.rule]` belongs to the last of the contests."""
    path = ""
    names = _names(dotted)
    for i, name in enumerate(names):
        path = f"{path}.{name}" if path else name
        if repeated and i == len(names) - 1:
            counts[path] = counts.get(path, 0) + 1
        if path in counts:
            path = f"{path}[{counts[path] - 1}]"
    return path


def _names(dotted: str) -> list[str]:
    names: list[str] = []
    for key in re.findall(_KEY, dotted):
        names += tomllib.loads(f"{key} = 0")
    return names


def _after(line: str, open_quotes: str) -> str:
    """The quotes of a string of several lines that is open after this line, or nothing."""
    for quotes in _QUOTES.findall(line):
        if not open_quotes:
            open_quotes = quotes
        elif quotes == open_quotes:
            open_quotes = ""
    return open_quotes
