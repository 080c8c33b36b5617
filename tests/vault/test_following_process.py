"""`psephos serve custodian --follow` as a process without a database: it learns the election from a hash, serves what
others serve, and says how it went by its exit code.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Response

from audit.log.export import check_tiles
from audit.log.reader import HttpReader, open_head
from audit.log.sources import rekeys_text
from audit.log.tiles import bundle_path
from tests.loopback import PATIENCE, serving, wait_until
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.record import checkpoint_of, files_of
from tests.simulator.rekeys import rekey

PSEPHOS = [sys.executable, "-c", "from infra.commands import main; main()"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


class Town:
    """A custodian that serves the log of an election, and a follower of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.meeting = Meeting().found()
        self.show()
        self.listen = f"127.0.0.1:{free_port()}"
        (folder / "kept").mkdir(mode=0o700)

    def show(self) -> None:
        self.files = files_of(self.meeting.entries, self.meeting.parties, self.meeting.origin)

    def app(self, files: dict[str, bytes] | None = None) -> FastAPI:
        """What serves these files, or else those of the town as they are then."""
        app = FastAPI()

        @app.get("/{path:path}")
        def file(path: str) -> Response:
            shown = self.files if files is None else files
            content = shown.get(path.removeprefix(f"{self.meeting.origin}/"))
            return Response(content) if content is not None else Response(status_code=404)

        return app

    def config(self, **changes: str) -> Path:
        said = {
            "listen": f'"{self.listen}"',
            "manifest_hash": f'"{self.meeting.hash}"',
            "memory": '"memory"',
            "folder": '"kept"',
            "interval": "0.05",
            "silence": "60",
            **changes,
        }
        file = self.folder / "follow.toml"
        file.write_text("".join(f"{key} = {value}\n" for key, value in said.items() if value))
        return file

    @contextmanager
    def process(self, *urls: str, **changes: str) -> Iterator[subprocess.Popen[str]]:
        following = [word for url in urls for word in ("--follow", url)]
        command = [*PSEPHOS, "serve", "custodian", "--config", self.config(**changes), *following]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                self.running = process
                yield process
            finally:
                process.kill()

    @property
    def reader(self) -> HttpReader:
        return HttpReader(f"http://{self.listen}/{self.meeting.origin}")

    def serves(self, size: int) -> bool:
        assert self.running.poll() is None, self.running.communicate()[1]
        try:
            answer = httpx.get(f"{self.reader}/checkpoint")
        except httpx.TransportError:
            return False
        return answer.status_code == 200 and answer.text.split("\n")[1] == str(size)


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path)


def test_it_follows_serves_and_ends_without_an_alarm(town: Town) -> None:
    with serving(town.app()) as url, town.process(f"{url}/{town.meeting.origin}") as process:
        wait_until(lambda: town.serves(1))
        town.meeting.ceremony()
        town.show()
        wait_until(lambda: town.serves(len(town.meeting.entries)))
        head = open_head(town.reader, town.meeting.manifest.log, exact=True)
        assert head is not None
        check_tiles(town.reader, head)
        assert httpx.post(f"{town.reader}/append").status_code in (404, 405)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    # Once more, from what is kept, and with nobody to ask.
    with town.process("http://127.0.0.1:1/x") as process:
        wait_until(lambda: town.serves(len(town.meeting.entries)))
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


def test_a_fork_ends_it_at_once_with_code_3(town: Town) -> None:
    with serving(town.app()) as url, town.process(f"{url}/{town.meeting.origin}") as process:
        wait_until(lambda: town.serves(1))
        other = [town.meeting.entries[0] + b"x", b"other"]
        town.files = files_of(other, town.meeting.parties, town.meeting.origin)
        assert process.wait(PATIENCE) == 3
        said, logged = process.communicate()
        assert "FORK" in said
        assert '"event": "fork"' in logged
    assert len(list((town.folder / "memory").glob("fork-*.json"))) == 1


def test_a_shrunken_log_is_code_5_when_it_is_told_to_stop(town: Town) -> None:
    town.meeting.ceremony()
    town.show()
    with serving(town.app()) as url, town.process(f"{url}/{town.meeting.origin}") as process:
        wait_until(lambda: town.serves(len(town.meeting.entries)))
        fewer = town.meeting.entries[:3]
        town.files["checkpoint"] = checkpoint_of(fewer, town.meeting.parties, town.meeting.origin)
        wait_until(lambda: '"event": "shrunken"' in process.stderr.readline())
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 5


def test_a_changed_byte_is_code_4(town: Town) -> None:
    town.meeting.ceremony()
    town.show()
    with serving(town.app()) as url, town.process(f"{url}/{town.meeting.origin}") as process:
        wait_until(lambda: town.serves(len(town.meeting.entries)))
        path = bundle_path(0, len(town.meeting.entries))
        town.files[path] = town.files[path][:-1] + b"x"
        code, logged = ended(process, "changed")
    assert code == 4
    assert f'"number": {len(town.meeting.entries) - 1}' in logged
    (file,) = (town.folder / "memory").glob("changed-*.json")
    assert json.loads(file.read_bytes())["what"] == "entry"


