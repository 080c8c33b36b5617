"""Uploads at once: those who keep a place without using it keep nobody else out."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import AsyncIterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx
import pytest

from infra.http import Problem
from tests.loopback import serving, wait_until
from tests.vault.conftest import TOKEN, Served
from tests.vault.uploading import OCTETS, add, brought, seen, upload
from vault.custodian import standard_calls
from vault.custodian.serve import custodian_app
from vault.custodian.uploads import Upload, Uploads


class Line:
    """A client's side of an upload: what was sent is read, and then nothing comes."""

    def __init__(self, upload: Upload, *sent: bytes) -> None:
        self.upload, self.sent = upload, sent
        self.got: list[bytes] = []

    async def stream(self) -> AsyncIterator[bytes]:
        for chunk in self.sent:
            yield chunk
        await asyncio.Event().wait()

    async def read(self) -> None:
        async for chunk in self.upload.chunks(self.stream()):
            self.got.append(chunk)


async def reading(stack: ExitStack, places: Uploads, *sent: bytes) -> tuple[Line, asyncio.Task[None]]:
    line = Line(stack.enter_context(places.place()), *sent)
    task = asyncio.create_task(line.read())
    while not line.upload.waits or len(line.got) < len(sent):
        await asyncio.sleep(0)
    return line, task


def test_who_has_brought_the_least_for_its_time_makes_room_and_keeps_what_it_has_sent() -> None:
    time = 0.0

    async def course() -> None:
        nonlocal time
        places = Uploads(3, lambda: time)
        with ExitStack() as stack:
            quick, _ = await reading(stack, places, b"what is new")
            quick.upload.new = 2560
            slow, slow_ends = await reading(stack, places, b"what is new")
            slow.upload.new = 256
            _, idle_ends = await reading(stack, places, b"what is there already")
            time = 10.0
            young, young_ends = await reading(stack, places)
            await asyncio.wait_for(idle_ends, 10)
            young.upload.new = 1
            time = 20.0
            await reading(stack, places)
            await asyncio.wait_for(young_ends, 10)
            _, last_ends = await reading(stack, places)
            assert not slow_ends.done() and not last_ends.done()
            assert slow.got == [b"what is new"]
            assert quick.upload.waits

    asyncio.run(course())


def test_one_whose_entries_are_being_stored_is_not_cut_off() -> None:
    async def course() -> None:
        places = Uploads(1, iter((0.0, 100.0)).__next__)
        with places.place() as upload:
            assert not upload.waits
            with pytest.raises(Problem), places.place():
                pass

    asyncio.run(course())


def test_as_many_idle_uploads_as_may_be_keep_nobody_out(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standard_calls, "MAX_UPLOADS", 2)
    seen(served, 700)
    body = upload(served, 0, 700)
    with serving(custodian_app(served.custodian, [served.log.origin], TOKEN)) as url, ExitStack() as stack:
        for _ in range(2):
            idle = http.client.HTTPConnection(urlsplit(url).netloc)
            stack.callback(idle.close)
            idle.putrequest("POST", "/add-entries")
            for name, value in {**OCTETS, "Content-Length": str(len(body))}.items():
                idle.putheader(name, value)
            idle.endheaders(upload(served, 0, 700, most=1))
            wait_until(lambda: brought(served) == 256)
        rest = upload(served, 256, 700)
        # Whether an upload waits, or is about to, nobody outside can tell.
        wait_until(lambda: httpx.post(f"{url}/add-entries", content=rest, headers=OCTETS).status_code == 200)
    assert served.store().entries(served.log.origin, 0, 701) == served.log.entries


def test_more_than_there_may_be_at_once_come_again(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standard_calls, "MAX_UPLOADS", 0)
    served.restart()
    seen(served, 2)
    answer = add(served, upload(served, 0, 2))
    assert (answer.status_code, answer.json()["reason"]) == (503, "busy")
