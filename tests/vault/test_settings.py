"""Settings that no custodian can run by are named with their file before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.config import ConfigError, load
from vault.custodian.config import CustodianConfig

GOOD = {"listen": "127.0.0.1:8001", "database": "postgresql+psycopg://custodian@/custodian?host=/run"}
REST = 'passfile = "p"\ntoken = "t"\nmanifests = ["m"]\nkeys = ["k"]\n'


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("listen", "127.0.0.1:99999", "`listen` must be ADDRESS:PORT"),
        ("database", "postgresql://x", "the database URL must start with postgresql+psycopg://"),
        ("folder", "held", "a custodian has either `database` and `passfile`, or `folder`"),
    ],
)
def test_each_fault_is_named(tmp_path: Path, key: str, value: str, fault: str) -> None:
    path = tmp_path / "custodian.toml"
    path.write_text("".join(f'{name} = "{text}"\n' for name, text in {**GOOD, key: value}.items()) + REST)
    with pytest.raises(ConfigError) as error:
        load(CustodianConfig, path)
    assert str(error.value).startswith(f"{path}: {fault}")


@pytest.mark.parametrize(
    ("place", "fault"),
    [
        ("", "a custodian has either `database` and `passfile`, or `folder`"),
        ('folder = "held"\npassfile = "p"\n', "`database` and `passfile` go together"),
        (f'database = "{GOOD["database"]}"\n', "`database` and `passfile` go together"),
    ],
)
def test_a_custodian_keeps_logs_in_one_place(tmp_path: Path, place: str, fault: str) -> None:
    path = tmp_path / "custodian.toml"
    path.write_text(f'listen = "{GOOD["listen"]}"\n{place}' + REST.replace('passfile = "p"\n', ""))
    with pytest.raises(ConfigError) as error:
        load(CustodianConfig, path)
    assert str(error.value) == f"{path}: {fault}"
