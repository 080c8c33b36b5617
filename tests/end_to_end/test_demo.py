"""A whole meeting over real processes and databases, and the record it leaves: verified, and refused when anything in
it is changed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.demo.published import published

PSEPHOS = [sys.executable, "-P", "-c", "from infra.commands import main; main()"]
ACCOUNTS = 24
SECONDS = 600


def psephos(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*PSEPHOS, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False, cwd="/")


@dataclass(frozen=True)
class Meeting:
    folder: Path
    said: str

    @property
    def record(self) -> Path:
        return self.folder / "record"


@pytest.fixture(scope="module")
def meeting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meeting]:
    folder = tmp_path_factory.mktemp("meeting")
    done = psephos("demo", "--accounts", str(ACCOUNTS), "--keep", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    yield Meeting(folder, done.stdout)


def test_the_published_figures_come_out(meeting: Meeting) -> None:
    figures = published()
    result = json.loads((meeting.folder / "result.json").read_text())
    assert result["contests"] == figures.result
    assert result["present"] == figures.present
    assert result["outcome"] == {n.id: "elected" if n.elected else "not elected" for n in figures.nominees}
    assert result["outcome"]["nominee-2"] == "not elected"
    assert "Equal to the published figures, to the share." in meeting.said


def test_what_is_kept_is_what_may_be_kept(meeting: Meeting) -> None:
    kept = {path.name for path in meeting.folder.iterdir()}
    assert kept == {"record", "register.csv", "result.json", "receipts", "logs", "manifest", "election.toml"}
    text = b"".join(path.read_bytes() for path in meeting.folder.rglob("*") if path.is_file())
    assert b"PRIVATE+KEY" not in text
    assert not re.search(rb"([0-9A-Z]{5}-){5}", text), "a control number"


def test_anyone_verifies_the_record(meeting: Meeting) -> None:
    card = (meeting.folder / "election.toml").read_text()
    pinned = re.search(r'^manifest = "(.*)"$', card, re.MULTILINE)
    assert pinned is not None
    result = meeting.folder / "result.json"
    done = psephos("verify", meeting.record, "--manifest", pinned[1], "--result", result, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["verified"] and found["pinned"]
    assert found["result"] == json.loads(result.read_text())
    mixers = [f"mixer-{k}.demo.psephos.example" for k in (1, 2, 3)]
    assert found["mixers"] == mixers
    (roll,) = found["rolls"].values()
    assert roll == {"anonymous": True, "mixers": mixers, "rows": ACCOUNTS}
    sentences = found["trusted"]
    assert not any("not mixed" in sentence for sentence in sentences)
    assert any("one at least has forgotten" in s and all(mixer in s for mixer in mixers) for s in sentences)
    assert any("do not vote for others or trace them" in sentence for sentence in sentences)


def test_every_voter_holds_a_proof(meeting: Meeting) -> None:
    proofs = sorted((meeting.folder / "receipts").glob("*.tlog-proof"))
    ballots = json.loads((meeting.folder / "result.json").read_text())["ballots"]
    assert len(proofs) == ballots
    done = psephos("verify-receipt", *proofs[:3])
    assert done.returncode == 0, done.stderr


@pytest.fixture
def copy(meeting: Meeting, tmp_path: Path) -> Path:
    return Path(shutil.copytree(meeting.record, tmp_path / "record"))


def refused(*arguments: str | Path) -> dict[str, object]:
    done = psephos("verify", *arguments, "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    said = json.loads(done.stdout)
    assert said["verified"] is False
    return dict(said)


def test_one_flipped_bit_is_found(copy: Path) -> None:
    (bundle,) = [path for path in (copy / "tile" / "entries").rglob("*") if path.is_file()]
    raw = bytearray(bundle.read_bytes())
    raw[len(raw) // 2] ^= 1
    bundle.write_bytes(raw)
    assert "entry" in str(refused(copy)["detail"])


def test_a_file_too_many_is_found(copy: Path) -> None:
    (copy / "notes.txt").write_text("")
    assert refused(copy)["where"] == str(copy / "notes.txt")


def test_a_wrong_result_is_found(meeting: Meeting, tmp_path: Path) -> None:
    result = json.loads((meeting.folder / "result.json").read_text())
    result["contests"]["nominee-2"]["for"] += 1
    wrong = tmp_path / "result.json"
    wrong.write_text(json.dumps(result))
    assert "nominee-2" in str(refused(meeting.record, "--result", wrong)["detail"])


def test_another_election_is_refused(meeting: Meeting) -> None:
    assert refused(meeting.record, "--manifest", "A" * 43)["reason"] == "another-election"


def test_fewer_than_21_accounts_are_refused_before_anything_starts() -> None:
    done = psephos("demo", "--accounts", "20")
    assert done.returncode == 1
    assert re.match("psephos: 20 accounts cannot .* at least 21\n$", done.stderr)
    assert done.stdout == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_the_demo_is_stopped(number: signal.Signals, tmp_path: Path) -> None:
    with (tmp_path / "said").open("wb") as said:
        demo = subprocess.Popen([*PSEPHOS, "demo", "--accounts", "21"], stdout=said, stderr=said, cwd="/")
    try:
        deadline = time.monotonic() + SECONDS
        # By then all services run.
        while "notice: " not in (tmp_path / "said").read_text():
            assert demo.poll() is None and time.monotonic() < deadline, (tmp_path / "said").read_text()
            time.sleep(0.05)
        started = descendants(demo.pid)
        lines = " ".join(started.values())
        folders = {path for path in Path("/var/tmp").glob("psephos-*") if str(path) in lines}
        assert len(started) > 10 and folders
        demo.send_signal(number)
        assert demo.wait(SECONDS) == 128 + number
    finally:
        demo.kill()
        demo.wait()
    assert f"psephos: stopped by {number.name}" in (tmp_path / "said").read_text()
    assert not [line for pid, line in started.items() if command_line(pid) == line]
    assert not [path for path in folders if path.exists()]


def descendants(pid: int) -> dict[int, str]:
    """All that a process has started, with their command lines."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found, grown = {pid}, True
    while grown:
        new = {child for child, parent in parents.items() if parent in found} - found
        found |= new
        grown = bool(new)
    return {child: command_line(child) for child in found - {pid}}


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return "gone"


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "minutes.txt").write_text("kept for ten years")
    done = psephos("demo", "--keep", tmp_path)
    assert done.returncode == 1 and "is not empty" in done.stderr
    assert os.listdir(tmp_path) == ["minutes.txt"]
