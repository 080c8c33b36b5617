"""The power of a machine is cut: its file system ends on the spot, nothing more gets to its disk, and what the disk has
when it is mounted again is all there is.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from infra.postgres import Cluster, ClusterError
from tests.bench.processes import descendants
from tests.storage.small_disk import SmallDisk, run

PATIENCE = 20.0


def cut(disk: SmallDisk) -> None:
    """Ends the file system, without what is still in memory, the journal's last transaction included."""
    run("xfs_io", "-x", "-c", "shutdown", disk.folder)


def let_go(disk: SmallDisk, cluster: Cluster | None) -> None:
    """The server on it, if there is one, and all its processes are gone, and the disk is seen by nobody."""
    if cluster is not None:
        servers = [pid for pid in descendants(os.getpid()) if is_server(pid, cluster)]
        for pid in servers + [child for one in servers for child in descendants(one)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # Who watches over the server has then seen its end: a new one would not start while its number is somebody's.
        with suppress(ClusterError):
            cluster.stop()
    end = time.monotonic() + PATIENCE
    while True:
        try:
            disk.unmount()
            return
        except subprocess.CalledProcessError:
            # What is ending still stands in it.
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def come_back(disk: SmallDisk, cluster: Cluster) -> None:
    """The machine starts again. ClusterError if the server does not, with what it finds."""
    disk.mount()
    cluster.start()


def is_server(pid: int, cluster: Cluster) -> bool:
    """Whether it is the cluster's server, and not the shell that watches over it."""
    command = command_of(pid)
    return str(cluster.data) in command and not command.startswith("/bin/sh")


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""
