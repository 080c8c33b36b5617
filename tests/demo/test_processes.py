"""The demo leaves nothing running: whatever ends it, and whatever its processes do about it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.demo import processes
from infra.demo.processes import Interrupted, Processes, ProcessFailed, Stop

SLEEP = "import time; print('ready', flush=True); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STUBBORN!r}]); {SLEEP}"


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Processes]:
    monkeypatch.setattr(processes, "psephos", lambda: [sys.executable, "-c"])
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.5)
    with Stop() as stop, Processes(tmp_path, stop) as started:
        yield started


def wait_for_output(process: processes.Process, text: str) -> None:
    deadline = time.monotonic() + 20
    while text not in processes.output_of(process.log).read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def group_exists(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("code", [SLEEP, STUBBORN, PARENT], ids=["obedient", "stubborn", "with a stubborn child"])
def test_nothing_is_left_after_stop(started: Processes, code: str) -> None:
    service = started.serve("service", [code])
    wait_for_output(service, "ready")
    started.stop()
    deadline = time.monotonic() + 20
    while group_exists(service.pid):  # a killed grandchild is reaped by whoever adopts it
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_service_that_ends_by_itself_is_named_with_its_last_words(started: Processes) -> None:
    started.serve("tally", ["import sys; sys.exit('the ledger is gone')"])
    with pytest.raises(ProcessFailed, match=r"(?s)^tally ended by itself \(exit code 1\):.*the ledger is gone"):
        started.wait_until(lambda: False, "nothing", 20)


def test_a_command_that_fails_ends_those_beside_it(started: Processes, tmp_path: Path) -> None:
    with pytest.raises(ProcessFailed, match=r"(?s)^trustee-2 failed \(exit code 1\):.*no key"):
        slow = f"import os; print(os.getpid(), flush=True); {SLEEP}"
        started.run_all({"trustee-1": [slow], "trustee-2": ["import sys, time; time.sleep(1); sys.exit('no key')"]}, 20)
    assert not group_exists(int((tmp_path / "trustee-1.out").read_text().split()[0]))


def test_a_command_that_takes_too_long_is_named(started: Processes) -> None:
    with pytest.raises(ProcessFailed, match=r"^vote: not finished within 0.2 s$"):
        started.run("vote", [SLEEP], 0.2)


def test_an_address_that_never_answers_is_named(started: Processes) -> None:
    started.serve("intake", [SLEEP])
    with pytest.raises(ProcessFailed, match="^intake does not answer within 0.3 s"):
        started.wait_healthy({"intake": "http://127.0.0.1:9/healthz"}, 0.3)


def test_a_command_gives_back_what_it_printed(started: Processes) -> None:
    assert started.run("show", ["print('a vkey')"], 20) == "a vkey\n"


@pytest.mark.parametrize("number", Stop.SIGNALS)
def test_a_signal_ends_any_wait(started: Processes, number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    with pytest.raises(Interrupted, match=f"^stopped by {number.name}$"):
        started.run("vote", [SLEEP], 20)


def test_no_secret_of_the_caller_reaches_a_process(started: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "secret")
    assert "SOME_TOKEN" not in started.run("show", ["import os; print(sorted(os.environ))"], 20)


def test_a_demo_that_is_killed_takes_its_services_along(tmp_path: Path) -> None:
    service = f"import os; open({str(tmp_path / 'pid')!r}, 'w').write(f'{{os.getpid()}} '); {SLEEP}"
    demo = (
        "import sys, time; from pathlib import Path; from infra.demo import processes\n"
        "processes.psephos = lambda: [sys.executable, '-c']\n"
        f"with processes.Stop() as stop, processes.Processes(Path({str(tmp_path)!r}), stop) as started:\n"
        f"    started.serve('service', [{service!r}]); time.sleep(60)\n"
    )
    killed = subprocess.Popen([sys.executable, "-c", demo])
    try:
        deadline = time.monotonic() + 30
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().endswith(" "):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        killed.kill()
        killed.wait()
    pid = int((tmp_path / "pid").read_text())
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Whether there is such a process that is not merely waiting to be reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
