"""A custodian and a follower whose log cannot be written go on; one of whose threads has ended says so and signs
nothing, or ends.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from tests.loopback import PATIENCE, serving, wait_until
from tests.simulator.record import files_of
from tests.vault.test_following_process import PSEPHOS, Town
from tests.vault.test_process import Office
from vault.custodian.examining import Examiner
from vault.custodian.watching import Watch


class Ended(BaseException):
    """What neither of them waits out."""


def ends(*_: object) -> None:
    raise Ended


def test_either_of_a_custodians_threads_tells_that_it_has_ended() -> None:
    for part in (Watch(ends), Examiner({}, {}, sleep=ends)):  # type: ignore[arg-type]
        ended = threading.Event()
        part.start(ended.set)
        assert ended.wait(PATIENCE)


@pytest.mark.parametrize("part", ["examining.Examiner.patrol", "watching.Watch.look"])
def test_a_custodian_of_which_a_part_has_ended_signs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    office = Office(tmp_path)
    program = "; ".join(
        (
            "import sys, threading",
            "from vault.custodian import examining, watching",
            "examining.BETWEEN_SECONDS = watching.SECONDS = 0.1",
            f"{part} = lambda self: sys.exit(1)",
            "from infra.commands import main",
            "main()",
        )
    )
    monkeypatch.setattr("tests.vault.test_process.RESTLESS", [sys.executable, "-c", program])
    with office.serving() as (_, client), httpx.Client(base_url=f"http://{office.private}") as private:
        wait_until(lambda: reason(private.get("/readyz")) == "ended")
        refused = client.post(f"/{office.origin}/append", content=office.append(1))
        assert (refused.status_code, reason(refused)) == (503, "ended")


def reason(answer: httpx.Response) -> str:
    return answer.json()["reason"] if answer.content else ""


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path)


def test_a_fork_ends_a_follower_that_can_tell_nobody(town: Town) -> None:
    with serving(town.app()) as url, open("/dev/full", "wb") as full:
        command = [
            *PSEPHOS,
            "serve",
            "custodian",
            "--config",
            town.config(),
            "--follow",
            f"{url}/{town.meeting.origin}",
        ]
        with subprocess.Popen(command, stdout=full, stderr=full, text=True) as process:
            try:
                town.running = process
                wait_until(lambda: town.serves(1))
                other = [town.meeting.entries[0] + b"x", b"other"]
                town.files = files_of(other, town.meeting.parties, town.meeting.origin)
                assert process.wait(PATIENCE) == 3
            finally:
                process.kill()


def test_a_follower_that_follows_no_more_ends(town: Town) -> None:
    program = (
        "import sys; from vault.custodian.following import Follower; Follower.round = lambda self: sys.exit(0); "
        "from infra.commands import main; main()"
    )
    with serving(town.app()) as url:
        follow = ["--config", town.config(), "--follow", f"{url}/{town.meeting.origin}"]
        ended = subprocess.run(
            [sys.executable, "-c", program, "serve", "custodian", *follow], capture_output=True, timeout=PATIENCE
        )
    assert ended.returncode == 1 and b'"kind": "systemexit"' in ended.stderr
