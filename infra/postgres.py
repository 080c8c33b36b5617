"""A PostgreSQL cluster that belongs to one zone alone: its own account, its own folder, its own passwords, reachable
through a socket and never over a network. It lives no longer than the process that started it, however that process
ends.

The folder holds `data`, `sockets`, `passfiles` and `log`. Every role logs in with a random password (SCRAM) that stands
in its own passfile and nowhere else: the server is told only the verifier.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL

from infra.accounts import Account, as_account, plain_environment, system_account
from infra.keys import write_secret
from infra.postgres_binaries import Binaries, find_binaries, reachable, scratch

ADMIN = "cluster_admin"
START_SECONDS = 60
STOP_SECONDS = 30
SOCKET_PATH_BYTES = 107
"""The longest path a Unix socket can have."""

SETTINGS = {
    "listen_addresses": "''",
    "password_encryption": "scram-sha-256",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_parallel_workers": "0",
    "jit": "off",
    # What a statement held, or the row it failed on, is nobody's business who reads the log.
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
}

# Standard input is a pipe whose other end only the starting process holds: it ends when that process says so or is
# gone, killed ones included, and the server then shuts down in good order.
_SUPERVISE = """
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
(read -r _ <&3; kill -INT "$server") 2>/dev/null &
watch=$!
wait "$server"
status=$?
kill "$watch" 2>/dev/null
exit "$status"
"""


class ClusterError(Exception):
    """A cluster that cannot be made, started or stopped; the message holds the server's last words."""


class Cluster:
    """One cluster in `folder`, run as `account` (as this process's own if None). The folder and all above it must be
    open to the account."""

    def __init__(self, folder: Path, account: Account | None, binaries: Binaries) -> None:
        self.folder, self.account = folder, account
        self.data, self.sockets, self.passfiles = folder / "data", folder / "sockets", folder / "passfiles"
        self.log = folder / "log"
        if len(os.fsencode(self.sockets / ".s.PGSQL.5432")) > SOCKET_PATH_BYTES:
            raise ClusterError(f"{folder}: this path is too long to hold a socket")
        self._binaries = reachable(binaries, account)
        self._process: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        """Makes the cluster, with data checksums and an administrator; FileExistsError if the folder holds one
        already."""
        for path in (self.data, self.sockets, self.passfiles):
            path.mkdir()
        # Services run as other accounts than the server: they enter, and find no more than they know the name of.
        self.passfiles.chmod(0o711)
        self._own(self.sockets, 0o755)
        self._own(self.data, 0o700)
        password = self._new_passfile(ADMIN)
        pwfile = self.folder / "first-password"
        write_secret(pwfile, password + "\n")
        self._own(pwfile, 0o600)
        try:
            self._initdb(pwfile)
        finally:
            pwfile.unlink()
        with (self.data / "postgresql.conf").open("a") as file:
            settings = {**SETTINGS, "unix_socket_directories": f"'{self.sockets}'"}
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())

    def start(self) -> None:
        """Starts the server and returns when it takes connections; ClusterError if it does not within a minute."""
        if self._process is not None:
            raise ClusterError(f"{self.folder}: the server runs already")
        state = self._state()
        # In a list of processes, a server's says whose it is.
        name = f"psephos-postgres of {sys.prefix}"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _SUPERVISE, name, self._binaries.folder / "postgres", "-D", self.data],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd="/",
                env=plain_environment(),
                # Ctrl-C reaches every process of the terminal's group; the database must outlive those who still write
                # to it.
                start_new_session=True,
                **as_account(self.account),
            )
        deadline = time.monotonic() + START_SECONDS
        # The state file of a server that was killed stays; the new one's differs.
        while (now := self._state()) == state or now[7:8] != ["ready"]:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ClusterError(f"{self.folder}: the server does not start:\n{self._last_words()}")
            time.sleep(0.02)

    def stop(self, *, crash: bool = False) -> None:
        """Stops the server: open transactions are rolled back, all else is on disk. Nothing happens if it does not run.

        With `crash` it is stopped on the spot, as by a power cut; what was committed is found again at the next start.
        """
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        if crash:
            os.kill(int(self._state()[0]), signal.SIGQUIT)
        with suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise ClusterError(f"{self.folder}: the server had to be killed:\n{self._last_words()}") from None

    def create_database(self, database: str, owner: str, services: Iterable[str] = ()) -> None:
        """Makes a database that belongs to role `owner`, to which only it and `services` may connect.

        Roles that do not exist yet are made, each with its passfile; what services may do in it, its owner grants.
        """
        services = tuple(services)
        with self._administer() as connection:
            for role in (owner, *services):
                self._create_role(connection, role)
            name = sql.Identifier(_checked(database))
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, sql.Identifier(owner)))
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
            for role in services:
                connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, sql.Identifier(role)))

    def url(self, role: str, database: str) -> str:
        """The URL by which infra.database.engine reaches `database` as `role`, its passfile beside it."""
        place = {"host": str(self.sockets)}
        return URL.create("postgresql+psycopg", username=role, database=database, query=place).render_as_string()

    def passfile(self, role: str) -> Path:
        """The file, readable by this process alone, that holds the role's password in libpq's form."""
        return self.passfiles / _checked(role)

    def _initdb(self, pwfile: Path) -> None:
        done = subprocess.run(
            [
                self._binaries.folder / "initdb",
                "--data-checksums",
                "--auth=scram-sha-256",
                f"--username={ADMIN}",
                f"--pwfile={pwfile}",
                "--encoding=UTF8",
                "--no-locale",
                "--no-instructions",
                f"--pgdata={self.data}",
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd="/",
            env=plain_environment(),
            check=False,
            **as_account(self.account),
        )
        if done.returncode:
            raise ClusterError(f"{self.folder}: initdb failed: {done.stderr.strip()}")

    def _administer(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=str(self.sockets), user=ADMIN, dbname="postgres", passfile=str(self.passfile(ADMIN)), autocommit=True
        )

    def _create_role(self, connection: psycopg.Connection[tuple[object, ...]], role: str) -> None:
        if self.passfile(role).exists():
            return
        password = self._new_passfile(role)
        verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
        create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
        connection.execute(create.format(sql.Identifier(role), sql.Literal(verifier)))

    def _new_passfile(self, role: str) -> str:
        password = secrets.token_urlsafe(32)
        write_secret(self.passfile(role), f"*:*:*:{role}:{password}\n")
        return password

    def _own(self, path: Path, mode: int) -> None:
        path.chmod(mode)
        if self.account is not None:
            self.account.give(path)

    def _state(self) -> list[str]:
        """The lines of the server's own state file: the first is its process, the eighth says "ready"."""
        try:
            return [line.strip() for line in (self.data / "postmaster.pid").read_text().splitlines()]
        except OSError:
            return []

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-5:])


@contextmanager
def temporary_cluster(name: str) -> Iterator[Cluster]:
    """A running cluster in a fresh folder under /var/tmp, which is stopped and removed at the end.

    As root it runs as the account `psephos-NAME`, made if need be. NoPostgres, AccountError, ClusterError.
    """
    account, binaries = system_account(name), find_binaries()
    folder = Path(tempfile.mkdtemp(prefix=f"psephos-{name}-", dir=scratch()))
    try:
        folder.chmod(0o711)
        cluster = Cluster(folder, account, binaries)
        try:
            cluster.create()
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _checked(name: str) -> str:
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", name):
        raise ValueError(f"{name!r} cannot name a role or a database")
    return name
