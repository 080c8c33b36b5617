"""Where in a TOML file a value stands, so that a fault can be named by line and column: the standard parser does not
tell.

Tables and keys are placed where their names begin, items of a list where they do.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from typing import Any

_KEY = r"(?:[A-Za-z0-9_-]+|\"[^\"\n]*\"|'[^'\n]*')"
_DOTTED = rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*"
_HEADER = re.compile(rf"(\[\[?)[ \t]*({_DOTTED})[ \t]*\]\]?[ \t]*(?=#|\n|\r|$)")
_ASSIGNED = re.compile(rf"({_DOTTED})[ \t]*=[ \t]*")
_BLANK = re.compile(r"(?:\s|#[^\n]*)*")
_REST = re.compile(r"[^\n]*\n?")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?!")|' r"'''.*?'''(?!')|" r'"(?:[^"\\\n]|\\.)*"|' r"'[^'\n]*'", re.DOTALL
)
_BARE = re.compile(r"[^,\]}\n#]*")

Place = tuple[int, int]


def places(text: str) -> dict[str, Place]:
    """Line and column, both from 1, of every table, key and item of a list, by path: `contests[2].rule.threshold[0]`.
    """
    return _Scan(text).statements()


class _Scan:
    """One passage through a text that is TOML; through any other it gets, too, and finds what it can."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.found: dict[str, Place] = {"": (1, 1)}
        self.begins = [0, *(i + 1 for i, sign in enumerate(text) if sign == "\n")]

    def statements(self) -> dict[str, Place]:
        table, counts = "", dict[str, int]()
        self.skip(_BLANK)
        while self.at < len(self.text):
            header, assigned = _HEADER.match(self.text, self.at), _ASSIGNED.match(self.text, self.at)
            if header:
                table = _table(header[2], header[1] == "[[", counts)
                self.note(table)
            elif assigned:
                self.assigned(assigned, table)
            self.skip(_REST)
            self.skip(_BLANK)
        return self.found

    def note(self, path: str) -> None:
        line = bisect_right(self.begins, self.at)
        self.found.setdefault(path, (line, self.at - self.begins[line - 1] + 1))

    def skip(self, what: re.Pattern[str]) -> None:
        found = what.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def assigned(self, key: re.Match[str], table: str) -> None:
        path = ".".join(filter(None, [table, *_names(key[1])]))
        self.note(path)
        self.at = key.end()
        self.value(path)

    def value(self, path: str) -> None:
        """Passes a value, noting what is in it."""
        opened = self.text[self.at : self.at + 1]
        if opened not in ("[", "{"):
            self.skip(_STRING if _STRING.match(self.text, self.at) else _BARE)
            return
        self.at += 1
        closing, number = {"[": "]", "{": "}"}[opened], 0
        while True:
            self.skip(_BLANK)
            before, key = self.at, _ASSIGNED.match(self.text, self.at)
            if self.text[before : before + 1] in (closing, ""):
                break
            if opened == "{" and key:
                self.assigned(key, path)
            elif opened == "[":
                self.note(f"{path}[{number}]")
                self.value(f"{path}[{number}]")
                number += 1
            self.skip(_BLANK)
            if self.at == before or self.text[self.at : self.at + 1] == ",":
                self.at += 1
        self.at += 1


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
    if isinstance(table, dict) and "id" in table:
        return f"{{id = {table['id']!r:.50}, ...}}"
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
        try:
            names += tomllib.loads(f"{key} = 0")
        except tomllib.TOMLDecodeError:
            names.append(key)
    return names
