"""Processes that the spawner forks: started, killed, stopped and gone on with by the test, none of them its child."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Process:
    """One of them, by a descriptor that is never another's."""

    pid: int
    descriptor: int

    @property
    def alive(self) -> bool:
        return not select.select([self.descriptor], [], [], 0)[0]

    @property
    def hangs(self) -> bool:
        """Whether it is stopped, as by SIGSTOP."""
        return "State:\tT" in Path(f"/proc/{self.pid}/status").read_text()

    def wait(self, seconds: float) -> bool:
        """Whether it has ended after so long at most."""
        return bool(select.select([self.descriptor], [], [], seconds)[0])

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.descriptor, number)

    def kill(self) -> None:
        """Kills it, and returns when it is gone."""
        self.signal(signal.SIGKILL)
        assert self.wait(20), "a killed process does not end"

    def close(self) -> None:
        self.kill()
        os.close(self.descriptor)


class Spawner:
    """What `spawner.py` runs as."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._asking = threading.Lock()
        self._born: list[Process] = []
        assert self._read() == "ready"

    def start(self, service: str, config: Path, log: Path, network: str = "", **fault: Any) -> Process:
        """A service that runs by the file `config`, in the network namespace of this path, with a fault of
        `spawner.plant`.
        """
        return self._start({"service": service, "config": str(config), "log": str(log), "network": network, **fault})

    def command(self, *words: object, log: Path, **fault: Any) -> Process:
        """`psephos` with these words, as a process of its own, here; what it prints goes to `log`."""
        return self._start({"service": "psephos", "command": list(map(str, words)), "log": str(log), **fault})

    def _start(self, order: dict[str, Any]) -> Process:
        assert self._process.stdin is not None
        with self._asking:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            pid = int(self._read())
        # One that has ended so soon is nobody's any more.
        try:
            made = Process(pid, os.pidfd_open(pid))
        except ProcessLookupError:
            raise AssertionError(f"{order['service']} ended at once; see {order['log']}") from None
        self._born.append(made)
        return made

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        for process in self._born:
            process.close()


@contextmanager
def spawner(patient: bool = False) -> Iterator[Spawner]:
    """What starts services that wait for less long than in production, unless they are to be `patient`."""
    command = [sys.executable, "-m", "tests.faults.spawner", *(["--patient"] if patient else [])]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
    ) as process:
        made = None
        try:
            made = Spawner(process)
            yield made
        finally:
            if made is not None:
                made.close()
            assert process.stdin is not None
            process.stdin.close()
            process.wait(20)
