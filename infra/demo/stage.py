"""The stage: clusters, services, keys and the signed manifest of one election, up for as long as a context lasts.

All of it stands in one folder under the system's place for temporary files, which only accounts that know a name in it
can enter, and which is removed at the end with every key in it.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from audit.protocol.group import b64
from audit.record.manifest import load_manifest
from infra.accounts import Account
from infra.demo.clusters import running_clusters
from infra.demo.offices import OFFICIALS_SIGN, ORIGIN, Offices, make_offices
from infra.demo.processes import Processes, Stop
from infra.demo.rooms import Room, accounts_for, remove
from infra.demo.services import DATABASES, SERVICES, Election, Services, make_databases
from infra.demo.toml import Value, to_toml
from infra.postgres_binaries import scratch

COMMAND_SECONDS = 120.0


@dataclass
class Timer:
    """Says what is being done, and keeps what it took."""

    console: Console
    steps: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Times what happens within under this name."""
        self.console.print(f"[bold]{name}[/bold] ...")
        start = time.monotonic()
        yield
        seconds = time.monotonic() - start
        self.steps.append((name, seconds))
        self.console.print(f"    {seconds:.1f} s")

    @property
    def seconds(self) -> float:
        return sum(seconds for _, seconds in self.steps)


@dataclass(frozen=True)
class Stage:
    """A running election; `desk` is the folder of those who run commands, `card` and `manifest` stand in it."""

    desk: Path
    offices: Offices
    processes: Processes
    services: Services
    manifest: Path
    manifest_hash: str
    timer: Timer

    @property
    def card(self) -> Path:
        return self.desk / "election.toml"

    @property
    def record_url(self) -> str:
        """Where the first custodian serves the log."""
        return f"{self.services.custodians[0]}/{ORIGIN}"

    def run(self, name: str, *arguments: str | Path, seconds: float = COMMAND_SECONDS, show: bool = False) -> str:
        """Runs one command at the desk, with the election's card; what it printed."""
        return self.processes.run(name, self.command(*arguments), seconds, show=show)

    def run_all(self, commands: Mapping[str, Sequence[str | Path]], seconds: float = COMMAND_SECONDS) -> dict[str, str]:
        """As `run`, several side by side."""
        return self.processes.run_all({name: self.command(*words) for name, words in commands.items()}, seconds)

    def command(self, *arguments: str | Path) -> list[str]:
        return [*map(str, arguments), "--election", str(self.card)]

    def officials(self) -> list[str | Path]:
        """As many officials' keys as must sign."""
        return [word for key in self.offices.officials[:OFFICIALS_SIGN] for word in ("--key", key.file)]


@contextmanager
def stage(
    agenda_for: Callable[[Offices], Mapping[str, Value]], timer: Timer, stop: Stop, logs: Path | None = None
) -> Iterator[Stage]:
    """Everything started and healthy, the log still empty; what processes print goes to the folder `logs`, if given.

    At the end all is stopped and its folder removed: what is to be kept is copied before.

    Raises ProcessFailed, Interrupted, ClusterError, NoPostgres, AccountError.
    """
    folder = Path(tempfile.mkdtemp(prefix="psephos-demo-", dir=scratch()))
    with ExitStack() as stack:
        stack.callback(remove, folder)
        folder.chmod(0o711)
        desk, logs = folder / "desk", logs or folder / "logs"
        for path in (desk, logs):
            path.mkdir(mode=0o700)
        with timer.step("PostgreSQL: a cluster for each zone and each custodian"):
            clusters = stack.enter_context(running_clusters(DATABASES))
            # Entered after the clusters, so that services end before their databases.
            processes = stack.enter_context(Processes(logs, stop))
            make_databases(processes, clusters)
        with timer.step("keys, and a manifest that two of three officials sign"):
            offices = make_offices(desk)
            accounts = accounts_for(SERVICES)
            rooms = {name: Room(folder, name, account) for name, account in accounts.items()}
            services = Services(desk, rooms, clusters, offices)
            manifest = sign_manifest(processes, desk, agenda_for(offices), offices, services)
            manifest_hash = b64(load_manifest(manifest)[0].hash)
        with timer.step(f"services, {whose(accounts.values())}"):
            services.start(processes, Election(manifest, manifest_hash), os.cpu_count() or 1)
        yield Stage(desk, offices, processes, services, manifest, manifest_hash, timer)


def whose(accounts: Collection[Account | None]) -> str:
    """Under whose account the services run, and why if it is not their own."""
    if all(accounts):
        return "each under an account of its own"
    if os.geteuid() != 0:
        return "all under this account"
    return "all as root, for this code is closed to the accounts that they should have"


def sign_manifest(
    processes: Processes, desk: Path, agenda: Mapping[str, Value], offices: Offices, services: Services
) -> Path:
    """The signed manifest's file, and beside it the election's card."""
    draft, file = desk / "manifest", desk / "agenda.toml"
    file.write_text(to_toml(agenda), encoding="utf-8")
    processes.run("election-create", ["election", "create", str(file), "--out", str(draft)], COMMAND_SECONDS)
    for number, key in enumerate(offices.officials[:OFFICIALS_SIGN], start=1):
        command = ["election", "sign", str(draft), "--key", str(key.file)]
        processes.run(f"election-sign-{number}", command, COMMAND_SECONDS)
    addresses = ["--intake", services.intake]
    for url in services.custodians:
        addresses += ["--custodian", url]
    card = ["election", "card", str(draft), *addresses, "--out", str(desk / "election.toml")]
    processes.run("election-card", card, COMMAND_SECONDS)
    return draft