def test_a_changed_byte_on_its_own_disk_is_code_6(town: Town) -> None:
    town.meeting.ceremony()
    town.show()
    with serving(town.app()) as url, town.process(f"{url}/{town.meeting.origin}") as process:
        wait_until(lambda: town.serves(len(town.meeting.entries)))
        (file,) = (town.folder / "kept").glob("logs/*/staged/000/000/000/000")
        raw = bytearray(file.read_bytes())
        raw[-40] ^= 1
        file.write_bytes(raw)
        code, _ = ended(process, "damaged")
    assert code == 6
    # It is nobody else's fault.
    assert not list((town.folder / "memory").glob("changed-*.json"))


def test_a_rekey_that_is_not_in_the_log_that_is_held_is_code_8(town: Town) -> None:
    """Who follows is shown a log by a stolen key; the head of the one that is honest has too few cosignatures yet."""
    meeting, origin = town.meeting.ceremony(), town.meeting.origin
    place, true, thief = len(meeting.entries), list(meeting.entries), meeting.parties
    rekey(meeting, "log", "log", Dice(70).log_keys("log"))
    honest = files_of(meeting.entries, meeting.parties, origin) | {"rekeys": rekeys_text([place])}
    honest["checkpoint"] = checkpoint_of(meeting.entries, meeting.parties, origin, custodians=1)
    town.files = files_of([*true, b"made up", b"made up, too"], thief, origin)
    with (
        serving(town.app()) as one,
        serving(town.app(honest)) as other,
        town.process(f"{one}/{origin}", f"{other}/{origin}") as process,
    ):
        code, logged = ended(process, "rekey")
    assert code == 8
    assert f'"number": {place}' in logged
    (file,) = (town.folder / "memory").glob("rekey-*.json")
    assert json.loads(file.read_bytes())["rekey"].encode() == meeting.entries[place]


def test_a_tree_by_a_key_that_was_replaced_is_code_9(town: Town) -> None:
    """The first source shows the log with its rekey; the second another one, which the old key alone has signed."""
    meeting, origin = town.meeting.ceremony(), town.meeting.origin
    place, thief = len(meeting.entries), meeting.parties
    false = [*meeting.entries[:-1], b"made up"]
    rekey(meeting, "log", "log", Dice(70).log_keys("log"))
    town.show()
    town.files["rekeys"] = rekeys_text([place])
    stolen = files_of(false, thief, origin)
    stolen["checkpoint"] = checkpoint_of(false, thief, origin, custodians=0)
    with (
        serving(town.app()) as one,
        serving(town.app(stolen)) as other,
        town.process(f"{one}/{origin}", f"{other}/{origin}") as process,
    ):
        code, _ = ended(process, "overruled")
    assert code == 9
    assert len(list((town.folder / "memory").glob("overruled-*.json"))) == 1


def ended(process: subprocess.Popen[str], event: str) -> tuple[int, str]:
    """The exit code of one that is told to stop once it has logged this alarm, and the line."""
    assert process.stderr is not None
    line = next(line for line in process.stderr if f'"event": "{event}"' in line)
    process.send_signal(signal.SIGTERM)
    return process.wait(PATIENCE), line


def test_a_source_of_no_use_is_named_at_once_with_the_reason(town: Town) -> None:
    """Before the manifest is known, and after: of an origin that it does not have, and where nobody answers."""
    meeting, nobody = town.meeting, f"127.0.0.1:{free_port()}"
    with serving(town.app()) as url:
        wrong, said = f"{url}/{meeting.origin}/wrong", f'"source": "{url.removeprefix("http://")}"'
        with town.process(wrong, f"http://{nobody}/x", silence="3") as process:
            lines = [process.stderr.readline() for _ in range(2)]
        assert '"event": "unusable"' in lines[0] and said in lines[0] and '"reason": "not-found"' in lines[0]
        assert f'"source": "{nobody}"' in lines[1] and '"reason": "unreachable"' in lines[1]
        with town.process(f"{url}/{meeting.origin}"):
            wait_until(lambda: town.serves(1))
        with town.process(wrong, silence="3") as process:
            lines = [process.stderr.readline() for _ in range(2)]
        assert '"event": "following"' in lines[0]
        assert '"event": "unusable"' in lines[1] and said in lines[1] and '"reason": "not-found"' in lines[1]


def test_silence_is_code_7(town: Town) -> None:
    with town.process("http://127.0.0.1:1/x", silence="0.1") as process:
        wait_until(lambda: '"event": "silence"' in process.stderr.readline())
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 7


def test_another_election_is_refused(town: Town) -> None:
    with (
        serving(town.app()) as url,
        town.process(f"{url}/{town.meeting.origin}", manifest_hash=f'"{"A" * 43}"') as process,
    ):
        assert process.wait(PATIENCE) == 1
        assert "this manifest has the hash" in process.communicate()[1]
