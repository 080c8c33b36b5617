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


def let_go(disk: SmallDisk, cluster: Cluster) -> None:
    """The server and all its processes are gone, and the disk is seen by nobody."""
    # The folder stands in the command of the server and of who watches over it; all else they have started.
    ours = [pid for pid in descendants(os.getpid()) if str(cluster.data) in command_of(pid)]
    for pid in ours + [child for one in ours for child in descendants(one)]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
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


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""
