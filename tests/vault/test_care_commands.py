"""`psephos custodian create`, `scrub` and `rebuild`, by the file that the service runs by."""

from __future__ import annotations

import itertools
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Response
from typer.testing import CliRunner

from audit.log.checkpoint import cosigned_by
from audit.log.merkle import leaf_hash
from audit.log.notes import parse_note
from infra.commands import root
from infra.config import load
from infra.keys import new_token, write_secret
from tests.databases import Database
from tests.loopback import serving, wait_until
from tests.simulator.meeting import Meeting
from tests.simulator.record import files_of
from tests.vault.conftest import Served
from tests.vault.folders import KEEPER, opened
from vault.custodian.config import CustodianConfig, check_keeper, is_kept, open_store
from vault.custodian.cosign import Head
from vault.custodian.storage import Mendable, Unsafe

_numbers = itertools.count()
PSEPHOS = [sys.executable, "-c", "from infra.commands import main; main()"]


class Town:
    """An election, a custodian of it in a folder, and the others, which serve its log."""

    def __init__(self, folder: Path, database: Database | None = None) -> None:
        self.folder, self.kept = folder, folder / "kept"
        self.kept.mkdir(mode=0o700)
        self.meeting = Meeting(origin=f"vote.example/town-{next(_numbers)}").found().ceremony()
        self.token = new_token(folder / "token")
        (folder / "manifest").write_bytes(self.meeting.entries[0])
        for i, key in enumerate(self.meeting.parties.custodians[0]):
            write_secret(folder / f"key-{i}", key.private + "\n")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.listen = f"127.0.0.1:{taken.getsockname()[1]}"
        self.config = folder / "custodian.toml"
        self.config.write_text(
            f'listen = "{self.listen}"\ntoken = "token"\nmanifests = ["manifest"]\nkeys = ["key-0", "key-1"]\n'
        )
        self.in_folder() if database is None else self.in_database(database)

    def in_folder(self) -> None:
        self.config.write_text(self.config.read_text() + 'folder = "kept"\n')

    def in_database(self, database: Database) -> None:
        place = f'database = "{database.url}"\npassfile = "{database.passfile}"\n'
        self.config.write_text(self.config.read_text() + place)

    @property
    def name(self) -> str:
        return self.meeting.parties.custodians[0][0].name

    def opened(self) -> Mendable:
        """The store, if the service may begin with it."""
        return open_store(load(CustodianConfig, self.config), [self.meeting.origin])

    def app(self) -> FastAPI:
        files = files_of(self.meeting.entries, self.meeting.parties, self.meeting.origin)
        app = FastAPI()

        @app.get("/{path:path}")
        def file(path: str) -> Response:
            content = files.get(path.removeprefix(f"{self.meeting.origin}/"))
            return Response(content) if content is not None else Response(status_code=404)

        return app

    def run(self, *command: str) -> tuple[int, str]:
        return self._run("custodian", *command)

    def serve(self) -> tuple[int, str]:
        """Begins, where it ends at once."""
        return self._run("serve", "custodian")

    def _run(self, *command: str) -> tuple[int, str]:
        done = CliRunner().invoke(root(), [*command, "--config", str(self.config)])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            return 1, str(done.exception)
        return done.exit_code, done.output


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path)


def test_a_lost_custodian_is_rebuilt_damaged_scrubbed_and_runs(town: Town) -> None:
    size, origin = len(town.meeting.entries), town.meeting.origin
    with serving(town.app()) as url:
        code, said = town.run("rebuild", "--from", url, "--from", f"{url}/{origin}", "--at-once")
        assert (code, said.splitlines()[-1]) == (0, f"{origin}: rebuilt, {size} entries; it may be started")
        code, said = town.run("rebuild", "--from", url, "--at-once")
        assert code == 1
        assert "only an empty one is rebuilt" in said
        (file,) = [file for file in town.kept.rglob("*") if file.is_file() and file.parts[-5] == "staged"]
        raw = bytearray(file.read_bytes())
        raw[-40 - 32 * size] ^= 1
        file.write_bytes(raw)
        code, said = town.run("scrub")
        assert code == 4 and said.endswith("may need another custodian's bytes: give --peer URL\n")
        code, said = town.run("scrub", "--peer", url)
        assert code == 3
        assert f"mended from {url}/{origin}" in said
        assert town.run("scrub") == (0, f"{origin}: all right, {size} entries\n")
        (file,) = [file for file in town.kept.rglob("*") if file.is_file() and file.parts[-5] == "heads"]
        raw = bytearray(file.read_bytes())
        raw[40] ^= 1
        file.write_bytes(raw)
        code, said = town.run("scrub", "--peer", url)
        assert code == 3
        assert f"head of {size} entries: mended from the published checkpoint" in said
    with subprocess.Popen([*PSEPHOS, "serve", "custodian", "--config", town.config]) as process:
        try:
            http = httpx.Client(base_url=f"http://{town.listen}/{origin}/")
            wait_until(lambda: answers(http))
            held = http.get("held", headers={"Authorization": f"Bearer {town.token}"}).content
            name = town.meeting.parties.custodians[0][0].name
            assert cosigned_by(parse_note(held), town.meeting.manifest.log) == [name]
        finally:
            process.terminate()


