"""A small ext4 on a loop device, for tests in which a disk is full or is lost: `small_disk` gives one, and
`cluster_on` a PostgreSQL cluster that lives on it. Needs root, and leaves nothing behind.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from infra.accounts import system_account
from infra.postgres import ADMIN, Cluster, ClusterError
from infra.postgres_binaries import find_binaries, scratch

BALLAST = "ballast"
CLUSTER_MEGABYTES = 160
"""Room for a cluster with a few databases, and for some 60 MB more."""
BLOCK = 1 << 16
END_SECONDS = 30.0
LITTLE_WAL = {"max_wal_size": "32MB", "min_wal_size": "32MB", "wal_recycle": "off"}


@dataclass(frozen=True)
class SmallDisk:
    """`folder`: where it is mounted, open to every account; `device`: the loop device; `image`: the file behind it."""

    folder: Path
    device: str
    image: Path

    def fill(self, leave: int = 0) -> None:
        """Takes all the room there is but `leave` bytes, about, so that nobody can write any more."""
        with (self.folder / BALLAST).open("ab", buffering=0) as ballast:
            for block in (bytes(BLOCK), bytes(512)):
                with suppress_full():
                    while not leave or self.room() > leave:
                        ballast.write(block)
            os.fsync(ballast.fileno())

    def room(self) -> int:
        """Bytes that can still be written."""
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    def empty(self) -> None:
        """Gives back the room that `fill` took."""
        (self.folder / BALLAST).unlink(missing_ok=True)

    def unmount(self) -> None:
        """Takes the file system away from under its folder; nobody may use it any more."""
        run("umount", self.folder)

    def mount(self) -> None:
        """Brings it back, as it is on the device: the journal is replayed."""
        run("mount", "-t", "ext4", self.device, self.folder)


@contextmanager
def suppress_full() -> Iterator[None]:
    """Ends the block quietly when the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


@contextmanager
def small_disk(megabytes: int = 64) -> Iterator[SmallDisk]:
    """An empty, mounted ext4 of this size. At the end it is unmounted, whoever still uses it, and removed."""
    base = Path(tempfile.mkdtemp(prefix="psephos-disk-", dir=scratch()))
    folder, image = base / "disk", base / "image"
    device = ""
    try:
        base.chmod(0o711)
        folder.mkdir()
        with image.open("wb") as file:
            file.truncate(megabytes << 20)
        # Nothing kept back for root, who fills it here: full is full for everybody.
        run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
        device = run("losetup", "--find", "--show", image)
        disk = SmallDisk(folder, device, image)
        disk.mount()
        folder.chmod(0o711)
        yield disk
    finally:
        # Lazily, for a process that is being killed may still stand in it.
        with suppress(subprocess.CalledProcessError):
            run("umount", "--lazy", folder)
        if device:
            run("losetup", "--detach", device)
        shutil.rmtree(base, ignore_errors=True)


@contextmanager
def cluster_on(disk: SmallDisk, name: str) -> Iterator[Cluster]:
    """A running PostgreSQL cluster on the disk, as `temporary_cluster`, which keeps little WAL. `stop` and `start` it
    as its service manager would: a server that cannot write its WAL ends.
    """
    folder = disk.folder / "cluster"
    folder.mkdir()
    folder.chmod(0o711)
    cluster = Cluster(folder, system_account(name), find_binaries())
    try:
        cluster.create()
        with (cluster.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{setting} = {value}\n" for setting, value in LITTLE_WAL.items())
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def fill_the_log(cluster: Cluster, disk: SmallDisk) -> None:
    """Fills the disk and begins another segment of the write-ahead log, for which there is no room: the server ends.
    A disk that is full otherwise fails the statements by which a table would grow.
    """
    disk.fill()
    with suppress(psycopg.OperationalError), administer(cluster) as connection:
        connection.execute("SELECT pg_switch_wal()")


def restart(cluster: Cluster, disk: SmallDisk) -> None:
    """There is room again. A server that has ended is started by its service manager."""
    disk.empty()
    end = time.monotonic() + END_SECONDS
    while not (answering := answers(cluster)) and (cluster.data / "postmaster.pid").exists():
        assert time.monotonic() < end, "a server without room neither answers nor ends"
        time.sleep(0.01)
    if not answering:
        with suppress(ClusterError):
            cluster.stop()
        cluster.start()


def answers(cluster: Cluster) -> bool:
    try:
        administer(cluster).close()
    except psycopg.OperationalError:
        return False
    return True


def administer(cluster: Cluster) -> psycopg.Connection[tuple[object, ...]]:
    passfile = str(cluster.passfile(ADMIN))
    return psycopg.connect(host=str(cluster.sockets), user=ADMIN, dbname="postgres", passfile=passfile, autocommit=True)


def run(*command: str | Path) -> str:
    """What the command printed. CalledProcessError if it fails."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
