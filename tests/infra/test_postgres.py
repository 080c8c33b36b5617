"""A cluster is closed to everybody but its own roles, keeps what it committed, and never outlives who started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, ProgrammingError

from infra import database, postgres_binaries
from infra.accounts import system_account
from infra.keys import write_secret
from infra.postgres import Cluster, ClusterError, temporary_cluster
from infra.postgres_binaries import Binaries, NoPostgres, find_binaries, of_machine, of_wheel, reachable, scratch


def query(cluster: Cluster, role: str, name: str, statement: str, passfile: Path | None = None) -> object:
    engine = database.engine(cluster.url(role, name), passfile or cluster.passfile(role), name="tests", owner=True)
    try:
        with engine.begin() as connection:
            result = connection.execute(text(statement))
            return result.scalar() if result.returns_rows else None
    finally:
        engine.dispose()


def wait_until(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def rooms(cluster: Cluster) -> Cluster:
    """The tests' cluster with two databases, each for its own owner and service."""
    cluster.create_database("room_a", "owner_a", ["service_a"])
    cluster.create_database("room_b", "owner_b", ["service_b"])
    return cluster


def test_it_is_reached_through_its_socket_only(rooms: Cluster) -> None:
    assert query(rooms, "owner_a", "room_a", "SHOW listen_addresses") == ""
    assert query(rooms, "owner_a", "room_a", "SELECT inet_server_addr()") is None


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "data_checksums", "synchronous_commit"])
def test_what_is_committed_is_on_disk_and_checked(rooms: Cluster, setting: str) -> None:
    assert query(rooms, "owner_a", "room_a", f"SHOW {setting}") == "on"


def test_nobody_logs_in_without_the_password(rooms: Cluster, tmp_path: Path) -> None:
    passfile = tmp_path / "none"
    write_secret(passfile, "*:*:*:somebody:else\n")
    with pytest.raises(OperationalError, match="no password supplied"):
        query(rooms, "owner_a", "room_a", "SELECT 1", passfile)


def test_a_password_opens_one_role_only(rooms: Cluster, tmp_path: Path) -> None:
    password = rooms.passfile("service_a").read_text().strip().rpartition(":")[2]
    passfile = tmp_path / "stolen"
    write_secret(passfile, f"*:*:*:owner_a:{password}\n")
    with pytest.raises(OperationalError, match="password authentication failed"):
        query(rooms, "owner_a", "room_a", "SELECT 1", passfile)


@pytest.mark.parametrize("role", ["owner_b", "service_b"])
def test_a_role_of_one_database_enters_no_other(rooms: Cluster, role: str) -> None:
    with pytest.raises(OperationalError, match="permission denied for database"):
        query(rooms, role, "room_a", "SELECT 1")


@pytest.mark.parametrize("statement", ["CREATE TABLE t (x int)", "CREATE SCHEMA s", "CREATE TEMP TABLE t (x int)"])
def test_a_service_can_make_nothing(rooms: Cluster, statement: str) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"):
        query(rooms, "service_a", "room_a", statement)


def test_no_password_stands_in_the_server_or_its_log(rooms: Cluster) -> None:
    for path in rooms.passfiles.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.read_text().strip().rpartition(":")[2] not in rooms.log.read_text()
    assert not (rooms.folder / "first-password").exists()


def test_it_runs_as_an_account_of_its_own_that_is_not_root(rooms: Cluster) -> None:
    account = system_account("tests")
    assert rooms.data.stat().st_mode & 0o777 == 0o700
    assert rooms.data.stat().st_uid == (account.uid if account else os.getuid()) != 0


def test_what_was_committed_is_found_after_a_power_cut() -> None:
    with temporary_cluster("tests") as cluster:
        cluster.create_database("ledger", "owner")
        query(cluster, "owner", "ledger", "CREATE TABLE kept AS SELECT 7 AS number")
        cluster.stop(crash=True)
        with pytest.raises(OperationalError):
            query(cluster, "owner", "ledger", "SELECT 1")
        cluster.start()
        assert query(cluster, "owner", "ledger", "SELECT number FROM kept") == 7
        cluster.stop()
        cluster.stop()
        folder = cluster.folder
    assert not folder.exists()


def test_a_server_that_does_not_start_says_why() -> None:
    with temporary_cluster("tests") as cluster:
        cluster.stop()
        with (cluster.data / "postgresql.conf").open("a") as file:
            file.write("no_such_setting = on\n")
        with pytest.raises(ClusterError, match="no_such_setting"):
            cluster.start()


# Prints the folder of a running cluster, then waits for its end.
START = """
import signal, sys
from infra.postgres import temporary_cluster
# In the background of a shell it would be ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
with temporary_cluster("tests") as cluster:
    print(cluster.folder, flush=True)
    signal.pause()
"""


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM], ids=lambda end: end.name)
def test_it_does_not_outlive_who_started_it(end: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", START], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().decode().strip())
        state = folder / "data" / "postmaster.pid"
        assert state.exists()
        process.send_signal(end)
        wait_until(lambda: not state.exists())
    if end == signal.SIGINT:
        assert not folder.exists()
    else:
        # Who is killed cannot tidy up; the server is gone all the same.
        subprocess.run(["rm", "-r", folder], check=True)


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="too long"):
        Cluster(tmp_path / ("x" * 100), None, Binaries(Path("/nowhere"), "17.0"))


def test_the_machine_s_own_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_binaries()
    assert found == (of_machine() or of_wheel())
    assert found.major >= 15


def fake(folder: Path, version: str) -> Path:
    """A folder that looks like a PostgreSQL of this version."""
    (folder / "bin").mkdir(parents=True)
    for name in ("initdb", "postgres"):
        program = folder / "bin" / name
        program.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version} (Somebody {version}-1)'\n")
        program.chmod(0o700)
    return folder / "bin"


def test_the_newest_of_the_machine_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, version in (("9", "9.6.24"), ("15", "15.18"), ("16", "16beta1")):
        fake(tmp_path / name, version)
    newest = fake(tmp_path / "17", "17.2")
    monkeypatch.setattr(postgres_binaries, "PLACES", ((str(tmp_path), "*/bin"),))
    monkeypatch.setenv("PATH", str(tmp_path / "15" / "bin"))
    assert of_machine() == Binaries(newest, "17.2")


def test_one_too_old_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake(tmp_path / "14", "14.12")
    monkeypatch.setattr(postgres_binaries, "PLACES", ((str(tmp_path), "*/bin"),))
    monkeypatch.setattr(postgres_binaries, "of_wheel", lambda: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NoPostgres, match="no PostgreSQL 15 or newer"):
        find_binaries()


def test_the_wheel_s_binaries_are_copied_for_an_account_that_cannot_enter_their_folder(tmp_path: Path) -> None:
    tree, account = tmp_path / "closed", system_account("tests")
    tmp_path.chmod(0o700)
    binaries = Binaries(fake(tree, "17.2"), "17.2", tree)
    for part in ("lib", "share"):
        (tree / part).mkdir()
    found = reachable(binaries, account)
    # Who is not root runs everything as itself, and reaches its own folder.
    assert (found.folder.is_relative_to(scratch())) == (account is not None)
    assert reachable(binaries, account) == found


def test_the_machine_s_binaries_are_never_copied(tmp_path: Path) -> None:
    (fake(tmp_path / "broken", "17.2") / "postgres").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(NoPostgres, match="cannot start .*/broken/bin/postgres"):
        reachable(Binaries(tmp_path / "broken" / "bin", "17.2"), system_account("tests"))
