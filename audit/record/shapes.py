"""Shapes of JSON: a shape is a function from (value, path) to a parsed value that refuses what does not fit.

Every body in the log is described once with these, so that an unknown, missing or ill-typed field is refused with the
path of the field and nothing unparsed travels further. The input is what `parse_canonical` returned: objects, arrays,
strings, integers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from audit.protocol.group import unb64
from audit.protocol.refused import Refused

type_of = {dict: "an object", list: "an array", str: "a string", int: "an integer"}
# What other readers of JSON and TOML give.
foreign = {"NoneType": "nothing", "bool": "true or false", "float": "a fraction"}
foreign |= {"date": "a date", "datetime": "a time", "time": "a time"}

Shape = Callable[[Any, str], Any]


def expect(value: Any, kind: type, path: str) -> Any:
    if type(value) is not kind:
        found = type_of.get(type(value)) or foreign.get(type(value).__name__, "something else")
        raise Refused("wrong-type", f"expected {type_of[kind]}, found {found}", path)
    return value


def inside(path: str, name: str | int) -> str:
    if isinstance(name, int):
        return f"{path}[{name}]"
    return f"{path}.{name}" if path else name


def record(**fields: Shape) -> Shape:
    """An object with exactly these fields; returns a dict of the parsed values."""

    def parse(value: Any, path: str) -> dict[str, Any]:
        expect(value, dict, path)
        for name in value:
            if name not in fields:
                raise Refused("unknown-field", "no such field is known here", inside(path, name[:60]))
        for name in fields:
            if name not in value:
                raise Refused("missing-field", "this field is required", inside(path, name))
        return {name: shape(value[name], inside(path, name)) for name, shape in fields.items()}

    return parse


def array(shape: Shape, least: int = 0, most: int = 65_535) -> Shape:
    """An array of `least` to `most` values of one shape; returns a tuple."""

    def parse(value: Any, path: str) -> tuple[Any, ...]:
        expect(value, list, path)
        if not least <= len(value) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise Refused("wrong-length", f"expected {wanted} values, found {len(value)}", path)
        return tuple(shape(item, inside(path, i)) for i, item in enumerate(value))

    return parse


def table(shape: Shape) -> Shape:
    """An object whose field names are data (a contest's id, a trustee's name); returns a dict."""

    def parse(value: Any, path: str) -> dict[str, Any]:
        expect(value, dict, path)
        return {name: shape(item, inside(path, name)) for name, item in value.items()}

    return parse


def string(most: int = 200, pattern: str | None = None, least: int = 0) -> Shape:
    """A string of `least` to `most` characters, matching the whole of `pattern` if given."""
    compiled = re.compile(pattern) if pattern else None

    def parse(value: Any, path: str) -> str:
        expect(value, str, path)
        if not least <= len(value) <= most:
            raise Refused("wrong-length", f"expected {least} to {most} characters, found {len(value)}", path)
        if compiled and not compiled.fullmatch(value):
            raise Refused("syntax", f"must match {pattern}", path)
        return str(value)

    return parse


def text(most: int, least: int = 0, lines: bool = False) -> Shape:
    """A string of `least` to `most` characters that people read: without control characters, which a terminal would
    obey; with `lines`, line breaks and tabs may be in it.
    """
    allowed = "\n\t" if lines else ""
    plain = string(most, least=least)

    def parse(value: Any, path: str) -> str:
        for sign in plain(value, path):
            if (sign < " " or "\x7f" <= sign <= "\x9f") and sign not in allowed:
                raise Refused("syntax", f"holds a control character, U+{ord(sign):04X}", path)
        return str(value)

    return parse


def one_of(*choices: str) -> Shape:
    def parse(value: Any, path: str) -> str:
        expect(value, str, path)
        if value not in choices:
            raise Refused("syntax", f"must be one of {', '.join(choices)}", path)
        return str(value)

    return parse


def integer(least: int, most: int) -> Shape:
    def parse(value: Any, path: str) -> int:
        expect(value, int, path)
        if not least <= value <= most:
            raise Refused("out-of-range", f"must be from {least} to {most}", path)
        return int(value)

    return parse


def octets(length: int | None) -> Shape:
    """Base64url without padding of exactly `length` bytes (any length if None); returns the bytes."""

    def parse(value: Any, path: str) -> bytes:
        expect(value, str, path)
        try:
            return unb64(value, length)
        except Refused as refusal:
            raise refusal.at(path) from None

    return parse


def anything(value: Any, path: str) -> Any:
    """A value that another parser takes apart (a proof, a ballot's contests)."""
    return value


def distinct(values: tuple[Any, ...], path: str, of: Callable[[Any], Any] = lambda value: value) -> None:
    """Refuses a repeated value, naming the second place."""
    seen: set[Any] = set()
    for i, value in enumerate(values):
        if of(value) in seen:
            raise Refused("duplicate", "stands in this list twice", inside(path, i))
        seen.add(of(value))


def only(value: Mapping[str, Any], names: set[str], path: str) -> None:
    """Refuses an object whose field names are not exactly `names`."""
    for name in sorted(value):
        if name not in names:
            raise Refused("unknown-field", "not expected here", inside(path, name[:60]))
    for name in sorted(names):
        if name not in value:
            raise Refused("missing-field", "this field is required", inside(path, name))
