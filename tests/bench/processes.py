"""What the processes that this one has started use of the machine, read from /proc."""

from __future__ import annotations

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
UTIME, STIME, CUTIME, CSTIME = 11, 12, 13, 14
"""Fields of /proc/PID/stat (proc(5)) after the command's name, counted from 0."""


def stats() -> dict[int, list[str]]:
    """The fields after the command's name of every process."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            found[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
    return found


def descendants(pid: int) -> set[int]:
    """All that a process has started, and what those have started."""
    parents = {child: int(fields[1]) for child, fields in stats().items()}
    found, new = set[int](), {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new}
        found |= new
    return found


def cpu_seconds(pids: set[int]) -> float:
    """User and system time of these processes, and of those children of theirs that have ended."""
    known = stats()
    ticks = sum(int(known[pid][i]) for pid in pids if pid in known for i in (UTIME, STIME, CUTIME, CSTIME))
    return ticks / TICKS


def megabytes(pid: int) -> float:
    """What a process and its workers hold for themselves: their private memory."""
    return sum(private(one) for one in {pid} | descendants(pid)) / 1024


def private(pid: int) -> int:
    """KiB in pages that no other process has."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