def test_of_several_logs_the_one_is_rebuilt_that_is_not_whole(town: Town) -> None:
    other = Meeting(origin=f"{town.meeting.origin}-second").found().ceremony()
    (town.folder / "second").write_bytes(other.entries[0])
    town.config.write_text(town.config.read_text().replace('["manifest"]', '["manifest", "second"]'))
    with serving(town.app()) as url:
        # The second one is shown by nobody yet.
        assert town.run("rebuild", "--from", url, "--at-once")[0] == 1
    # Neither with the one that is whole nor as a new one does it forget what it signed of the other.
    assert "run `psephos custodian rebuild` again" in town.serve()[1]
    code, said = town.run("create")
    assert code == 1
    assert f"the log {other.origin} is not kept here, for its rebuild was broken off" in said
    files = files_of(other.entries, other.parties, other.origin)
    app = FastAPI()

    @app.get(f"/{other.origin}/{{path:path}}")
    def file(path: str) -> Response:
        return Response(files[path]) if path in files else Response(status_code=404)

    with serving(app) as url:
        code, said = town.run("rebuild", "--from", url, "--at-once")
        assert (code, said.splitlines()) == (
            0,
            [
                f"{town.meeting.origin}: is held",
                f"{other.origin}: rebuilt, {len(other.entries)} entries; it may be started",
            ],
        )
        assert town.run("rebuild", "--from", url, "--at-once")[0] == 1


def answers(http: httpx.Client) -> bool:
    try:
        return http.get("checkpoint").status_code == 200
    except httpx.TransportError:
        return False


def test_nobody_to_rebuild_from(town: Town) -> None:
    code, said = town.run("rebuild", "--from", "http://127.0.0.1:1", "--at-once")
    assert code == 1
    assert "cannot be reached" in said


def test_a_new_custodian_is_created_once(town: Town) -> None:
    code, said = town.serve()
    assert code == 1
    assert "no custodian keeps anything here" in said
    assert "psephos custodian create" in said
    name = town.meeting.parties.custodians[0][0].name
    code, said = town.run("create")
    assert (code, said.split(" keeps it")[0]) == (0, f"{town.meeting.origin}: {name}")
    code, said = town.run("create")
    assert code == 1
    assert "is there already" in said


def test_empty_tables_are_begun_with_only_once_the_custodian_is_said_to_be_new(
    tmp_path: Path, database: Database
) -> None:
    town = Town(tmp_path, database)
    code, said = town.serve()
    assert code == 1
    assert f"the log {town.meeting.origin} is not kept here" in said and "psephos custodian create" in said
    code, said = town.run("create")
    assert (code, said.split(" keeps it")[0]) == (0, f"{town.meeting.origin}: {town.name}")
    assert town.opened().keeper(town.meeting.origin) == town.name
    assert town.run("create")[0] == 1


def test_tables_that_were_filled_again_are_begun_with_only_at_the_end(tmp_path: Path, database: Database) -> None:
    town = Town(tmp_path, database)
    assert town.run("rebuild", "--from", "http://127.0.0.1:1", "--at-once")[0] == 1
    assert "is not kept here" in town.serve()[1]
    with serving(town.app()) as url:
        assert town.run("rebuild", "--from", url, "--at-once")[0] == 0
    check_keeper(town.opened(), [town.meeting.origin], [town.name])
    assert "is there already" in town.run("create")[1]


def test_tables_of_an_earlier_version_that_hold_a_head_are_gone_on_with(in_database: Served) -> None:
    store, origin = in_database.store(), in_database.log.origin
    assert not is_kept(store, origin)
    in_database.fill(1)
    assert is_kept(store, origin)
    check_keeper(store, [origin], ["custodian-a"])
    with pytest.raises(Unsafe, match="the custodian custodian-a keeps"):
        check_keeper(store, [origin], ["custodian-b"])


