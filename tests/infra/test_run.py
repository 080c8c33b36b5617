"""`run`, with a stand-in for Python that notes what it is asked to do and does none of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Answers questions as the real Python does; makes an environment of stand-ins; notes every other order.
PYTHON = """#!/bin/sh
case "$*" in
-c*) exec {python} "$@" ;;
"-m venv --clear"*)
    rm -rf "$4"
    mkdir -p "$4/bin"
    cp "$0" "$4/bin/python"
    printf '#!/bin/sh\\n' >"$4/bin/psephos"
    chmod +x "$4/bin/psephos" ;;
esac
printf '%s\\n' "$*" >>{noted}
"""


@dataclass(frozen=True)
class Clone:
    """A clone of which only what `run` reads is there."""

    folder: Path
    outside: Path

    def run(self) -> list[str]:
        """What Python was asked to do by `./run psephos`."""
        noted = self.outside / "noted"
        noted.write_text("")
        python = self.outside / "python3"
        python.write_text(PYTHON.format(python=sys.executable, noted=noted))
        python.chmod(0o755)
        path = {"PATH": f"{self.outside}:{os.environ['PATH']}"}
        subprocess.run([self.folder / "run", "psephos"], env=path, check=True, capture_output=True)
        return [line for line in noted.read_text().splitlines() if not line.startswith("-m infra.postgres_binaries")]

    def cleared(self) -> bool:
        """Whether another run makes the environment anew; it must at least see to it."""
        orders = self.run()
        assert any("--require-hashes" in order for order in orders)
        return any(order.startswith("-m venv --clear") for order in orders)


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    made = Clone(tmp_path / "clone", tmp_path / "outside")
    made.folder.mkdir()
    made.outside.mkdir()
    for name in ("run", "requirements.lock", "postgres.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, made.folder / name)
    assert made.cleared()
    return made


def test_with_nothing_to_do_it_does_nothing(clone: Clone) -> None:
    assert clone.run() == []


def test_another_python_makes_the_environment_anew(clone: Clone) -> None:
    note = clone.folder / ".venv" / "made-from"
    version, rest = note.read_text().split("\n", 1)
    note.write_text(f"{version.replace('3.', '2.', 1)}\n{rest}")
    assert clone.cleared()
    assert clone.run() == []


def test_a_set_up_that_was_interrupted_is_made_anew(clone: Clone) -> None:
    (clone.folder / ".venv" / "made-from").unlink()
    assert clone.cleared()


def test_a_clone_that_was_moved_makes_it_anew(clone: Clone, tmp_path: Path) -> None:
    assert Clone(clone.folder.rename(tmp_path / "moved"), clone.outside).cleared()


def test_another_lock_adds_to_it(clone: Clone) -> None:
    with (clone.folder / "requirements.lock").open("a") as lock:
        lock.write("# changed\n")
    assert not clone.cleared()


def test_a_link_to_it_may_stand_anywhere(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(ROOT / "run")
    done = subprocess.run([tmp_path / "link", "help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "./run demo" in done.stdout
