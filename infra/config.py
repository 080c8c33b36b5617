"""Reads the one TOML file a process is given into the one frozen dataclass that process runs by. A key nobody declared
and a key nobody gave are both fatal, all of them named at once with their file, so that a misspelt setting can never
silently become a default. Secrets are never values here: a setting names the file that holds one."""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path

T = typing.TypeVar("T")


class ConfigError(Exception):
    """A configuration file that cannot be used; `faults` holds one sentence for each thing wrong, in file order."""

    def __init__(self, path: Path, faults: list[str]) -> None:
        self.path, self.faults = path, faults
        super().__init__("\n".join(f"{path}: {fault}" for fault in faults))


class _Wrong(Exception):
    """One value of the wrong kind; the sentence says what was expected."""


def load(cls: type[T], path: Path | str) -> T:
    """The dataclass `cls` filled from the TOML file at `path`.

    Fields may be str, int, bool, float, Path (relative ones are taken from the file's folder), bytes (base64url
    without padding), tuple[X, ...], dict[str, X], X | None, and dataclasses of these; a field with a default may be
    left out. Raises ConfigError naming every unknown, missing or mistyped key; a ValueError raised by the dataclass
    itself becomes one too.
    """
    path = Path(path)
    _, table = read_toml(path)
    faults: list[str] = []
    loaded = _record(cls, table, "", path.resolve().parent, faults)
    if faults:
        raise ConfigError(path, faults)
    return typing.cast(T, loaded)


def read_toml(path: Path) -> tuple[str, dict[str, typing.Any]]:
    """The text of a TOML file, without the mark that some editors put before it, and its table. ConfigError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        return text, tomllib.loads(text)
    except OSError as error:
        raise ConfigError(path, [f"cannot be read: {error.strerror}"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(path, [f"is not TOML: {error}"]) from None
    except RecursionError:
        raise ConfigError(path, ["is nested too deeply to be read"]) from None


def _record(cls: type, table: dict[str, object], prefix: str, folder: Path, faults: list[str]) -> object:
    kinds = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    faults += [f"unknown key `{prefix}{key}`" for key in table if key not in fields]
    values: dict[str, object] = {}
    before = len(faults)
    for name, field in fields.items():
        if name in table:
            values[name] = _named(kinds[name], table[name], f"{prefix}{name}", folder, faults)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            faults.append(f"missing key `{prefix}{name}`")
    if len(faults) > before:
        return None
    try:
        return cls(**values)
    except ValueError as error:
        faults.append(f"{prefix.rstrip('.') + ': ' if prefix else ''}{error}")
        return None


def _named(kind: typing.Any, value: object, name: str, folder: Path, faults: list[str]) -> object:
    """The value under the key `name`; what is wrong with it is added to the faults, so that all of them are found."""
    try:
        return _value(kind, value, name, folder, faults)
    except _Wrong as wrong:
        faults.append(f"key `{name}` {wrong}")
        return None


def _value(kind: typing.Any, value: object, name: str, folder: Path, faults: list[str]) -> object:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        (kind,) = [argument for argument in arguments if argument is not type(None)]
        return _value(kind, value, name, folder, faults)
    if origin is tuple:
        if not isinstance(value, list):
            raise _Wrong("must be a list")
        return tuple(_named(arguments[0], item, f"{name}[{i}]", folder, faults) for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise _Wrong("must be a table")
        return {key: _named(arguments[1], item, f"{name}.{key}", folder, faults) for key, item in value.items()}
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise _Wrong("must be a table")
        return _record(typing.cast(type, kind), value, f"{name}.", folder, faults)
    return _scalar(kind, value, folder)


def _scalar(kind: typing.Any, value: object, folder: Path) -> object:
    if kind is Path:
        return folder / _exactly(str, value)
    if kind is bytes:
        return _unpadded(_exactly(str, value))
    if kind is float and type(value) is int:
        return float(value)
    return _exactly(kind, value)


def _exactly(kind: type[T], value: object) -> T:
    names = {str: "text", int: "an integer", bool: "true or false", float: "a number"}
    if kind not in names:
        raise TypeError(f"a configuration field cannot be {kind!r}")
    # By exact type: TOML's true must not pass for the integer 1.
    if type(value) is not kind:
        raise _Wrong(f"must be {names[kind]}")
    return value


def _unpadded(text: str) -> bytes:
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raw = b""
    if not raw or urlsafe_b64encode(raw).decode().rstrip("=") != text:
        raise _Wrong("must be base64url without padding")
    return raw
