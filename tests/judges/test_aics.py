"""aics-tlog audits our record and counts our custodians; the witness aics-witness, a process of its own, cosigns it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys

import httpx
import pytest
from aics_tlog import (
    FileSystemTileReader,
    TileVerificationError,
    WitnessPolicy,
    audit_tiles,
    consistency_proof_from_tiles,
    parse_note,
    parse_vkey,
    verify_checkpoint,
)

from audit.log.encoding import encode_base64
from audit.log.keys import parse_vkey as our_vkey
from audit.log.merkle import consistency_proof, leaf_hash
from audit.log.notes import parse_signature_lines
from audit.log.tiles import bundle_path, tile_path
from audit.log.treehead import Checkpoint
from tests.judges.conftest import SIZE
from tests.log.sample import CUSTODIANS, LOG, ORIGIN, cosigned
from tests.loopback import wait_until

KEY = parse_vkey(LOG[0].vkey)
QUORUM = tuple(parse_vkey(keys[0].vkey) for keys in CUSTODIANS)


def opened(record):
    return parse_note((record.folder / "checkpoint").read_bytes())


def test_a_checkpoint_is_witnessed_by_two_custodians(record):
    result = verify_checkpoint(opened(record), KEY, policy=WitnessPolicy(2, QUORUM), expected_origin=ORIGIN)
    assert result.ok, result.error
    assert (result.size, result.cosignature_count) == (SIZE, 2)


def test_and_not_by_three(record):
    result = verify_checkpoint(opened(record), KEY, policy=WitnessPolicy(3, QUORUM))
    assert not result.ok and "quorum not met" in result.error


def test_the_whole_record_is_audited(record):
    report = audit_tiles(FileSystemTileReader(record.folder), SIZE, record.head(SIZE).root)
    assert (report.size, report.bundles) == (SIZE, -(-SIZE // 256))


@pytest.mark.parametrize("path", [tile_path(0, 9, 256), tile_path(1, 0, 256), bundle_path(200, 256)])
def test_one_flipped_bit_is_found(record, tmp_path, path):
    folder = tmp_path / "record"
    shutil.copytree(record.folder, folder)
    raw = bytearray((folder / path).read_bytes())
    raw[50] ^= 4
    (folder / path).write_bytes(raw)
    with pytest.raises(TileVerificationError):
        audit_tiles(FileSystemTileReader(folder), SIZE, record.head(SIZE).root)


@pytest.mark.parametrize("size", [1, 256, 300, 65_536])
def test_consistency_proofs_are_the_same(record, size):
    theirs = consistency_proof_from_tiles(FileSystemTileReader(record.folder), size, SIZE)
    assert list(theirs) == consistency_proof(record.leaves, size, SIZE)


class Witness:
    """A running aics-witness that knows our log; `key` is ours for what it signs."""

    def __init__(self, folder) -> None:
        self._config = folder / "witness.json"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        listen = f"127.0.0.1:{self.port}"
        self.key = our_vkey(self._run("init", "--name", "witness.example/one", "--listen", listen).split()[-1])
        self._run("add-log", "--origin", ORIGIN, "--vkey", LOG[0].vkey)
        self._process = subprocess.Popen(self._command("serve"), stderr=subprocess.DEVNULL)
        wait_until(self._listens)

    def close(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)

    def add(self, old: int, proof: list[bytes], note: bytes) -> httpx.Response:
        header = "".join(f"{line}\n" for line in (f"old {old}", *map(encode_base64, proof))).encode()
        url = f"http://127.0.0.1:{self.port}/add-checkpoint"
        return httpx.post(url, content=header + b"\n" + note, trust_env=False)

    def _command(self, command: str, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "aics_witness", command, "--config", str(self._config), *arguments]

    def _run(self, command: str, *arguments: str) -> str:
        environment = {"PATH": os.environ["PATH"]}
        done = subprocess.run(
            self._command(command, *arguments), env=environment, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture
def witness(tmp_path):
    running = Witness(tmp_path)
    yield running
    running.close()


def test_a_witness_cosigns_a_log_as_it_grows(record, witness):
    old = 0
    for size in (1, 200, 256, 257, 70_000 - 4_001, SIZE):
        head = record.head(size)
        proof = consistency_proof(record.leaves, old, size)
        answer = witness.add(old, proof, cosigned(head).raw)
        assert answer.status_code == 200, answer.text
        (line,) = parse_signature_lines(answer.content)
        assert (line.name, line.key_id) == (witness.key.name, witness.key.key_id)
        assert witness.key.verify(head.text, line.sig) > 0
        old = size


def test_it_refuses_a_fork(record, witness):
    """As ours do: it holds 256 entries and is shown another tree, with our own signature on it."""
    assert witness.add(0, [], cosigned(record.head(256)).raw).status_code == 200
    fork = Checkpoint(ORIGIN, 257, leaf_hash(b"another history"))
    assert witness.add(256, consistency_proof(record.leaves, 256, 257), cosigned(fork).raw).status_code == 422
    behind = witness.add(0, [], cosigned(record.head(300)).raw)
    assert (behind.status_code, behind.text.strip()) == (409, "256")
