"""How the demo ends when it does not get to its end."""

from __future__ import annotations

import io
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from infra.accounts import Account
from infra.demo import commands, run, stage
from infra.demo.processes import Interrupted


@pytest.mark.parametrize(("record", "said"), [(True, "./run psephos verify"), (False, "no record")])
def test_a_record_is_promised_only_if_there_is_one(tmp_path: Path, record: bool, said: str) -> None:
    desk, kept = tmp_path / "desk", tmp_path / "kept"
    for folder in (desk / "record", kept / "logs"):
        folder.mkdir(parents=True)
    if record:
        (desk / "record" / "checkpoint").write_text("")
    console = Console(file=io.StringIO())
    running: Any = SimpleNamespace(desk=desk, timer=SimpleNamespace(console=console))
    run.leave(running, kept)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"Kept in {kept}; " in shown and said in shown
    assert record == ("verify" in shown)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_demo_exits_as_a_shell_expects(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    def interrupted(*_: object) -> None:
        raise Interrupted(number)

    monkeypatch.setattr(run, "run", interrupted)
    app = typer.Typer()
    commands.register(app)
    result = CliRunner().invoke(app)
    assert (result.exit_code, result.stderr) == (code, f"psephos: stopped by {number.name}\n")


@pytest.mark.parametrize(("uid", "why"), [(0, "as root, for this code is closed"), (1000, "under this account")])
def test_it_says_why_services_have_no_account_of_their_own(
    monkeypatch: pytest.MonkeyPatch, uid: int, why: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert why in stage.whose([None, None])
    assert "of its own" in stage.whose([Account("psephos-intake", 1, 1)])
