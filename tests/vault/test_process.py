"""`psephos serve custodian` as a process with a plain folder, beside a witness: killed and started again, asked with
the standard calls by anybody, and held up byte by byte.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from audit.log.keys import ML_DSA_44, Signer
from audit.log.merkle import LeafHashes, frontier, leaf_hash
from audit.log.notes import Note, parse_note, parse_signature_lines
from audit.log.tiles import frame
from audit.log.treehead import Checkpoint
from infra.keys import write_secret
from tests.loopback import PATIENCE, wait_until
from tests.simulator.meeting import Meeting
from tests.vault.conftest import TOKEN, WITNESS
from tests.vault.test_following_process import free_port
from tests.vault.uploading import beginning, packages
from vault.custodian import care

RESTLESS = [
    sys.executable,
    "-c",
    "from vault.custodian import examining; examining.BETWEEN_SECONDS = 0.2; from infra.commands import main; main()",
]
"""`psephos` in which a custodian goes on re-reading what it holds without a pause of a minute."""


class Office:
    """A custodian's files, and the log that it is to keep: `entries` of a meeting."""

    def __init__(self, folder: Path, witness: Signer = WITNESS, mode: int = 0o700) -> None:
        self.meeting = Meeting().found()
        self.entries, self.origin = list(self.meeting.entries), self.meeting.origin
        self.source = LeafHashes([leaf_hash(entry) for entry in self.entries])
        self.folder, self.listen = folder, f"127.0.0.1:{free_port()}"
        self.private = f"127.0.0.1:{free_port()}"
        (folder / "manifest").write_bytes(self.entries[0])
        write_secret(folder / "token", TOKEN + "\n")
        write_secret(folder / "witness.key", witness.private + "\n")
        self.signers = self.meeting.parties.custodians[0]
        for number, signer in enumerate(self.signers):
            write_secret(folder / f"{number}.key", signer.private + "\n")
        keys = ", ".join(f'"{number}.key"' for number in range(len(self.signers)))
        (folder / "custodian.toml").write_text(
            f'listen = "{self.listen}"\ntoken = "token"\nmanifests = ["manifest"]\nfolder = "held"\nkeys = [{keys}]\n'
            f'witness_key = "witness.key"\nprivate = "{self.private}"\n'
        )
        care.create(folder / "custodian.toml")
        (folder / "held").chmod(mode)

    @contextmanager
    def process(self) -> Iterator[subprocess.Popen[str]]:
        command = [*RESTLESS, "serve", "custodian", "--config", str(self.folder / "custodian.toml")]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextmanager
    def serving(self) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
        with self.process() as process, httpx.Client(base_url=f"http://{self.listen}", timeout=PATIENCE) as client:
            client.headers["Authorization"] = f"Bearer {TOKEN}"
            wait_until(lambda: self.answers(client))
            yield process, client

    def answers(self, client: httpx.Client) -> bool:
        try:
            return client.get("/healthz").status_code == 204
        except httpx.TransportError:
            return False

    def note(self, size: int) -> Note:
        text = Checkpoint(self.origin, size, frontier(self.source, size).root()).text
        return Note(text, tuple(key.sign(text, 1) for key in self.meeting.parties.log))

    def append(self, size: int) -> bytes:
        header = b"old 0\n\n" + self.note(size).raw
        return len(header).to_bytes(4, "big") + header + frame(self.entries[:size])


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_what_it_cosigned_it_has_after_it_was_killed(office: Office) -> None:
    with office.serving() as (process, client):
        answer = client.post(f"/{office.origin}/append", content=office.append(1))
        assert answer.status_code == 200
        process.kill()
    with office.serving() as (process, client):
        held = parse_note(client.get(f"/{office.origin}/held").content)
        assert held.text == office.note(1).text
        assert client.get(f"/{office.origin}/held/0/1").content == frame(office.entries[:1])
        again = client.post(f"/{office.origin}/append", content=office.append(1)).content
        times = [
            [key.verifier.verify(held.text, line.sig) for key, line in zip(office.signers, lines, strict=True)]
            for lines in map(parse_signature_lines, (answer.content, again))
        ]
        assert times[0] == times[1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    assert {path.stat().st_mode & 0o077 for path in (office.folder / "held").rglob("*")} == {0}


def test_what_changes_on_its_disk_while_it_runs_stops_it_from_signing(office: Office) -> None:
    with office.serving() as (_, client), httpx.Client(base_url=f"http://{office.private}") as private:
        assert client.post(f"/{office.origin}/append", content=office.append(1)).status_code == 200
        wait_until(lambda: private.get("/readyz").status_code == 204)
        (file,) = [path for path in (office.folder / "held").glob("logs/*/heads/**/*") if path.is_file()]
        raw = bytearray(file.read_bytes())
        raw[-40] ^= 1
        file.write_bytes(raw)
        wait_until(lambda: "damaged" in private.get("/readyz").text)
        assert "psephos_faults{" in private.get("/metrics").text
        # It does not even sign what it has signed before.
        answer = client.post(f"/{office.origin}/append", content=office.append(1))
        assert (answer.status_code, answer.json()["reason"]) == (503, "damaged")
        # It still shows what it holds, without a line of its own.
        held = parse_note(client.get(f"/{office.origin}/held").content)
        assert {line.name for line in held.signatures} == {key.name for key in office.meeting.parties.log}


def test_anybody_may_show_it_a_checkpoint_and_who_has_the_token_bring_the_entries(office: Office) -> None:
    size = len(office.entries)
    with office.serving() as (_, client):
        del client.headers["Authorization"]
        answer = client.post("/add-checkpoint", content=b"old 0\n\n" + office.note(size).raw)
        (line,) = parse_signature_lines(answer.content)
        assert (answer.status_code, line.name) == (200, WITNESS.name)
        body = beginning(office.origin, 0, size) + b"".join(packages(office, 0, size))
        headers = {"Content-Type": "application/octet-stream"}
        assert client.post("/add-entries", content=body, headers=headers).status_code == 401
        assert client.post(f"/{office.origin}/append", content=b"").status_code == 401
        headers["Authorization"] = f"Bearer {TOKEN}"
        answer = client.post("/add-entries", content=body, headers=headers)
        assert answer.status_code == 200
        assert [line.name for line in parse_signature_lines(answer.content)] == [key.name for key in office.signers]


def test_who_sends_byte_by_byte_keeps_nobody_out(office: Office) -> None:
    host, port = office.listen.split(":")
    with office.serving() as (_, client), ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection((host, int(port)), timeout=PATIENCE))
            # More than there may be: for each, another must go.
            for _ in range(450)
        ]
        for number, connection in enumerate(slow):
            line = f"POST /{office.origin}/append HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n".encode()
            try:
                connection.sendall(line[: number % len(line)] or line)
            except OSError:
                continue
        assert client.post(f"/{office.origin}/append", content=office.append(1)).status_code == 200
        assert client.get(f"/{office.origin}/held").status_code == 200


def ends_with(office: Office, said: str) -> None:
    with office.process() as process:
        assert process.wait(PATIENCE) == 1
        assert process.stderr is not None
        assert process.stderr.read() == f"psephos: {said}\n"


def test_a_folder_that_others_may_change_is_refused(tmp_path: Path) -> None:
    held = os.path.realpath(tmp_path / "held")
    ends_with(Office(tmp_path, mode=0o777), f"{held}: mode 0777 lets others change it; it must be 0700 (chmod 700)")


def test_a_witness_is_a_cosigner_of_its_own(tmp_path: Path) -> None:
    custodian = Meeting().found().parties.custodians[1][0]
    same_name = Signer(custodian.name, ML_DSA_44, bytes(32))
    for number, witness in enumerate((custodian, same_name)):
        folder = tmp_path / str(number)
        folder.mkdir()
        office = Office(folder, witness)
        said = f"key `witness_key` has the name or the key of another signer of {office.origin}"
        ends_with(office, f"{folder / 'custodian.toml'}: {said}")
