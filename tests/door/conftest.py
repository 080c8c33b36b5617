"""A door as it runs: the real application over real HTTP, its outbox in a real PostgreSQL, its log a simulated
meeting's.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from audit.log.keys import Signer
from audit.protocol.elgamal import Ciphertext
from audit.protocol.group import G, b64
from audit.protocol.refused import Refused
from audit.record.checker import BallotChecker
from audit.record.entries import Entry, make_text, parse_entry, read_text
from infra import database, seen
from infra.postgres import Cluster
from intake.door import serve
from intake.door.mover import NotStored
from intake.door.outbox import Outbox
from intake.door.schema import install, metadata
from intake.door.serve import Door
from tests.door.board import Board
from tests.loopback import PATIENCE, serving, wait_until
from tests.simulator.meeting import Account, Meeting

FOR, AGAINST, ABSTAIN = (1, 0, 0), (0, 1, 0), (0, 0, 1)
_numbers = itertools.count()


@dataclass
class Queue:
    """Stands for the ingress: remembers what was put, or is silent."""

    batches: list[list[bytes]] = field(default_factory=list)
    silent: bool = False
    lies: bool = False

    def put(self, entries: Sequence[bytes]) -> None:
        """Silent: nothing is stored; lies: it is stored, but the answer is lost."""
        if self.silent:
            raise NotStored("no-answer")
        self.batches.append(list(entries))
        if self.lies:
            raise NotStored("no-answer")

    @property
    def entries(self) -> list[bytes]:
        return [raw for batch in self.batches for raw in batch]


@dataclass
class Place:
    """One intake's surroundings: a meeting with its board, a queue, and a database that outlives the door."""

    meeting: Meeting
    board: Board
    queue: Queue
    engine: Engine
    owner: Engine
    most: int = 1_000
    keys: tuple[Signer, ...] = ()  # those that the intake holds; the one of the manifest, if none are named

    @property
    def intake(self) -> Signer:
        return self.meeting.parties.intakes[0]

    @property
    def outbox(self) -> Outbox:
        return Outbox(self.engine, self.meeting.origin)

    @property
    def waiting(self) -> int:
        """How many entries the outbox holds."""
        with self.engine.connect() as connection:
            return connection.scalar(text("SELECT count(*) FROM public.outbox")) or 0

    def door(self) -> Door:
        how = (self.queue.put, 1, 0.02, self.most)
        key, later = (*(self.keys or (self.intake,)), None)[:2]
        return Door(self.meeting.manifest.history[0], key, self.engine, [self.board], *how, later)

    @contextmanager
    def running(self) -> Iterator[Client]:
        """The door on a port of its own until the end of the block."""
        with serving(self.door().app()) as url, httpx.Client(base_url=url, timeout=PATIENCE) as http:
            yield Client(self, http)

    def text(self, account: int = 0, choice: tuple[int, ...] = FOR, revision: int = 0) -> bytes:
        """The text of a ballot on the only item."""
        return self.write(self.body(account, choice, revision))

    def body(self, account: int = 0, choice: tuple[int, ...] = FOR, revision: int = 0) -> dict[str, Any]:
        selections = {contest.id: choice for contest in self.meeting.manifest.contests}
        return self.meeting.ballot(self.holder(account), selections, revision)

    def holder(self, account: int) -> Account:
        return self.meeting.accounts[account]

    def write(self, body: dict[str, Any], origin: str | None = None) -> bytes:
        return make_text("ballot", origin or self.meeting.origin, body)

    def tally(self) -> list[Entry]:
        """Records everything in the queue that is not in the log yet, as tally would."""
        known = set(self.meeting.entries)
        fresh = dict.fromkeys(raw for raw in self.queue.entries if raw not in known)
        return [self.board.record(raw) for raw in fresh]


