"""Writes the TOML files that services and commands are given; the standard library only reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

Value = str | int | bool | Path | Sequence["Value"] | Mapping[str, "Value"]


def to_toml(table: Mapping[str, Value]) -> str:
    """The table as TOML; tables within it stand inline, except a list of tables at the top, which is one of its own."""
    plain = {key: value for key, value in table.items() if not is_tables(value)}
    lines = [f"{key} = {inline(value)}\n" for key, value in plain.items()]
    for key, value in table.items():
        if key not in plain:
            assert isinstance(value, Sequence)
            for row in value:
                assert isinstance(row, Mapping)
                lines.append(f"\n[[{key}]]\n" + "".join(f"{name} = {inline(item)}\n" for name, item in row.items()))
    return "".join(lines)


def is_tables(value: Value) -> bool:
    return isinstance(value, Sequence) and bool(value) and all(isinstance(item, Mapping) for item in value)


def inline(value: Value) -> str:
    """One value; ValueError for text that JSON and TOML would not write alike."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str() | Path():
            if "\x7f" in str(value):
                raise ValueError("a delete character does not stand in TOML")
            return json.dumps(str(value), ensure_ascii=False)
        case Mapping():
            return "{ " + ", ".join(f"{key_of(name)} = {inline(item)}" for name, item in value.items()) + " }"
        case _:
            return "[" + ", ".join(inline(item) for item in value) + "]"


def key_of(name: str) -> str:
    """A name as TOML takes it before `=`: as it is, or in quotes where a dot would say that tables follow."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else inline(name)
