"""One frozen object per process: what is unknown, missing or mistyped is named, all of it at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.config import ConfigError, load
from infra.http import parse_listen


@dataclass(frozen=True)
class Custodian:
    url: str
    token: Path


@dataclass(frozen=True)
class Settings:
    listen: str
    manifest_hash: bytes
    token: Path
    custodians: tuple[Custodian, ...]
    workers: int = 2
    wait: float = 0.5
    limits: dict[str, int] | None = None

    def __post_init__(self) -> None:
        parse_listen(self.listen)


GOOD = {
    "listen": '"127.0.0.1:8001"',
    "manifest_hash": '"AAEC_w"',
    "token": '"secrets/token"',
    "custodians": '[{url = "http://a", token = "/abs"}]',
}


def written(folder: Path, **changes: str | None) -> Path:
    path = folder / "service.toml"
    path.write_text("".join(f"{key} = {value}\n" for key, value in {**GOOD, **changes}.items() if value is not None))
    return path


def faults(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load(Settings, path)
    assert all(line.startswith(f"{path}: ") for line in str(error.value).split("\n"))
    return error.value.faults


def test_a_good_file_fills_the_object(tmp_path: Path) -> None:
    settings = load(Settings, written(tmp_path, workers="8", wait="1", limits="{most = 3}"))
    assert settings == Settings(
        listen="127.0.0.1:8001",
        manifest_hash=b"\x00\x01\x02\xff",
        token=tmp_path / "secrets/token",
        custodians=(Custodian("http://a", Path("/abs")),),
        workers=8,
        wait=1.0,
        limits={"most": 3},
    )


def test_the_mark_that_an_editor_puts_first_is_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load(Settings, path).listen == "127.0.0.1:8001"


def test_defaults_stand(tmp_path: Path) -> None:
    settings = load(Settings, written(tmp_path))
    assert (settings.workers, settings.wait, settings.limits) == (2, 0.5, None)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"workres": "8"}, "unknown key `workres`"),
        ({"token": None}, "missing key `token`"),
        ({"workers": "true"}, "key `workers` must be an integer"),
        ({"workers": "1.5"}, "key `workers` must be an integer"),
        ({"listen": "8001"}, "key `listen` must be text"),
        ({"custodians": '"http://a"'}, "key `custodians` must be a list"),
        ({"custodians": '["http://a"]'}, "key `custodians[0]` must be a table"),
        ({"custodians": '[{url = "http://a"}]'}, "missing key `custodians[0].token`"),
        ({"custodians": '[{url = "u", token = "t", pasword = "x"}]'}, "unknown key `custodians[0].pasword`"),
        ({"limits": "[1]"}, "key `limits` must be a table"),
        ({"manifest_hash": '"AAEC_w=="'}, "key `manifest_hash` must be base64url without padding"),
        ({"manifest_hash": '"AAEC/w"'}, "key `manifest_hash` must be base64url without padding"),
        ({"manifest_hash": '"AAEC_x"'}, "key `manifest_hash` must be base64url without padding"),
        ({"manifest_hash": '""'}, "key `manifest_hash` must be base64url without padding"),
        ({"listen": '"8001"'}, "`listen` must be ADDRESS:PORT, not '8001'"),
    ],
)
def test_each_fault_is_named(tmp_path: Path, changes: dict[str, str | None], fault: str) -> None:
    assert fault in faults(written(tmp_path, **changes))


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, workres="8", token=None, workers="true", custodians='[{url = 1, token = "t"}, 2]')
    assert faults(path) == [
        "unknown key `workres`",
        "missing key `token`",
        "key `custodians[0].url` must be text",
        "key `custodians[1]` must be a table",
        "key `workers` must be an integer",
    ]


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    assert faults(tmp_path / "none.toml") == ["cannot be read: No such file or directory"]
    (tmp_path / "deep.toml").write_text(f"listen = {'[' * 3000}{']' * 3000}\n")
    assert faults(tmp_path / "deep.toml") == ["is nested too deeply to be read"]
    (tmp_path / "broken.toml").write_text("listen = \n")
    assert faults(tmp_path / "broken.toml")[0].startswith("is not TOML: ")
