"""What each of the demo's services is given: a folder only its own account can open, with its configuration, its keys,
its tokens and its database password. Nothing secret is ever an argument or an environment variable.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.accounts import Account, runs, system_account
from infra.demo.processes import Process, Processes
from infra.demo.toml import Value, to_toml
from infra.keys import write_secret
from infra.postgres import Cluster

CREATE_SECONDS = 60.0


class Room:
    """One service's folder and account; `account` is None if the demo is not root, or its code is closed to others."""

    def __init__(self, folder: Path, name: str, account: Account | None) -> None:
        self.name, self.account = name, account
        self.folder = folder / name
        self.folder.mkdir(mode=0o700)
        self._own(self.folder)

    def keep(self, path: Path, name: str = "") -> Path:
        """A copy of a file, or of a secret, that is this service's own."""
        kept = self.folder / (name or path.name)
        write_secret(kept, path.read_bytes())
        self._own(kept)
        return kept

    def place(self, name: str) -> Path:
        """Where the service may write a file of its own."""
        return self.folder / name

    def configure(self, settings: Mapping[str, Value]) -> Path:
        """Writes the service's configuration."""
        write_secret(self.config, to_toml(settings))
        self._own(self.config)
        return self.config

    def database(self, cluster: Cluster, role: str, database: str) -> dict[str, Value]:
        """The settings by which the service reaches its database as `role`."""
        return {"database": cluster.url(role, database), "passfile": self.keep(cluster.passfile(role), "passfile")}

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    def serve(self, processes: Processes, service: str) -> Process:
        """Starts `psephos serve SERVICE`."""
        arguments = ["serve", service, "--config", str(self.config)]
        return processes.serve(self.name, arguments, self.account)

    def _own(self, path: Path) -> None:
        if self.account is not None:
            self.account.give(path)


def create_custodians(processes: Processes, rooms: Sequence[Room]) -> None:
    """Says that these custodians are new, each under its own account."""
    commands = {f"create-{room.name}": ["custodian", "create", "--config", str(room.config)] for room in rooms}
    accounts = {f"create-{room.name}": room.account for room in rooms}
    processes.run_all(commands, CREATE_SECONDS, accounts=accounts)


def accounts_for(names: Sequence[str]) -> dict[str, Account | None]:
    """An account for each service; all None if this process is not root, or if its code is closed to them."""
    accounts = {name: system_account(name) for name in names}
    first = next(iter(accounts.values()))
    if first is not None and not runs([sys.executable, "-P", "-c", "import infra.commands"], first):
        return dict.fromkeys(names)
    return accounts


def remove(folder: Path) -> None:
    """Removes the folder of all rooms, keys and control numbers included."""
    shutil.rmtree(folder, ignore_errors=True)
