"""Settings that no door can run by are named with their file before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.protocol.group import b64
from infra.config import ConfigError, load
from intake.door.config import DoorConfig

GOOD = {"listen": "127.0.0.1:8001", "database": "postgresql+psycopg://intake@/intake?host=/run"}
REST = f"""
passfile = "p"
key = "k"
manifest = "m"
manifest_hash = "{b64(bytes(32))}"
custodians = ["http://c"]
queue = {{url = "http://q", token = "t"}}
"""


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("listen", "127.0.0.1", "`listen` must be ADDRESS:PORT"),
        ("listen", "127.0.0.1:99999", "`listen` must be ADDRESS:PORT"),
        ("database", "postgresql://x", "the database URL must start with postgresql+psycopg://"),
    ],
)
def test_each_fault_is_named(tmp_path: Path, key: str, value: str, fault: str) -> None:
    path = tmp_path / "door.toml"
    path.write_text("".join(f'{name} = "{text}"\n' for name, text in {**GOOD, key: value}.items()) + REST)
    with pytest.raises(ConfigError) as error:
        load(DoorConfig, path)
    assert str(error.value).startswith(f"{path}: {fault}")


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://name:word@q", "must not carry a name or a password"),
        ("http://word@q", "must not carry a name or a password"),
        ("ftp://:word@q", "must begin with http:// or https://"),
        ("word@q", "must begin with http:// or https://"),
        ("http://:word@q:port", "is no address"),
    ],
)
def test_an_address_of_the_queue_that_carries_a_password_is_refused_and_not_repeated(
    tmp_path: Path, url: str, fault: str
) -> None:
    """It would be sent in place of the token."""
    path = tmp_path / "door.toml"
    path.write_text("".join(f'{name} = "{text}"\n' for name, text in GOOD.items()) + REST.replace("http://q", url))
    with pytest.raises(ConfigError) as error:
        load(DoorConfig, path)
    assert str(error.value).startswith(f"{path}: queue: `url` {fault}")
    assert "word@" not in str(error.value)
