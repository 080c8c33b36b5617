"""`psephos verify` as an auditor runs it: on a folder and on a custodian's address, for people and as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from audit import commands
from audit.protocol.group import b64
from tests.simulator.meeting import Meeting
from tests.simulator.record import write

Files = dict[str, bytes]
Run = Callable[..., Result]


@pytest.fixture
def record(files: Files, tmp_path: Path) -> Path:
    return write(files, tmp_path / "record")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, executor: object) -> Run:
    """Runs the command in this process, with the tests' executor in place of processes."""

    @contextmanager
    def borrowed() -> Iterator[object]:
        yield executor

    monkeypatch.setattr(commands, "executor", borrowed)
    app = typer.Typer()
    commands.register(app)

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(app, ["verify", *map(str, arguments)])

    return invoke


def test_a_good_record(run: Run, record: Path, held: Meeting) -> None:
    result = run(record, "--manifest", b64(held.manifest.hash))
    assert result.exit_code == 0
    assert "VERIFIED" in result.stdout and "NOT VERIFIED" not in result.output
    for words in ("6 ballots, 751 votes present; certified", "not elected", "735", "the roll is not mixed"):
        assert words in result.stdout
    assert "of entries of type ballot that intake-1 passed on the log refused: 1 bad-proof" in result.stdout
    assert "every difference between totals, is over at least 2 voters" in result.stdout
    assert "compare it with your letter" not in result.stdout


def test_without_a_hash_it_says_that_nothing_pins_the_election(run: Run, record: Path, held: Meeting) -> None:
    result = run(record)
    assert result.exit_code == 0
    assert f"the manifest {b64(held.manifest.hash)} is that of your election" in result.stdout


def test_as_json(run: Run, record: Path, held: Meeting) -> None:
    result = run(record, "--json", "--manifest", b64(held.manifest.hash))
    assert result.exit_code == 0
    shown = json.loads(result.stdout)
    assert shown["verified"] is True and shown["pinned"] is True
    assert shown["result"] == held.election.result
    assert shown["manifest"] == b64(held.manifest.hash)
    assert (shown["size"], shown["entries"]["ballot"], shown["superseded"]) == (len(held.entries), 8, 2)
    assert shown["refusals"] == [{"intake": "intake-1", "kind": "ballot", "reason": "bad-proof", "count": 1}]
    for words in ("trace", "tally's word on the 1 entries that it refused"):
        assert any(words in sentence for sentence in shown["trusted"])


def test_a_changed_entry(run: Run, record: Path, files: Files) -> None:
    path = next(path for path in files if path.startswith("tile/entries/"))
    raw = bytearray(files[path])
    raw[-200] ^= 1
    (record / path).write_bytes(raw)
    result = run(record)
    assert result.exit_code == 1
    assert "VERIFIED" not in result.stdout
    assert f"psephos: NOT VERIFIED: {record / path}: entry " in result.stderr
    shown = json.loads(run(record, "--json").stdout)
    assert (shown["verified"], shown["where"], shown["reason"]) == (False, str(record / path), "wrong-entry")


def test_a_changed_manifest_names_entry_0(run: Run, record: Path, files: Files) -> None:
    path = next(path for path in files if path.startswith("tile/entries/"))
    (record / path).write_bytes(files[path].replace(b"Annual meeting 2026", b"Annual meeting 2027", 1))
    result = run(record, "--json")
    assert result.exit_code == 1
    shown = json.loads(result.stdout)
    assert (shown["entry"], shown["type"], shown["reason"]) == (0, "manifest", "bad-signature")


def test_another_election(run: Run, record: Path) -> None:
    result = run(record, "--manifest", b64(bytes(32)))
    assert result.exit_code == 1
    assert "entry 0 (manifest)" in result.stderr


@pytest.mark.parametrize("text", ["x", "A" * 44, b64(bytes(31))])
def test_a_hash_that_is_none(run: Run, record: Path, text: str) -> None:
    result = run(record, "--manifest", text)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"psephos: --manifest {text}: ")


