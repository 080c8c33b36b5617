"""The command line: rooms that are there or not, faults that people cause or not, keys."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import typer
from sqlalchemy.exc import OperationalError
from typer.testing import CliRunner

from audit.log.keys import COSIGNATURE, ED25519, ML_DSA_44, parse_private_key, parse_vkey
from audit.protocol.refused import Refused
from infra import commands
from infra.config import ConfigError
from infra.database import NoDatabaseUrl
from infra.http import CannotListen
from infra.keys import KeyFileError, read_token
from infra.log import Undeclared


def entry(value: str) -> EntryPoint:
    return EntryPoint("room", value, commands.GROUP)


def app() -> typer.Typer:
    made = typer.Typer()
    commands.register(made)
    return made


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app(), list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_a_room_that_is_installed_adds_its_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "entry_points", lambda group: [entry("infra.commands:register")])
    result = CliRunner().invoke(commands.root(), ["key", "--help"])
    assert result.exit_code == 0
    assert "new" in result.stdout


@pytest.mark.parametrize("module", ["no_such:register", "no_such.commands:register", "infra.no_such:register"])
def test_a_room_that_is_not_installed_adds_nothing(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setattr(commands, "entry_points", lambda group: [entry(module), entry("infra.commands:register")])
    assert CliRunner().invoke(commands.root(), ["key", "--help"]).exit_code == 0


def test_a_room_that_misses_a_library_is_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "hollow_room.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(commands, "entry_points", lambda group: [entry("hollow_room:register")])
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        commands.root()


def test_rooms_share_a_group() -> None:
    root = typer.Typer()
    first = commands.group(root, "serve")
    assert commands.group(root, "serve", "Runs one service.") is first
    assert commands.group(root, "other") is not first
    assert [known.help for known in root.registered_groups][0] == "Runs one service."


EXPECTED = [
    Refused("syntax", "an entry is three lines"),
    ConfigError(Path("a.toml"), ["unknown key `x`"]),
    KeyFileError("k: is empty"),
    FileNotFoundError(2, "No such file or directory", "agenda.toml"),
    ConnectionRefusedError(111, "Connection refused"),
    OperationalError("SELECT", {}, Exception("connection failed")),
    NoDatabaseUrl("the database URL cannot be read"),
    CannotListen("cannot listen on 127.0.0.1:80: Permission denied"),
]
UNEXPECTED = [ValueError("x"), KeyError("x"), AssertionError(), Undeclared("event"), ZeroDivisionError()]


def ending(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def root() -> typer.Typer:
        raise error

    monkeypatch.setattr(commands, "root", root)
    commands.main()


@pytest.mark.parametrize("error", EXPECTED, ids=lambda error: type(error).__name__)
def test_what_a_person_caused_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    with pytest.raises(SystemExit) as ended:
        ending(monkeypatch, error)
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("psephos: ")
    assert said.count("\n") == 1
    assert "sqlalche.me" not in said


FILES = [
    (FileNotFoundError(2, "No such file or directory", "a.csv"), "a.csv: No such file or directory"),
    (FileExistsError(17, "File exists", "a", None, "b"), "a: b: File exists"),
    (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
    (OSError("no number"), "no number"),
]


@pytest.mark.parametrize(("error", "sentence"), FILES)
def test_a_file_is_named_and_no_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: OSError, sentence: str
) -> None:
    with pytest.raises(SystemExit):
        ending(monkeypatch, error)
    assert capsys.readouterr().err == f"psephos: {sentence}\n"


@pytest.mark.parametrize("error", UNEXPECTED, ids=lambda error: type(error).__name__)
def test_a_fault_of_the_program_is_not_hidden(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    with pytest.raises(type(error)):
        ending(monkeypatch, error)


TYPES = [("ed25519", ED25519), ("cosignature", COSIGNATURE), ("ml-dsa-44", ML_DSA_44)]


@pytest.mark.parametrize(("name", "number"), TYPES)
def test_a_key_is_kept_and_its_public_half_printed(tmp_path: Path, name: str, number: int) -> None:
    path = tmp_path / "key"
    code, out = run("key", "new", "intake-1.vote.example", "--type", name, "--out", str(path))
    assert code == 0
    verifier = parse_vkey(out.removesuffix("\n"))
    assert (verifier.name, verifier.type) == ("intake-1.vote.example", number)
    assert parse_private_key(path.read_text().removesuffix("\n")).verifier == verifier
    assert path.stat().st_mode & 0o777 == 0o600
    assert run("key", "show", str(path)) == (0, out)


def test_two_keys_differ(tmp_path: Path) -> None:
    keys = {run("key", "new", "a", "--out", str(tmp_path / file))[1] for file in ("1", "2")}
    assert len(keys) == 2


def test_a_key_is_never_written_over_another(tmp_path: Path) -> None:
    path = tmp_path / "key"
    run("key", "new", "a", "--out", str(path))
    kept = path.read_text()
    with pytest.raises(KeyFileError, match="exists already"):
        run("key", "new", "a", "--out", str(path))
    assert path.read_text() == kept


def test_a_token_is_kept_and_not_printed(tmp_path: Path) -> None:
    code, out = run("key", "token", "--out", str(tmp_path / "token"))
    assert code == 0
    assert read_token(tmp_path / "token") not in out
    with pytest.raises(KeyFileError, match="exists already"):
        run("key", "token", "--out", str(tmp_path / "token"))


def test_a_name_that_no_note_can_bear_is_refused_and_nothing_written(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refusal:
        run("key", "new", "a b", "--out", str(tmp_path / "key"))
    assert refusal.value.reason == "bad-name"
    assert list(tmp_path.iterdir()) == []


def test_the_installed_command_runs() -> None:
    done = subprocess.run([Path(sys.executable).parent / "psephos", "key", "--help"], capture_output=True, check=False)
    assert done.returncode == 0
    assert b"Keys that sign" in done.stdout
