"""A queue over a database of its own, and its two services as processes, as intake and tally meet them."""

from __future__ import annotations

import itertools
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, delete

from infra import database
from infra.keys import new_token
from infra.postgres import Cluster
from infra.queue.schema import install, queued

START_SECONDS = 30
_numbers = itertools.count()


@dataclass(frozen=True)
class Queue:
    """Engines for the table's owner and for the role of each face, and what a face's settings say of the database."""

    owner: Engine
    ingress: Engine
    egress: Engine
    settings: dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def made(cluster: Cluster) -> Iterator[Queue]:
    with made_in(cluster) as queue:
        yield queue


@contextmanager
def made_in(cluster: Cluster) -> Iterator[Queue]:
    """A database with the queue's table."""
    name = f"queue_{next(_numbers)}"
    roles = {"owner": f"{name}_owner", "ingress": f"{name}_in", "egress": f"{name}_out"}
    cluster.create_database(name, roles["owner"], [roles["ingress"], roles["egress"]])
    settings = {
        face: {"database": cluster.url(role, name), "passfile": str(cluster.passfile(role))}
        for face, role in roles.items()
    }
    engines = {
        face: database.engine(values["database"], Path(values["passfile"]), name="tests", owner=face == "owner")
        for face, values in settings.items()
    }
    with engines["owner"].begin() as connection:
        install(connection, roles["ingress"], roles["egress"])
    yield Queue(engines["owner"], engines["ingress"], engines["egress"], settings)
    for engine in engines.values():
        engine.dispose()


@pytest.fixture
def queue(made: Queue) -> Queue:
    """A queue with nothing in it."""
    with made.owner.begin() as connection:
        connection.execute(delete(queued))
    return made


@dataclass(frozen=True)
class Service:
    """One running service: its port, and the token it wants."""

    port: int
    token: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@pytest.fixture(scope="module")
def ingress(made: Queue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(made, "ingress", tmp_path_factory.mktemp("ingress")) as service:
        yield service


@pytest.fixture(scope="module")
def egress(made: Queue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(made, "egress", tmp_path_factory.mktemp("egress")) as service:
        yield service


@contextmanager
def running(queue: Queue, face: str, folder: Path) -> Iterator[Service]:
    """A face of the queue as a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    token = new_token(folder / f"{face}-token")
    values = {**queue.settings[face], "listen": f"127.0.0.1:{port}"}
    shown = "intakes = { intake-1 = 'ingress-token' }\n" if face == "ingress" else "token = 'egress-token'\n"
    path = folder / f"{face}.toml"
    path.write_text("".join(f"{key} = '{value}'\n" for key, value in values.items()) + shown)
    start = f"import sys, pathlib; from infra.queue.{face} import run; run(pathlib.Path(sys.argv[1]))"
    with subprocess.Popen([sys.executable, "-c", start, path]) as process:
        try:
            service = Service(port, token)
            _wait_for(service, process)
            yield service
        finally:
            process.terminate()
    assert process.returncode in (0, -15)


def _wait_for(service: Service, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "the service has ended"
        try:
            httpx.get(f"{service.url}/healthz")
            return
        except httpx.TransportError:
            time.sleep(0.05)
    raise TimeoutError("the service does not answer")