def test_a_folder_that_is_gone_is_not_begun_anew(town: Town) -> None:
    assert town.run("create")[0] == 0
    shutil.rmtree(town.kept)
    for _ in range(2):
        code, said = town.serve()
        assert code == 1
        assert "If what this custodian holds is on another disk, mount that" in said
        # As the place looks on which the disk would be mounted.
        town.kept.mkdir(mode=0o700, exist_ok=True)
    assert list(town.kept.iterdir()) == []


def test_a_log_that_is_not_kept_in_a_folder_is_not_begun_there(town: Town) -> None:
    opened(town.kept, ["vote.example/another"])
    code, said = town.serve()
    assert code == 1
    assert f"the log {town.meeting.origin} is not kept here" in said
    assert town.run("create")[0] == 0


def test_the_folder_of_another_custodian_is_not_taken_for_its_own(town: Town) -> None:
    opened(town.kept, [town.meeting.origin])
    code, said = town.serve()
    assert code == 1
    assert f"the custodian {KEEPER} keeps {town.meeting.origin} there" in said


def test_a_rebuild_that_was_broken_off_is_not_begun_with(town: Town) -> None:
    assert town.run("rebuild", "--from", "http://127.0.0.1:1", "--at-once")[0] == 1
    for code, said in (town.serve(), town.run("create")):
        assert code == 1
        assert "run `psephos custodian rebuild` again, to its end" in said


def test_a_place_that_another_custodian_keeps_is_not_rebuilt(town: Town) -> None:
    store = opened(town.kept, [town.meeting.origin])
    with serving(town.app()) as url:
        code, said = town.run("rebuild", "--from", url, "--at-once")
    assert code == 1
    assert f"the custodian {KEEPER} keeps {town.meeting.origin} there" in said
    assert store.staged(town.meeting.origin) == 0


def test_a_flipped_bit_in_what_says_who_keeps_a_log_locks_nothing(town: Town) -> None:
    assert town.run("create")[0] == 0
    origin = town.meeting.origin
    (note,) = (town.kept / "keeps").iterdir()
    whole = note.read_bytes()
    for place in range(len(whole)):
        note.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert town.opened().keeper(origin) == town.name
    code, said = town.run("scrub")
    assert (code, said.splitlines()) == (
        3,
        [f"{origin}: what says who keeps it: mended from its other copy", f"{origin}: all right, 0 entries"],
    )
    assert note.read_bytes() == whole
    assert len(list((town.kept / "aside").iterdir())) == 1
    assert town.run("scrub")[0] == 0


def test_who_keeps_a_log_is_not_guessed(town: Town) -> None:
    assert town.run("create")[0] == 0
    (note,) = (town.kept / "keeps").iterdir()
    note.write_bytes(note.read_bytes().replace(town.name.encode(), b"another"))
    for code, said in (town.serve(), town.run("create"), town.run("scrub")):
        assert code == 1
        assert f"{note}, which says who keeps {town.meeting.origin}, is not as it was written" in said
    note.unlink()
    with serving(town.app()) as url:
        assert town.run("rebuild", "--from", url, "--at-once")[0] == 0
    check_keeper(town.opened(), [town.meeting.origin], [town.name])


def test_an_empty_custodian_is_all_right(town: Town) -> None:
    assert town.run("create")[0] == 0
    assert town.run("scrub") == (0, f"{town.meeting.origin}: all right, 0 entries\n")


def test_a_head_that_is_no_head_is_told(town: Town) -> None:
    store = opened(town.kept, [town.meeting.origin])
    entry = town.meeting.entries[0]
    made = Head(0, 1, leaf_hash(entry), (1).to_bytes(8, "big") + leaf_hash(entry), b"", 1)
    store.append(town.meeting.origin, made, [leaf_hash(entry)], [entry])
    code, said = town.run("scrub")
    assert code == 4
    assert "rebuild this custodian" in said


def test_a_peer_is_asked_for_only_where_one_could_help(town: Town) -> None:
    store = opened(town.kept, [town.meeting.origin])
    store.observe(town.meeting.origin, "line", Head(0, 1, bytes(32), b"", b"note", 1))
    (file,) = town.kept.glob("logs/*/observed-line/000/000/000/001")
    file.write_bytes(file.read_bytes().replace(b"note", b"none"))
    code, said = town.run("scrub")
    assert code == 4
    assert "rebuild this custodian" in said
    assert "--peer" not in said
