"""A custodian over a database of its own, and a log that appends to it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from audit.log.checkpoint import LogPolicy
from audit.log.encoding import encode_base64
from audit.log.keys import COSIGNATURE, ED25519, ML_DSA_44, Signer
from audit.log.merkle import LeafHashes, consistency_proof, frontier, leaf_hash
from audit.log.notes import Note, parse_note, parse_signature_lines
from audit.log.tiles import frame
from audit.log.treehead import Checkpoint
from infra.postgres import Cluster
from tests.databases import Database, make_database
from tests.vault.fixed_keys import FixedKeys
from tests.vault.folders import opened
from vault.custodian import schema
from vault.custodian.cosign import Head
from vault.custodian.custody import Custodian
from vault.custodian.disk import RealDisk
from vault.custodian.serve import custodian_app
from vault.custodian.sql_store import SqlStore
from vault.custodian.storage import Store

if TYPE_CHECKING:
    from tests.vault.followed import Watch

TOKEN = "token-of-the-tests-that-is-long-enough-for-one"
NOW = 1_790_000_000
_numbers = itertools.count()


def signers(name: str, *types: int) -> tuple[Signer, ...]:
    return tuple(Signer(name, type, leaf_hash(f"{name} {type}".encode())) for type in types)


LOG = signers("log.example", ED25519, ML_DSA_44)
(WITNESS,) = signers("witness.example", ML_DSA_44)
CUSTODIANS = tuple(signers(f"custodian-{c}.example", COSIGNATURE, ML_DSA_44) for c in "abc")


@dataclass
class Growing:
    """A log whose entries grow; makes the requests that its sequencer would. `time` stands in its notes."""

    origin: str
    entries: list[bytes] = field(default_factory=list)
    time: int = NOW

    @property
    def policy(self) -> LogPolicy:
        custodians = tuple((keys[0].name, tuple(key.verifier for key in keys)) for keys in CUSTODIANS)
        return LogPolicy(self.origin, tuple(key.verifier for key in LOG), custodians, 2)

    def grow(self, count: int) -> int:
        """Adds entries; the size before."""
        size = len(self.entries)
        self.entries += [f"entry {size + i} of {self.origin}".encode() for i in range(count)]
        return size

    def head(self, size: int | None = None) -> Checkpoint:
        size = len(self.entries) if size is None else size
        return Checkpoint(self.origin, size, frontier(self.source, size).root())

    @property
    def source(self) -> LeafHashes:
        return LeafHashes([leaf_hash(entry) for entry in self.entries])

    def note(self, head: Checkpoint, signers: Sequence[Signer] = LOG) -> Note:
        return Note(head.text, tuple(key.sign(head.text, self.time) for key in signers))

    def witnessed(self, size: int | None = None, custodians: int = 2) -> bytes:
        """The checkpoint as tally publishes it."""
        keys = [key for keys in CUSTODIANS[:custodians] for key in keys]
        return self.note(self.head(size), [*LOG, *keys]).raw

    def append_proof(self, old: int) -> list[bytes]:
        return self.consistency(old, len(self.entries))

    def consistency(self, old: int, size: int) -> list[bytes]:
        return consistency_proof(self.source, old, size)

    def append(self, old: int, size: int | None = None, *, note: Note | None = None, **changes: object) -> bytes:
        """The body of an append, each part of it as it should be unless changed."""
        size = len(self.entries) if size is None else size
        proof = changes.get("proof", consistency_proof(self.source, old, size) if old <= size else [])
        entries = changes.get("entries", self.entries[old:size])
        lines = "".join(f"{encode_base64(h)}\n" for h in proof)
        header = f"old {old}\n{lines}\n".encode() + (note or self.note(self.head(size))).raw
        return len(header).to_bytes(4, "big") + header + frame(entries)


@dataclass
class Served:
    """One custodian behind its HTTP interface; `time` is what its clock says, which never is before what it signed for
    any of its logs.
    """

    log: Growing
    open_store: Callable[[str], Store]
    time: int = 0
    client: TestClient = field(init=False)
    published: bytes = b""
    authorization: str = f"Bearer {TOKEN}"
    clock: Callable[[], int] | None = None

    def __post_init__(self) -> None:
        self.time = max(NOW, self.store().last_time())
        self.restart()

    def store(self) -> Store:
        """What is on disk, as a process finds it that begins now."""
        return self.open_store(self.log.origin)

    def restart(self, witness: Sequence[Signer] = (WITNESS,)) -> None:
        """The process begins again, with what is on disk."""
        policies = {self.log.origin: FixedKeys(self.log.policy)}
        self.custodian = Custodian(self.store(), policies, CUSTODIANS[0], self.clock or (lambda: self.time))
        app = custodian_app(self.custodian, [self.log.origin], TOKEN, witness)
        self.client = TestClient(app, raise_server_exceptions=False)
        self.client.headers["Authorization"] = self.authorization

    def post(self, call: str, body: bytes):
        return self.client.post(f"/{self.log.origin}/{call}", content=body)

    def get(self, path: str):
        return self.client.get(f"/{self.log.origin}/{path}")

    def stored(self) -> Head:
        return self.store().newest(self.log.origin)

    def fill(self, *steps: int) -> None:
        """Appends and publishes so many entries at a time."""
        for count in steps:
            old = self.log.grow(count)
            self.cosigned(self.log.append(old))
            self.published = self.log.witnessed()
            assert self.post("publish", self.published).status_code == 204

    def cosigned(self, body: bytes) -> list[int]:
        """The times in this custodian's lines over the tree that an append leads to, both checked."""
        answer = self.post("append", body)
        assert answer.status_code == 200, answer.text
        text = parse_note(body[4 : 4 + int.from_bytes(body[:4], "big")].partition(b"\n\n")[2]).text
        lines = parse_signature_lines(answer.content)
        return [key.verifier.verify(text, line.sig) for key, line in zip(CUSTODIANS[0], lines, strict=True)]

    def refused(self, call: str, body: bytes, status: int) -> str:
        """The reason in the problem object with which this is refused; nothing may be stored."""
        before = self.stored()
        answer = self.post(call, body)
        assert answer.status_code == status, answer.text
        assert self.stored() == before
        assert answer.headers["content-type"] == "application/problem+json"
        return answer.json()["reason"]


@pytest.fixture(scope="module")
def database(cluster: Cluster) -> Iterator[Database]:
    made = make_database(cluster, "vault", schema.install)
    yield made
    made.close()


@pytest.fixture
def watch(database: Database, tmp_path: Path) -> Watch:
    """A follower, with PostgreSQL, of a log of its own."""
    from tests.vault.followed import Watch

    return Watch(SqlStore(database.engine), tmp_path)


@pytest.fixture
def in_database(database: Database) -> Iterator[Served]:
    """A custodian with PostgreSQL that holds nothing of the log yet."""
    yield from kept(lambda origin: SqlStore(database.engine))


@pytest.fixture
def in_folder(tmp_path: Path) -> Iterator[Served]:
    """A custodian with a plain folder, which is empty."""
    tmp_path.chmod(0o700)
    disk = RealDisk()
    yield from kept(lambda origin: opened(tmp_path, [origin], disk))


@pytest.fixture(params=["in_database", "in_folder"])
def served(request: pytest.FixtureRequest) -> Served:
    """A custodian that holds nothing of the log yet, with each kind of store."""
    return request.getfixturevalue(request.param)


def kept(open_store: Callable[[str], Store]) -> Iterator[Served]:
    made = Served(Growing(f"vote.example/kept-{next(_numbers)}"), open_store)
    yield made
    made.client.close()
