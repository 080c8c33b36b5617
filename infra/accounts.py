"""Accounts of their own for what must not run as root, and for what must not read its neighbour's files: one
unprivileged system account for each PostgreSQL cluster or service. Who is not root has one account only and runs
everything as itself."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PREFIX = "psephos-"
# Another process may hold the lock on the account database for as long as it takes to add an account.
LOCK_TRIES, LOCK_WAIT_SECONDS = 40, 0.25


class AccountError(Exception):
    """An account that is not there and cannot be made; the message says which and why."""


@dataclass(frozen=True)
class Account:
    """An account's name and numbers."""

    name: str
    uid: int
    gid: int

    def popen_arguments(self) -> dict[str, Any]:
        """The arguments by which subprocess.Popen starts a process as this account and in no group but its own."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def give(self, path: Path) -> None:
        """Makes `path` this account's own."""
        os.chown(path, self.uid, self.gid)


def system_account(name: str) -> Account | None:
    """The account `psephos-NAME`, made if it is not there yet; None if this process is not root. It stays, like any
    service's.

    AccountError if it cannot be made; ValueError if `name` is not 1 to 24 lower-case letters, digits and hyphens.
    """
    if not re.fullmatch(r"[a-z0-9-]{1,24}", name):
        raise ValueError(f"{name!r} cannot name an account")
    if os.geteuid() != 0:
        return None
    for _ in range(LOCK_TRIES):
        known = _account(PREFIX + name)
        if known is not None:
            return known
        fault = _add(PREFIX + name)
        if "lock" not in fault:
            break
        time.sleep(LOCK_WAIT_SECONDS)
    known = _account(PREFIX + name)
    if known is None:
        raise AccountError(f"the system account {PREFIX + name} cannot be made: {fault}")
    return known


def runs(command: Sequence[str | Path], account: Account | None) -> bool:
    """Whether `command` starts and ends with success, as `account` if there is one. Only trying tells: any
    folder above it may be closed to the account."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=plain_environment(),
            check=False,
            **as_account(account),
        )
    except OSError:
        return False
    return done.returncode == 0


def as_account(account: Account | None) -> dict[str, Any]:
    """As `Account.popen_arguments`; nothing if there is no account to change to."""
    return account.popen_arguments() if account else {}


def plain_environment() -> Mapping[str, str]:
    """An environment that carries nothing of the caller's: no PGHOST or LD_LIBRARY_PATH, and English messages."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"}


def _account(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(name, entry.pw_uid, entry.pw_gid)


def _add(name: str) -> str:
    """Adds the account; what went wrong, or nothing."""
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is None:
        return "there is no useradd"
    options = ["--system", "--user-group", "--no-create-home", "--home-dir=/nonexistent", "--shell=/usr/sbin/nologin"]
    done = subprocess.run(
        [useradd, *options, name],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=plain_environment(),
        check=False,
    )
    return done.stderr.strip() if done.returncode else ""
