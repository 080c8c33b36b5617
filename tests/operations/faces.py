"""The queue's two faces as processes of their own, over one database."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, text

from infra.database import engine
from infra.keys import write_secret
from infra.postgres import Cluster
from infra.queue.ingress import Inlet
from infra.queue.schema import install
from tests.loopback import PATIENCE, wait_until
from tests.vault.conftest import TOKEN
from tests.vault.test_following_process import PSEPHOS, free_port

_numbers = itertools.count()


class Faces:
    """Their settings, their private ports, and what they have said."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.folder = folder
        name = f"faces_{next(_numbers)}"
        roles = {face: f"{name}_{face}" for face in ("ingress", "egress")}
        cluster.create_database(name, f"{name}_owner", list(roles.values()))
        url, passfile = cluster.url(f"{name}_owner", name), cluster.passfile(f"{name}_owner")
        self.owner: Engine = engine(url, passfile, name="tests", owner=True)
        with self.owner.begin() as connection:
            install(connection, roles["ingress"], roles["egress"])
        self.roles = roles
        write_secret(folder / "token", TOKEN + "\n")
        self.listen = {face: f"127.0.0.1:{free_port()}" for face in roles}
        self.private = {face: f"127.0.0.1:{free_port()}" for face in roles}
        for face, role in roles.items():
            settings = {
                "listen": self.listen[face],
                "private": self.private[face],
                "database": cluster.url(role, name),
                "passfile": str(cluster.passfile(role)),
            }
            lines = [f"{key} = {json.dumps(value)}\n" for key, value in settings.items()]
            lines.append('intakes = { intake-1 = "token" }\n' if face == "ingress" else 'token = "token"\n')
            (folder / f"{face}.toml").write_text("".join(lines))

    @contextmanager
    def process(self, face: str) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
        command = [*PSEPHOS, "serve", f"queue-{face}", "--config", str(self.folder / f"{face}.toml")]
        with (
            self.said(face).open("ab") as log,
            subprocess.Popen(command, stdout=log, stderr=log) as process,
            httpx.Client(base_url=f"http://{self.listen[face]}", timeout=PATIENCE) as client,
        ):
            client.headers["Authorization"] = f"Bearer {TOKEN}"
            try:
                wait_until(lambda: self.answers(face, "healthz") == 204)
                wait_until(lambda: answers(f"http://{self.listen[face]}/healthz") == 204)
                yield process, client
            finally:
                process.kill()

    def said(self, face: str) -> Path:
        return self.folder / f"{face}.log"

    def answers(self, face: str, what: str) -> int:
        """The status with which the private port answers, 0 if it does not."""
        return answers(f"http://{self.private[face]}/{what}")

    def metrics(self, face: str) -> str:
        return httpx.get(f"http://{self.private[face]}/metrics").text

    def put(self, entries: Sequence[bytes]) -> None:
        for start in range(0, len(entries), 256):
            Inlet(self.owner).store(entries[start : start + 256])

    def held(self) -> set[bytes]:
        with self.owner.connect() as connection:
            return set(map(bytes, connection.scalars(text("SELECT data FROM queued"))))


def answers(url: str) -> int:
    try:
        return httpx.get(url).status_code
    except httpx.TransportError:
        return 0


@pytest.fixture
def faces(cluster: Cluster, tmp_path: Path) -> Iterator[Faces]:
    made = Faces(cluster, tmp_path)
    yield made
    made.owner.dispose()
