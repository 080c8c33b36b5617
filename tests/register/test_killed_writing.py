"""The numbers file at every moment of its making: a process that is killed leaves it whole or not there, and nothing
that others can read; run again, it makes it.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from infra.sealed import new_key_file, read_lock
from intake.register.holdings import Account
from intake.register.numbers import numbers_of

ACCOUNTS = [Account(f"A{i}", "common", 1) for i in range(50)]

KILLED = """
import os, signal, sys
from pathlib import Path
from infra.sealed import read_lock
from intake.register.holdings import Account
from intake.register.numbers import numbers_of
folder, moment = Path(sys.argv[1]), sys.argv[2]
os.umask(0)
name, when = moment.split()
real = getattr(os, name)
def killed(*args, **more):
    if when == "after":
        real(*args, **more)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(os, name, killed)
numbers_of(folder / "numbers", read_lock(folder / "lock"), [Account(f"A{i}", "common", 1) for i in range(50)],
           {"common": 0}, os.urandom)
"""


@pytest.mark.parametrize(
    ("moment", "there"),
    [
        ("fsync before", False),
        ("fsync after", False),
        ("link before", False),
        ("link after", True),
        ("unlink before", True),
    ],
)
def test_killed_while_numbers_are_written(tmp_path: Path, moment: str, there: bool) -> None:
    new_key_file(tmp_path / "lock")
    lock, path = read_lock(tmp_path / "lock"), tmp_path / "numbers"
    process = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), moment], timeout=60, capture_output=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert path.exists() == there
    left = [file for file in tmp_path.iterdir() if file.name != "lock"]
    assert left and all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in left)
    assert all(b"common" not in file.read_bytes() for file in left)
    kept = path.read_bytes() if there else b""
    numbers = numbers_of(path, lock, ACCOUNTS, {"common": 0}, os.urandom)
    assert len({number.code for number in numbers.values()}) == len(ACCOUNTS)
    assert not there or path.read_bytes() == kept
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