def test_the_result_beside_the_record(run: Run, record: Path, held: Meeting, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    file.write_text(json.dumps(held.election.result))
    assert run(record, "--result", file).exit_code == 0
    file.write_text(json.dumps({**(held.election.result or {}), "ballots": 7}))
    result = run(record, "--result", file)
    assert result.exit_code == 1
    assert f"{file}: result.ballots is said to be 7; from the log it is 6" in result.stderr


def test_a_result_is_read_to_its_end(run: Run, record: Path, held: Meeting, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    good = json.dumps(held.election.result).encode()
    file.write_bytes(good + b" " * (commands.MAX_RESULT - len(good)))
    assert run(record, "--result", file).exit_code == 0
    for tail in (b" ", b"garbage"):
        file.write_bytes(good + b" " * (commands.MAX_RESULT - len(good)) + tail)
        result = run(record, "--result", file, "--json")
        assert (result.exit_code, json.loads(result.stdout)["reason"]) == (1, "too-long")
        assert f"{file}: is longer than" in result.stderr


UNUSABLE = {
    "a hash that is none": (["--manifest", "x"], "bad-encoding", ""),
    "no result there": (["--result", "/nowhere/result.json"], "unreadable", "/nowhere/result.json"),
    "a result that is a folder": (["--result", "/"], "unreadable", "/"),
}


@pytest.mark.parametrize("what", sorted(UNUSABLE))
def test_one_object_of_json_whatever_is_wrong(run: Run, record: Path, what: str) -> None:
    options, reason, where = UNUSABLE[what]
    result = run(record, "--json", *options)
    shown = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (shown["verified"], shown["reason"], shown["where"]) == (False, reason, where)
    assert "NOT VERIFIED" not in result.stderr and result.stderr.startswith("psephos: ")


@pytest.mark.parametrize("url", ["http://", "http://a:b:c/x"])
def test_one_object_of_json_for_an_address_that_is_none(run: Run, url: str) -> None:
    result = run(url, "--json")
    shown = json.loads(result.stdout)
    assert (result.exit_code, shown["verified"], shown["where"]) == (1, False, url)


def test_one_object_of_json_when_a_worker_is_killed(
    run: Run, record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise BrokenProcessPool

    monkeypatch.setattr(commands, "verify_record", killed)
    result = run(record, "--json")
    assert (result.exit_code, json.loads(result.stdout)["reason"]) == (1, "worker-killed")


def test_a_folder_that_is_not_there(run: Run, tmp_path: Path) -> None:
    result = run(tmp_path / "nowhere")
    assert result.exit_code == 1
    assert str(tmp_path / "nowhere") in result.stderr


@pytest.fixture
def served(record: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(record)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_over_http(run: Run, served: str, held: Meeting) -> None:
    shown = json.loads(run(served, "--json", "--manifest", b64(held.manifest.hash)).stdout)
    assert shown["result"] == held.election.result


def test_over_http_what_is_missing_is_named(run: Run, served: str, record: Path, files: Files) -> None:
    path = next(path for path in files if path.startswith("tile/entries/"))
    (record / path).unlink()
    result = run(served)
    assert result.exit_code == 1
    assert f"{served}/{path}" in result.stderr


def test_an_address_where_nobody_answers(run: Run) -> None:
    result = run("http://127.0.0.1:9/vote.example/x")
    assert result.exit_code == 1
    assert "http://127.0.0.1:9/vote.example/x" in result.stderr


def test_the_command_line_with_real_processes(record: Path, held: Meeting) -> None:
    """Once for all: worker processes get what they need, exit status and streams are as promised."""
    line = [sys.executable, "-c", "from infra.commands import main; main()", "verify", str(record), "--json"]
    good = subprocess.run([*line, "--manifest", b64(held.manifest.hash)], capture_output=True, timeout=120, check=False)
    assert (good.returncode, good.stderr) == (0, b"")
    assert json.loads(good.stdout)["result"] == held.election.result
    bad = subprocess.run([*line, "--manifest", "x"], capture_output=True, timeout=120, check=False)
    assert (bad.returncode, json.loads(bad.stdout)["verified"]) == (1, False)
    assert bad.stderr.startswith(b"psephos: --manifest x: ")


def test_nothing_is_no_folder(run: Run) -> None:
    result = run("")
    assert result.exit_code == 1
    assert result.stderr == "psephos: an empty SOURCE names neither a folder nor an address\n"


def test_an_address_without_a_log_says_what_an_address_is(run: Run, served: str) -> None:
    result = run(f"{served}/elsewhere")
    assert result.exit_code == 1
    assert f"{served}/elsewhere: no checkpoint is there" in result.stderr and "URL/ORIGIN" in result.stderr


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_reader_that_leaves_does_not_change_the_verdict(record: Path, options: list[str]) -> None:
    line = [sys.executable, "-c", "from infra.commands import main; main()", "verify", str(record), *options]
    ends, begins = os.pipe()
    os.close(ends)
    try:
        done = subprocess.run(line, stdout=begins, stderr=subprocess.PIPE, timeout=120, check=False)
    finally:
        os.close(begins)
    assert (done.returncode, done.stderr) == (0, b"")


HOLDS_WORKERS = """
import os, sys, time
from audit.commands import executor

if __name__ == "__main__":
    with executor() as workers:
        print(*{workers.submit(os.getpid).result() for _ in range(20)}, flush=True)
        time.sleep(60)
"""


def test_no_worker_outlives_the_process_that_started_it(tmp_path: Path) -> None:
    script = tmp_path / "holds.py"
    script.write_text(HOLDS_WORKERS)
    here = {**os.environ, "PYTHONPATH": "."}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, env=here) as run:
        assert run.stdout is not None
        pids = [int(word) for word in run.stdout.readline().split()]
        run.kill()
    assert pids
    end = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < end:
        time.sleep(0.05)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
