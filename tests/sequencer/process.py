"""The tally service as a process of its own, by settings that name what surrounds a house."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from audit.protocol.group import b64
from infra.keys import write_secret
from tests.databases import Database
from tests.sequencer.house import TOKEN, House

START = "from infra.commands import main; main()"


def place(url: str) -> str:
    return f'{{url = "{url}", token = "token"}}'


class Tally:
    """Its settings, and the process that runs by them."""

    def __init__(
        self, folder: Path, house: House, ledger: Database, egress_url: str, status: Path | None = None
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.status = status or folder / "status.json"
        self._log = folder / "log"
        self._config = folder / "tally.toml"
        write_secret(folder / "token", TOKEN + "\n")
        (folder / "manifest").write_bytes(house.meeting.entries[0])
        for number, signer in enumerate(house.meeting.parties.log):
            write_secret(folder / f"key-{number}", signer.private + "\n")
        custodians = ", ".join(place(url) for url in house.vault.urls)
        lines = [
            'manifest = "manifest"',
            f'manifest_hash = "{b64(house.meeting.manifest.hash)}"',
            f"database = {json.dumps(ledger.url)}",
            f"passfile = {json.dumps(str(ledger.passfile))}",
            'keys = ["key-0", "key-1"]',
            "workers = 1",
            f"status = {json.dumps(str(self.status))}",
            f"egress = {place(egress_url)}",
            f"custodians = [{custodians}]",
        ]
        self._config.write_text("\n".join(lines) + "\n")

    @contextmanager
    def running(self, first: str = "") -> Iterator[subprocess.Popen[bytes]]:
        """`first`: Python that it runs before it is the service."""
        command = [sys.executable, "-c", first + START, "serve", "tally", "--config", str(self._config)]
        with self._log.open("ab") as log, subprocess.Popen(command, stderr=log, cwd=Path.cwd()) as process:
            try:
                yield process
            finally:
                process.kill()

    def figures(self) -> dict[str, object]:
        return json.loads(self.status.read_text()) if self.status.exists() else {}

    def said(self, event: str) -> bool:
        """Whether it has logged this, in any of its runs."""
        return self._log.exists() and f'"event": "{event}"' in self._log.read_text()

    @property
    def said_last(self) -> str:
        """The last line that it has written."""
        return self._log.read_text().splitlines()[-1]
