"""`psephos services` beside services that run."""

from __future__ import annotations

import subprocess

from tests.operations.faces import Faces, faces
from tests.vault.test_following_process import PSEPHOS

__all__ = ["faces"]


def test_the_table_says_what_runs_and_what_does_not(faces: Faces) -> None:
    faces.put([b"a", b"b", b"c"])
    command = [*PSEPHOS, "services", *(str(faces.folder / f"{face}.toml") for face in ("ingress", "egress"))]
    with faces.process("egress"):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    head, ingress, egress = (line.split() for line in done.stdout.splitlines())
    assert head[:2] == ["service", "ready"]
    assert ingress == [f"{faces.folder.name}/ingress", "no-answer"]
    assert egress == [f"{faces.folder.name}/egress", "yes", "3", "0", "s", "0", "0"]
