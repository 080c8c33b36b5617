"""The command's first second, in which everything is loaded."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest

from infra import commands, main


def interrupted() -> None:
    raise KeyboardInterrupt


def test_an_interruption_is_an_exit_code_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "root", interrupted)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 130


def test_an_interruption_while_it_loads_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loading(types.ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "infra.commands", Loading("infra.commands"))
    monkeypatch.delattr("infra.commands")
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 130


def test_nothing_is_loaded_before_it_is_ready_for_that() -> None:
    code = "import sys, infra.main; sys.exit('typer' in sys.modules or 'infra.commands' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
