"""Starts the demo's services and commands, watches them, and ends every one of them.

Each runs in a process group of its own: Ctrl-C at the terminal reaches only the demo, which then stops what it started
in reverse order, and a worker that outlives its service is ended with the group. A demo that is killed takes them along
too: each holds the end of a pipe whose other end only the demo has. A service that ends by itself ends the demo, with
the last lines it wrote. What each prints goes to a file of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import httpx

from infra.accounts import Account, as_account

POLL_SECONDS = 0.05
STOP_SECONDS = 10.0
TAIL_LINES = 12
HANDED_ON = ("PATH", "LANG", "LC_ALL", "TERM", "COLUMNS", "LD_LIBRARY_PATH", "TMPDIR")
"""All of the demo's environment that a process gets to see."""

# The shell's standard input ends when the demo closes its end or is gone; what it started is then asked to end.
SUPERVISE = """
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
(read -r _ <&3; kill -TERM "$child") 2>/dev/null &
watch=$!
wait "$child"
status=$?
kill "$watch" 2>/dev/null
exit "$status"
"""


class ProcessFailed(Exception):
    """A process ended that should not have, or did not do its work in time; the message ends with its last lines."""


class Interrupted(Exception):
    """A signal asked the demo to stop; `code` is the exit code by which a shell knows of it."""

    def __init__(self, number: int) -> None:
        self.code = 128 + number
        super().__init__(f"stopped by {signal.Signals(number).name}")


