"""How a service ends: what is under way is finished, within a bound, and a second signal ends it at once."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.loopback import PATIENCE, wait_until

ROOT = Path(__file__).resolve().parents[2]


class Slow:
    """The process, and a request to it that takes a while."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url
        self.place = ("127.0.0.1", int(url.rpartition(":")[2]))
        self.answers: list[bytes | None] = []

    def ask(self, seconds: float) -> threading.Thread:
        """Begins a request; returns when the service is at it."""

        def post() -> None:
            try:
                self.answers.append(httpx.post(f"{self.url}/wait/{seconds}", timeout=PATIENCE).content)
            except httpx.TransportError:
                self.answers.append(None)

        thread = threading.Thread(target=post)
        thread.start()
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "begun\n"
        return thread


@contextmanager
def slow(bound: float, how: str = "ends") -> Iterator[Slow]:
    """It ends within `bound` seconds."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
    command = [sys.executable, "-m", "tests.infra.slow_service", listen, str(bound), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            wait_until(lambda: answers(f"http://{listen}"))
            yield Slow(process, f"http://{listen}")
        finally:
            process.kill()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == 204
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_under_way_is_finished_and_nothing_new_is_begun(number: signal.Signals) -> None:
    with slow(600) as service:
        thread = service.ask(1.0)
        service.process.send_signal(number)
        wait_until(lambda: not answers(service.url))
        thread.join()
        assert service.process.wait(PATIENCE) == 0
    assert service.answers == [b"done"]


def test_what_takes_too_long_is_given_up() -> None:
    with slow(2) as service:
        thread = service.ask(600)
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(PATIENCE) == 1
        thread.join()
        assert service.process.stderr is not None
        assert '"event": "overdue", "seconds": 2.0' in service.process.stderr.read()
    assert service.answers == [None]


def test_who_goes_on_sending_byte_by_byte_is_cut_off() -> None:
    with slow(600) as service, socket.create_connection(service.place) as dripping:
        dripping.sendall(b"POST /wait/0 HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n")
        assert service.process.stdout is not None
        assert service.process.stdout.readline() == "begun\n"
        over = threading.Event()

        def drip() -> None:
            with suppress(OSError):
                while not over.wait(0.05):
                    dripping.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        service.process.send_signal(signal.SIGTERM)
        try:
            assert service.process.wait(PATIENCE) == 0
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize("how", ["hangs", "hangs-in-the-log", "hangs-without-a-thread-to-spare"])
def test_what_does_not_end_by_itself_is_ended(how: str) -> None:
    with slow(1, how) as service:
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(PATIENCE) == 1


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(second: signal.Signals) -> None:
    with slow(600, "hangs") as service:
        thread = service.ask(600)
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not answers(service.url))
        service.process.send_signal(second)
        assert service.process.wait(PATIENCE) == -second
        thread.join()
