"""`psephos queue backup` with the settings of egress, `psephos queue restore` with those of ingress, both running."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from infra.queue.copies import WRONG_FACE
from infra.queue.egress import Outlet
from tests.queue.conftest import Queue, running
from tests.queue.test_copies import held, lose
from tests.queue.test_egress import Clock, data, filled


def psephos(*arguments: object) -> subprocess.CompletedProcess[str]:
    start = "from infra.commands import main; main()"
    command = [sys.executable, "-c", start, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_each_face_does_what_it_may(queue: Queue, tmp_path: Path) -> None:
    entries, copy = filled(queue, 5), tmp_path / "copy"
    with running(queue, "ingress", tmp_path), running(queue, "egress", tmp_path):
        done = psephos("queue", "backup", "--config", tmp_path / "egress.toml", "--out", copy)
        assert (done.returncode, done.stdout) == (0, f"{copy}: 5 entries\n"), done.stderr
        lose(queue)
        others = (["restore", copy], "egress"), (["backup", "--out", tmp_path / "x"], "ingress")
        for act, face in others:
            done = psephos("queue", *act, "--config", tmp_path / f"{face}.toml")
            assert (done.returncode, done.stderr) == (1, f"psephos: {WRONG_FACE}\n")
        assert held(queue) == {} and not (tmp_path / "x").exists()
        assert psephos("queue", "restore", copy, "--config", tmp_path / "ingress.toml").returncode == 0
        assert data(Outlet(queue.egress, Clock()).take(256)) == entries
    missing = tmp_path / "missing"
    done = psephos("queue", "restore", missing, "--config", tmp_path / "ingress.toml")
    assert (done.returncode, done.stderr) == (1, f"psephos: {missing}: No such file or directory\n")
