"""The door as a process of its own, with its configuration file: it is killed, and nothing it acknowledged is lost."""

from __future__ import annotations

import itertools
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from sqlalchemy import Engine

from audit.log.tiles import parse_path, unframe
from audit.protocol.group import b64
from infra.database import engine
from infra.keys import new_token, write_secret
from infra.postgres import Cluster
from tests.door.board import Board
from tests.door.conftest import Client, Place, Queue, signed
from tests.loopback import PATIENCE, serving, wait_until
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting

_numbers = itertools.count()
PSEPHOS = [sys.executable, "-c", "from infra.commands import main; main()"]


@dataclass
class Town:
    """What a door's process needs around it, and the configuration that says where it is."""

    place: Place
    config: dict[str, str]
    folder: Path
    put: list[bytes] = field(default_factory=list)
    silent: bool = False

    def write(self, **changes: str) -> Path:
        path = self.folder / "intake.toml"
        path.write_text("".join(f"{key} = {value}\n" for key, value in {**self.config, **changes}.items()))
        return path

    @contextmanager
    def process(self) -> Iterator[tuple[Client, subprocess.Popen[bytes]]]:
        """`psephos serve intake`, answering."""
        listen = self.config["listen"].strip("'")
        with (
            subprocess.Popen([*PSEPHOS, "serve", "intake", "--config", self.write()]) as process,
            httpx.Client(base_url=f"http://{listen}", timeout=PATIENCE) as http,
        ):
            try:
                wait_until(lambda: answers(http, process))
                yield Client(self.place, http), process
            finally:
                process.terminate()


def answers(http: httpx.Client, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the door has ended"
    try:
        return http.get("/healthz").status_code == 204
    except httpx.TransportError:
        return False


def custodian(board: Board) -> FastAPI:
    """Serves a board as a custodian does."""
    app = FastAPI()

    @app.get("/{rest:path}")
    def file(rest: str) -> Response:
        name = rest.removeprefix(f"{board.meeting.origin}/")
        if name == "checkpoint":
            return Response(board.checkpoint())
        tile = parse_path(name)
        if tile.level is None:
            return Response(board.bundle(tile.index, tile.width))
        return Response(board.tile(tile.level, tile.index, tile.width))

    return app


def ingress(town: Town) -> FastAPI:
    """Stands for the queue's ingress."""
    app = FastAPI()

    @app.post("/put", status_code=204)
    async def put(request: Request) -> Response:
        if town.silent:
            return Response(status_code=500)
        town.put += unframe(await request.body())
        return Response(status_code=204)

    return app


@pytest.fixture
def town(cluster: Cluster, tmp_path: Path) -> Iterator[Town]:
    owner, role, database = "town_owner", "town_door", f"town_{next(_numbers)}"
    cluster.create_database(database, owner, [role])
    url = cluster.url(owner, database)
    schema = ["schema", "intake", "--database", url, "--passfile", cluster.passfile(owner), "--role", role]
    subprocess.run([*PSEPHOS, *schema], check=True, timeout=PATIENCE)
    made: Engine = engine(cluster.url(role, database), cluster.passfile(role), name="tests")
    meeting = Meeting().prepared()
    place = Place(meeting, Board(meeting), Queue(), made, made)
    place.board.publish()
    write_secret(tmp_path / "intake.key", place.intake.private + "\n")
    (tmp_path / "manifest").write_bytes(meeting.entries[0])
    new_token(tmp_path / "token")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    town = Town(place, {}, tmp_path)
    with ExitStack() as stack:
        custodians = stack.enter_context(serving(custodian(place.board)))
        queue = stack.enter_context(serving(ingress(town)))
        town.config = {
            "listen": f"'127.0.0.1:{port}'",
            "database": f"'{cluster.url(role, database)}'",
            "passfile": f"'{cluster.passfile(role)}'",
            "key": "'intake.key'",
            "manifest": "'manifest'",
            "manifest_hash": f"'{b64(meeting.manifest.hash)}'",
            "custodians": f"['{custodians}']",
            "queue": f"{{ url = '{queue}', token = 'token' }}",
            "workers": "1",
        }
        yield town
    made.dispose()


def test_a_door_that_is_killed_has_lost_nothing(town: Town) -> None:
    town.silent = True
    with town.process() as (client, process):
        texts = [town.place.text(account) for account in range(3)]
        answered = [client.accepted(raw) for raw in texts]
        process.send_signal(signal.SIGKILL)
        process.wait()
    entries = {signed(raw, answer["line"]).raw for raw, answer in zip(texts, answered, strict=True)}
    town.silent = False
    with town.process() as (client, process):
        wait_until(lambda: client.ready)
        assert [client.post(raw).json() for raw in texts] == answered
        wait_until(lambda: set(town.put) == entries)
        for raw in entries:
            town.place.board.record(raw)
        wait_until(lambda: list(town.place.outbox.ballots()) == [])
        process.terminate()
        assert process.wait(PATIENCE) == 0


def test_a_key_of_nobody_in_the_manifest(town: Town) -> None:
    stranger = Dice(5).signer("intake-9")
    write_secret(town.folder / "other.key", stranger.private + "\n")
    config = town.write(key="'other.key'")
    done = subprocess.run([*PSEPHOS, "serve", "intake", "--config", config], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == f"psephos: {config}: key `key` holds the key of no intake of {town.place.meeting.origin}\n"


def test_a_wrong_password_is_named_with_the_database_and_once(town: Town) -> None:
    write_secret(town.folder / "passfile", "*:*:*:*:wrong\n")
    config, said = town.write(passfile="'passfile'"), town.folder / "said"
    with (
        said.open("wb") as errors,
        subprocess.Popen([*PSEPHOS, "serve", "intake", "--config", config], stderr=errors) as process,
    ):
        try:
            wait_until(lambda: process.poll() is not None or "wrong-password" in said.read_text())
        finally:
            process.terminate()
    found = [json.loads(line) for line in said.read_text().splitlines()]
    away = [line["cause"] for line in found if line["event"] == "database-unavailable"]
    assert away == ["wrong-password"]
    assert "failure" not in {line["event"] for line in found}
