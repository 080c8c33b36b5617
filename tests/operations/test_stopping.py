"""Every service is told to stop while it is at work: it ends with code 0, and what it acknowledged is there."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from audit.log.notes import parse_note
from audit.log.tiles import frame
from audit.log.treehead import parse_checkpoint
from infra.queue.frames import read_rows
from tests.door.conftest import signed
from tests.door.test_process import Town, town
from tests.loopback import PATIENCE, serving, wait_until
from tests.operations.faces import Faces, faces
from tests.vault.test_following_process import Town as Followed
from tests.vault.test_process import Office, office

__all__ = ["faces", "office", "town"]
SIGNALS = [signal.SIGTERM, signal.SIGINT]


@contextmanager
def busy(work: Callable[[int], bool], workers: int = 4) -> Iterator[list[int]]:
    """Calls `work` with one number after another from several threads until it fails or the block ends; gives the
    numbers for which it was true.
    """
    done: list[int] = []
    numbers = iter(range(1 << 30))
    over, lock = threading.Event(), threading.Lock()

    def run() -> None:
        while not over.is_set():
            with lock:
                number = next(numbers)
            try:
                if work(number):
                    done.append(number)
            except httpx.TransportError:
                return

    threads = [threading.Thread(target=run) for _ in range(workers)]
    for thread in threads:
        thread.start()
    try:
        yield done
    finally:
        over.set()
        for thread in threads:
            thread.join(PATIENCE)


def ended(process: subprocess.Popen[bytes] | subprocess.Popen[str], number: signal.Signals) -> int:
    process.send_signal(number)
    return process.wait(PATIENCE)


@pytest.mark.parametrize("number", SIGNALS)
def test_an_intake_has_every_ballot_for_which_it_gave_a_receipt(town: Town, number: signal.Signals) -> None:
    texts = [town.place.text(account, revision=revision) for revision in range(12) for account in range(3)]
    acknowledged: dict[int, str] = {}
    with town.process() as (client, process):
        wait_until(lambda: client.ready)

        def hand_in(index: int) -> bool:
            if index >= len(texts):
                raise httpx.ReadError("no more")
            answer = client.post(texts[index])
            if answer.is_success:
                acknowledged[index] = answer.json()["line"]
            return answer.is_success

        with busy(hand_in) as done:
            wait_until(lambda: len(done) >= 4)
            assert ended(process, number) == 0
    kept = {*town.put, *town.place.outbox.ballots()}
    assert len(acknowledged) >= 4
    for index, line in acknowledged.items():
        assert signed(texts[index], line).raw in kept


@pytest.mark.parametrize("number", SIGNALS)
def test_the_queues_ingress_has_every_entry_that_it_took(faces: Faces, number: signal.Signals) -> None:
    with faces.process("ingress") as (process, client), busy(
        lambda i: client.post("/put", content=frame([b"%d" % i, b"%d again" % i])).status_code == 204
    ) as done:
        wait_until(lambda: len(done) >= 20)
        assert ended(process, number) == 0
    held = faces.held()
    assert {entry for i in done for entry in (b"%d" % i, b"%d again" % i)} <= held


@pytest.mark.parametrize("number", SIGNALS)
def test_the_queues_egress_has_deleted_what_it_said_and_nothing_else(faces: Faces, number: signal.Signals) -> None:
    faces.put([b"%d" % i for i in range(2000)])
    taken: dict[bytes, bytes] = {}
    acknowledged: set[bytes] = set()

    def take(_: int) -> bool:
        rows = list(read_rows(client.post("/take?most=8").content))
        taken.update((row.key, row.data) for row in rows)
        offered.update(row.data for row in rows)
        if client.post("/ack", content=b"".join(row.key for row in rows)).status_code == 204:
            acknowledged.update(row.data for row in rows)
        return bool(rows)

    offered: set[bytes] = set()
    with faces.process("egress") as (process, client), busy(take) as done:
        wait_until(lambda: len(done) >= 5)
        assert ended(process, number) == 0
    held = faces.held()
    assert not acknowledged & held
    # An answer may be lost with the connection: nothing is gone that was not handed out.
    assert {b"%d" % i for i in range(2000)} - held <= offered


@pytest.mark.parametrize("number", SIGNALS)
def test_a_custodian_holds_what_it_cosigned(office: Office, number: signal.Signals) -> None:
    with office.serving() as (process, client), busy(
        lambda i: client.post(f"/{office.origin}/append", content=office.append(1)).status_code == 200
    ) as done:
        wait_until(lambda: len(done) >= 5)
        assert ended(process, number) == 0
    with office.serving() as (_, client):
        note = parse_note(client.get(f"/{office.origin}/held").content)
        assert parse_checkpoint(note.text).size == 1


@pytest.mark.parametrize("number", SIGNALS)
def test_a_follower_serves_after_it_what_it_stored(tmp_path: Path, number: signal.Signals) -> None:
    followed = Followed(tmp_path)
    with serving(followed.app()) as url:
        source = f"{url}/{followed.meeting.origin}"
        with followed.process(source) as process, httpx.Client(base_url=str(followed.reader)) as client:
            wait_until(lambda: followed.serves(1))
            with busy(lambda _: client.get("checkpoint").status_code == 200) as done:
                wait_until(lambda: len(done) >= 5)
                assert ended(process, number) == 0
        with followed.process(source):
            wait_until(lambda: followed.serves(1))