@dataclass
class Process:
    """One that was started; `log` holds what it printed."""

    name: str
    log: Path
    popen: subprocess.Popen[bytes] = field(repr=False)

    @property
    def pid(self) -> int:
        return self.popen.pid

    def tail(self) -> str:
        """Its last lines, indented."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
        return "".join(f"\n    {line}" for line in lines)


class Processes:
    """All that was started, in order; leaving the context ends it. Every wait here ends early when `stop` has come."""

    def __init__(self, logs: Path, stop: Stop) -> None:
        self._logs = logs
        self._stop = stop
        self.services: list[Process] = []
        self._commands: list[Process] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def serve(self, name: str, arguments: Sequence[str], account: Account | None = None) -> Process:
        """Starts `psephos ARGUMENTS` as a service, under the account given, and returns at once."""
        service = self._start(name, arguments, account)
        self.services.append(service)
        return service

    def wait_healthy(self, urls: Mapping[str, str], seconds: float) -> None:
        """Returns when every address answers; ProcessFailed if one does not in time, or if any service ends before."""
        waiting = dict(urls)
        deadline = time.monotonic() + seconds
        with httpx.Client(timeout=1.0, trust_env=False) as client:
            while waiting:
                self.check()
                waiting = {name: url for name, url in waiting.items() if not answers(client, url)}
                if waiting and time.monotonic() > deadline:
                    name = next(iter(waiting))
                    raise self._failed(name, f"does not answer within {seconds:g} s")
                time.sleep(POLL_SECONDS)

    def wait_until(self, done: Callable[[], bool], what: str, seconds: float) -> None:
        """Returns when `done` is true; ProcessFailed naming `what` if it takes too long, or if a service ends."""
        deadline = time.monotonic() + seconds
        while not done():
            self.check()
            if time.monotonic() > deadline:
                raise ProcessFailed(f"{what}: not within {seconds:g} s")
            time.sleep(POLL_SECONDS)

    def run(self, name: str, arguments: Sequence[str], seconds: float, *, show: bool = False) -> str:
        """Runs `psephos ARGUMENTS` to its end and returns what it printed. Raises as `run_all`."""
        return self.run_all({name: arguments}, seconds, show=show)[name]

    def run_all(
        self,
        commands: Mapping[str, Sequence[str]],
        seconds: float,
        *,
        show: bool = False,
        accounts: Mapping[str, Account | None] | None = None,
    ) -> dict[str, str]:
        """Runs several commands side by side, under the `accounts` given for them, and returns what each printed on
        standard output.

        With `show`, their progress (standard error) goes to the demo's own. ProcessFailed if one exits with anything
        but 0 or not in time, or if a service ends meanwhile; the others are ended then.
        """
        started = {
            name: self._start(name, arguments, (accounts or {}).get(name), show=show)
            for name, arguments in commands.items()
        }
        self._commands += started.values()
        deadline = time.monotonic() + seconds
        try:
            while any(process.popen.poll() is None for process in started.values()):
                self.check()
                for process in started.values():
                    raise_if_failed(process)
                if time.monotonic() > deadline:
                    names = ", ".join(name for name, process in started.items() if process.popen.poll() is None)
                    raise ProcessFailed(f"{names}: not finished within {seconds:g} s")
                time.sleep(POLL_SECONDS)
            for process in started.values():
                raise_if_failed(process)
        finally:
            for process in started.values():
                end(process, STOP_SECONDS)
                self._commands.remove(process)
        return {name: output_of(process.log).read_text(encoding="utf-8") for name, process in started.items()}

    def check(self) -> None:
        """ProcessFailed if a service has ended; Interrupted if a signal has come."""
        self._stop.check()
        for service in self.services:
            code = service.popen.poll()
            if code is not None:
                raise ProcessFailed(f"{service.name} ended by itself ({ending(code)}):{service.tail()}")

    def stop(self) -> None:
        """Ends everything, the last started first. Nothing of it is left when this returns."""
        for process in reversed(self._commands + self.services):
            end(process, STOP_SECONDS)
        self._commands.clear()
        self.services.clear()

    def _start(self, name: str, arguments: Sequence[str], account: Account | None, *, show: bool = False) -> Process:
        log = self._logs / f"{name}.log"
        with log.open("ab") as errors, output_of(log).open("wb") as output:
            popen = subprocess.Popen(
                ["/bin/sh", "-c", SUPERVISE, "psephos-demo", *psephos(), *arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=None if show else errors,
                env={key: os.environ[key] for key in HANDED_ON if key in os.environ},
                cwd="/",
                start_new_session=True,
                umask=0o077,
                **as_account(account),
            )
        return Process(name, log, popen)

    def _failed(self, name: str, what: str) -> ProcessFailed:
        tail = next((service.tail() for service in self.services if service.name == name), "")
        return ProcessFailed(f"{name} {what}:{tail}")


def psephos() -> list[str]:
    """The command line of this very installation, without the caller's folder in its import path."""
    return [sys.executable, "-P", "-c", "from infra.commands import main; main()"]


def output_of(log: Path) -> Path:
    return log.with_suffix(".out")


def answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).status_code < 500
    except httpx.TransportError:
        return False


def raise_if_failed(process: Process) -> None:
    code = process.popen.poll()
    if code:
        raise ProcessFailed(f"{process.name} failed ({ending(code)}):{process.tail()}")


def ending(code: int) -> str:
    # The shell adds 128 to the number of a signal.
    return f"exit code {code}" if 0 <= code < 128 else f"signal {abs(code) % 128}"


def end(process: Process, seconds: float) -> None:
    """Asks the process to end, and after `seconds`, or once it has, ends whatever is left of its group."""
    assert process.popen.stdin is not None
    process.popen.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.popen.wait(seconds)
    # A group keeps its number as long as one member lives, so this can reach nobody else; an empty one is gone.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.popen.wait()


class Stop:
    """Within, SIGINT, SIGTERM and SIGHUP are only noted, and `check` raises Interrupted: so none can strike between the
    start of a process and the note that it runs, nor while everything is being ended."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self._received: int | None = None
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Stop:
        self._before = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def check(self) -> None:
        """Interrupted if a signal has come."""
        if self._received is not None:
            raise Interrupted(self._received)

    def _note(self, number: int, _: FrameType | None) -> None:
        self._received = number
