"""Canonical JSON (RFC 8785), restricted to objects, arrays, strings and integers: one value has exactly one text.

Floating-point numbers, true, false and null are refused, so none of RFC 8785's rules for printing numbers matter here;
field names are ASCII, so its order of names by UTF-16 units is the order of bytes.
"""

from __future__ import annotations

import json
from typing import Any, Never

from audit.protocol.refused import Refused

MAX_INTEGER = 2**53 - 1
"""The largest integer, its negative the smallest, that every JSON reader gets exactly right (RFC 8259, section 6)."""
MAX_DEPTH = 16
"""How many objects and arrays may stand within one another: what may be read may then also be written again, however
deep in its stack the reader or writer is."""


def canonical(value: Any) -> bytes:
    """The canonical text, UTF-8. Refused `wrong-type`, `out-of-range` or `syntax`, with the path, for a value that has
    none."""
    _check_depth(value)
    _check(value, "")
    try:
        return _dump(value)
    except UnicodeEncodeError:
        raise Refused("syntax", "a lone surrogate is no character") from None


def parse_canonical(raw: bytes) -> Any:
    """The value whose canonical text this is.

    Refused `syntax` if it is no JSON, or nested deeper than `MAX_DEPTH`; `wrong-type` or `out-of-range`, with the path,
    for a value not allowed here; `not-canonical` if it is written in any other way, a field given twice among them.
    """
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
        _check_depth(value)
        _check(value, "")
        again = _dump(value)
    except UnicodeEncodeError:
        raise Refused("syntax", "a lone surrogate is no character") from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError:
        # UnicodeDecodeError, JSONDecodeError and too long an integer are ValueErrors.
        raise Refused("syntax", "not JSON in UTF-8") from None
    if again != raw:
        raise Refused("not-canonical", "the JSON is not in canonical form (RFC 8785)")
    return value


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8")


def _check_depth(value: Any) -> None:
    # Level by level, and before any other rule, so that neither the stack nor what else is wrong changes the answer.
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [outer for outer in level if type(outer) in (dict, list, tuple)]
        if not level:
            return
        level = [item for outer in level for item in (outer.values() if type(outer) is dict else outer)]
    raise _too_deep()


def _too_deep() -> Refused:
    return Refused("syntax", f"more than {MAX_DEPTH} objects and arrays stand within one another")


def _check(value: Any, path: str) -> None:
    kind = type(value)
    if kind is str:
        return
    if kind is dict:
        for name, item in value.items():
            if type(name) is not str or not name.isascii():
                raise Refused("syntax", "field names are ASCII", path)
            _check(item, f"{path}.{name}" if path else name)
    elif kind in (list, tuple):
        for i, item in enumerate(value):
            _check(item, f"{path}[{i}]")
    elif kind is not int:
        raise Refused("wrong-type", "only objects, arrays, strings and integers are allowed", path)
    elif not -MAX_INTEGER <= value <= MAX_INTEGER:
        raise Refused("out-of-range", "an integer is beyond 2^53 - 1", path)


def _no_constant(name: str) -> Never:
    raise ValueError(name)
