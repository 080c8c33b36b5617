"""Every service is driven into its errors with a mark in all that comes from outside; neither what it writes nor its
figures hold the mark."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Response
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url

from audit.log.tiles import frame
from infra.database import engine
from infra.metrics import series
from infra.postgres import Cluster
from infra.queue.egress import Outlet, egress
from infra.queue.ingress import Inlet
from tests.databases import Database
from tests.door.test_process import Town, town
from tests.loopback import PATIENCE, serving, wait_until
from tests.operations.faces import Faces, answers, faces
from tests.sequencer.conftest import custodian_databases, house, ledger_databases, open_house, queue_database
from tests.sequencer.house import TOKEN as HOUSE_TOKEN
from tests.sequencer.house import House
from tests.sequencer.process import Tally
from tests.vault.conftest import TOKEN
from tests.vault.test_following_process import PSEPHOS, free_port
from tests.vault.test_following_process import Town as Followed
from tests.vault.test_process import Office, office

__all__ = [
    "custodian_databases", "faces", "house", "ledger_databases", "office", "open_house", "queue_database", "town"
]  # fmt: skip

MARK = "3fa5c1d2e4b60789"


class Service:
    """A service as a process: what it says goes to a file."""

    def __init__(self, folder: Path, private: str) -> None:
        self.file, self._private = folder / "said", f"http://{private}"

    @contextmanager
    def running(self, *arguments: str | Path) -> Iterator[Service]:
        with (
            self.file.open("ab") as said,
            subprocess.Popen([*PSEPHOS, "serve", *arguments], stdout=said, stderr=said) as process,
        ):
            try:
                wait_until(lambda: answers(f"{self._private}/healthz") == 204)
                yield self
                # Not killed: who helps Python's processes would complain of what they left.
                process.terminate()
                process.wait(PATIENCE)
            finally:
                process.kill()

    @property
    def said(self) -> str:
        return self.file.read_text()

    @property
    def metrics(self) -> str:
        return httpx.get(f"{self._private}/metrics").text

    def ready(self) -> bool:
        return answers(f"{self._private}/readyz") == 204


def molest(base: str, paths: list[str], token: str = "") -> None:
    """Requests with the mark wherever there is a place for it. What is answered is not looked at."""
    with httpx.Client(base_url=base, timeout=PATIENCE) as client:
        for path in [*paths, *(f"{path}/{MARK}" for path in paths), f"/{MARK}", f"/{MARK}/entries"]:
            for method in ("GET", "POST", "DELETE", MARK.upper()):
                for given in (token, MARK):
                    for body in (MARK.encode(), f'{{"pseudonym":"{MARK}"}}'.encode(), f"{MARK}\n\n{MARK}\n".encode()):
                        headers = {"Authorization": f"Bearer {given}", "User-Agent": MARK, "X-Forwarded-For": MARK}
                        try:
                            client.request(method, path, params={MARK: MARK}, headers=headers, content=body)
                        except httpx.TransportError:
                            continue


def is_log(said: str) -> bool:
    """Whether every line is one of ours."""
    return all(set(json.loads(line)) >= {"time", "level", "source", "event"} for line in said.splitlines())


@pytest.mark.parametrize(("face", "right"), [("ingress", "INSERT"), ("egress", "DELETE, SELECT")])
def test_a_face_of_the_queue(faces: Faces, face: str, right: str) -> None:
    paths = {"ingress": ["/put"], "egress": ["/take", "/ack"]}[face]
    marked = frame([MARK.encode() * 100])
    with faces.process(face) as (_, client):
        before = series(faces.metrics(face).encode())
        url = f"http://{faces.listen[face]}"
        molest(url, paths, TOKEN)
        with faces.owner.begin() as connection:
            connection.execute(text(f"REVOKE {right} ON queued FROM {faces.roles[face]}"))
        for path in [*paths, "/take?most=1"]:
            try:
                assert client.post(path, content=marked[2:18] if path == "/ack" else marked).status_code >= 400
            except httpx.TransportError:
                continue
        assert series(faces.metrics(face).encode()) == before
        assert [answers(f"{url}/{what}") in (0, 404) for what in ("metrics", "readyz")] == [True, True]
        told = faces.said(face).read_text()
        assert MARK not in told + faces.metrics(face)
    assert '"failure"' in told
    assert is_log(told)


def owner_of(town: Town, cluster: Cluster) -> Engine:
    name = make_url(town.config["database"].strip("'")).database or ""
    return engine(cluster.url("town_owner", name), cluster.passfile("town_owner"), name="tests", owner=True)


def test_an_intake(town: Town, cluster: Cluster) -> None:
    private = f"127.0.0.1:{free_port()}"
    service = Service(town.folder, private)
    config = town.write(private=f"'{private}'")
    url = "http://" + town.config["listen"].strip("'")
    secret = town.place.body()["pseudonym"]
    with service.running("intake", "--config", config):
        wait_until(service.ready)
        before = series(service.metrics.encode())
        molest(url, [f"/{town.place.meeting.origin}/entries"])
        with owner_of(town, cluster).begin() as connection:
            connection.execute(text("REVOKE INSERT ON outbox, accepted FROM town_door"))
        answer = httpx.post(f"{url}/{town.place.meeting.origin}/entries", content=town.place.text(), timeout=PATIENCE)
        assert (answer.status_code, answer.json()["reason"]) == (503, "not-stored")
        assert series(service.metrics.encode()) == before
        told = service.metrics + service.said
        # On the public port there is nothing of all this.
        assert [answers(f"{url}/{what}") for what in ("metrics", "readyz", "healthz")] == [404, 404, 204]
    assert MARK not in told
    assert secret not in told
    assert '"failure"' in service.said
    assert is_log(service.said)


def test_a_custodian(office: Office) -> None:
    service = Service(office.folder, office.private)
    with service.running("custodian", "--config", office.folder / "custodian.toml"):
        wait_until(service.ready)
        before = series(service.metrics.encode())
        paths = ["append", "publish", "held", "held/0", "checkpoint", "tile/0", "tile/entries", "rekeys"]
        under = [f"/{office.origin}/{path}" for path in paths]
        molest(f"http://{office.listen}", [*under, "/add-checkpoint", "/add-entries"], TOKEN)
        (office.folder / "held").rename(office.folder / MARK)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        url = f"http://{office.listen}{under[0]}"
        assert httpx.post(url, content=office.append(1), headers=headers, timeout=PATIENCE).status_code == 500
        assert series(service.metrics.encode()) == before
        told = service.metrics + service.said
    assert MARK not in told
    assert '"failure"' in told
    assert is_log(service.said)


def test_a_follower_of_one_that_answers_with_the_mark(tmp_path: Path) -> None:
    followed, private = Followed(tmp_path), f"127.0.0.1:{free_port()}"
    config = followed.config(private=f'"{private}"')
    service, marked = Service(tmp_path, private), [False]
    app = FastAPI()

    @app.get("/{path:path}")
    def file(path: str) -> Response:
        content = followed.files.get(path.removeprefix(f"{followed.meeting.origin}/"))
        if marked[0]:
            return Response(f"{MARK}\n1\n{MARK}\n\n— {MARK} {MARK}\n", headers={"ETag": MARK})
        return Response(content) if content is not None else Response(status_code=404)

    with serving(app) as url, service.running(
        "custodian", "--config", config, "--follow", f"{url}/{followed.meeting.origin}"
    ):
        wait_until(service.ready)
        before = series(service.metrics.encode())
        marked[0] = True
        wait_until(lambda: "unusable" in service.said)
        molest(f"http://{followed.listen}", [f"/{followed.meeting.origin}/{path}" for path in ("checkpoint", "tile/0")])
        assert series(service.metrics.encode()) == before
        told = service.metrics + service.said
    assert MARK not in told
    assert is_log(service.said)


def test_tally_that_is_handed_the_mark_by_queue_and_custodian(
    open_house: House, ledger_databases: list[Database], queue_database: Database, tmp_path: Path
) -> None:
    house, mark = open_house, MARK.encode()
    inlet, outlet = Inlet(queue_database.engine), Outlet(queue_database.engine, time.monotonic)
    origin = house.meeting.origin.encode()
    rows = [
        mark,
        b"psephos/v1 ballot\n" + origin + b'\n{"' + mark + b'":1}\n\n\xe2\x80\x94 ' + mark + b" " + mark + b"\n",
        house.ballot(0, 0).replace(b'"revision":0', b'"revision":' + mark),
    ]
    house.vault.lies(0, 500, b'{"reason":"' + mark + b'","detail":"' + mark + b'"}')
    with serving(egress(outlet, HOUSE_TOKEN)) as url:
        tally = Tally(tmp_path, house, ledger_databases[0], url)
        with tally.running():
            inlet.store(rows)
            wait_until(lambda: tally.figures().get("foreign") == len(rows))
            figures = tmp_path / "status.prom"
            wait_until(lambda: figures.exists() and "rows_foreign_total 3.0" in figures.read_text())
    said = (tmp_path / "log").read_text()
    told = said + (tmp_path / "status.json").read_text() + figures.read_text()
    assert MARK not in told
    assert is_log(said)
