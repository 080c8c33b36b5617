"""A record for the judges: programs nobody here wrote, which must accept what this project writes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from audit.log.export import export_record
from audit.log.merkle import LeafHashes, leaf_hash
from audit.log.treehead import Checkpoint
from tests.log.sample import ORIGIN, POLICY, MemoryReader, root_of, some_entries

SIZE = 66_000
"""Beyond 256 * 256, so that there is a tile of level 2."""


@dataclass(frozen=True)
class Record:
    """An exported record and what was put into it."""

    folder: Path
    entries: list[bytes]
    leaves: LeafHashes

    def head(self, size: int) -> Checkpoint:
        return Checkpoint(ORIGIN, size, root_of(self.entries[:size]))


@pytest.fixture(scope="session")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    entries = some_entries(SIZE)
    folder = tmp_path_factory.mktemp("judged") / "record"
    assert export_record(MemoryReader(entries), POLICY, folder) is not None
    return Record(folder, entries, LeafHashes([leaf_hash(entry) for entry in entries]))


@pytest.fixture(scope="session")
def sumdb(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs `sumdb/main.go`, built against Go's own packages; what it prints. CalledProcessError with its complaint."""
    program = tmp_path_factory.mktemp("sumdb") / "sumdb"
    # As Debian installs them: sources under /usr/share/gocode, no module proxy asked for anything.
    environment = {
        "GO111MODULE": "off",
        "GOPATH": "/usr/share/gocode",
        "GOCACHE": str(program.parent / "cache"),
        "PATH": "/usr/bin:/bin",
    }
    source = Path(__file__).parent / "sumdb" / "main.go"
    subprocess.run(["go", "build", "-o", program, source], env=environment, check=True, timeout=300)

    def run(*arguments: str | Path) -> str:
        done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=300)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

    return run