@dataclass
class Client:
    """Speaks to a running door."""

    place: Place
    http: httpx.Client

    def post(self, raw: bytes, origin: str | None = None) -> httpx.Response:
        return self.http.post(f"/{origin or self.place.meeting.origin}/entries", content=raw)

    def accepted(self, raw: bytes) -> dict[str, str]:
        """What the door answers to an entry it takes for the first time, once it is ready."""
        wait_until(lambda: self.ready)
        answer = self.post(raw)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def refused(self, raw: bytes, origin: str | None = None) -> dict[str, Any]:
        """The problem object in a 4xx answer."""
        wait_until(lambda: self.ready)
        return self.refused_now(raw, origin)

    def refused_now(self, raw: bytes, origin: str | None = None) -> dict[str, Any]:
        """As `refused`, of a door that is known to be ready."""
        answer = self.post(raw, origin)
        assert 400 <= answer.status_code < 500, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == answer.status_code
        assert set(problem) == {"type", "title", "status", "detail", "field", "reason"}
        assert "Traceback" not in answer.text
        return problem

    def read_closing(self) -> None:
        """Publishes `closing` and waits until the door has read it."""
        self.place.meeting.closing()
        self.place.board.publish()
        # A ballot that the door would never take: its refusal tells the phase.
        stranger = self.place.write({**self.place.body(2), "pseudonym": b64(G.raw)})
        wait_until(lambda: self.post(stranger).status_code == 409)

    @property
    def ready(self) -> bool:
        """Whether it has read the log: before, it takes nothing and refuses nothing."""
        return self.post(self.place.meeting.entries[0]).status_code != 503


@pytest.fixture(scope="module")
def engines(cluster: Cluster) -> Iterator[tuple[Engine, Engine]]:
    """The owner's and the service's engine on a database with an intake's tables."""
    with engines_in(cluster) as made:
        yield made


@contextmanager
def engines_in(cluster: Cluster) -> Iterator[tuple[Engine, Engine]]:
    """The same in another cluster."""
    name = f"intake_{next(_numbers)}"
    cluster.create_database(name, f"{name}_owner", [f"{name}_door"])
    owner, door = (
        database.engine(
            cluster.url(f"{name}_{role}", name),
            Path(cluster.passfile(f"{name}_{role}")),
            name="tests",
            owner=role == "owner",
        )
        for role in ("owner", "door")
    )
    with owner.begin() as connection:
        install(connection, f"{name}_door")
    yield owner, door
    owner.dispose()
    door.dispose()


def fresh_place(engines: tuple[Engine, Engine], meeting: Meeting) -> Place:
    owner, door = engines
    with owner.begin() as connection:
        for table in (*metadata.sorted_tables, *seen.metadata.sorted_tables):
            connection.execute(text(f"TRUNCATE {table.name}"))
    place = Place(meeting, Board(meeting), Queue(), door, owner)
    place.board.publish()
    return place


class InlinePool:
    """Checks ballots in the door's own process, where starting others would only take a test's time."""

    def __init__(self, checker: BallotChecker, workers: int) -> None:
        self.checker = checker

    def submit_text(self, text: bytes, weight: Ciphertext) -> Future[list[Refused | None]]:
        future: Future[list[Refused | None]] = Future()
        try:
            self.checker.check_ballot(read_text(text), weight)
            future.set_result([None])
        except Refused as refusal:
            future.set_result([refusal])
        return future

    def patience(self, given: Future[list[Refused | None]]) -> float:
        return PATIENCE

    def replace(self, silent: Future[list[Refused | None]]) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def place(engines: tuple[Engine, Engine], monkeypatch: pytest.MonkeyPatch) -> Place:
    """Surroundings in which voting is open and nothing has been handed in; ballots are checked inline."""
    monkeypatch.setattr(serve, "CheckingPool", InlinePool)
    return fresh_place(engines, Meeting().prepared())


def signed(raw: bytes, line: str) -> Entry:
    """A ballot's text with the intake's line, as it will stand in the log."""
    return parse_entry(raw + b"\n" + line.encode())
