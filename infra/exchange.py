"""One question over HTTP to a service that may be anybody's: its answer is of a bounded length, and whole within a
bounded time, or there is none.

httpx bounds neither: a server that sends a byte now and then would hold its client for ever, and one that does not stop
sending would fill its memory. Nothing is unpacked, since a few bytes may unpack to any number.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import httpx

from audit.log.deadline import Deadline, client_with
from infra import log

# A proxy of the environment cannot reach what listens on this machine only.
LOOPBACK = ("all://127.0.0.1", "all://[::1]", "all://localhost")

_deadline = Deadline()


class Unusable(Exception):
    """There was an answer, and it is too long, came too slowly, or is too strange, to be one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, the media type as it was sent, and the whole body."""

    status: int
    media_type: str
    body: bytes


def check_address(url: str) -> None:
    """ValueError unless it is an address to `ask` at: http or https, and without a name or a password, which would be
    sent in place of the token. What is wrong is said without repeating it.
    """
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        raise ValueError("`url` is no address") from None
    if address.scheme not in ("http", "https") or not address.host:
        raise ValueError("`url` must begin with http:// or https://, and name a host")
    if address.userinfo:
        raise ValueError("`url` must not carry a name or a password: the token stands in a file")


def read_json(raw: bytes) -> Any:
    """The value of a stranger's JSON. ValueError for everything else, also what is nested too deeply to be read."""
    try:
        return json.loads(raw)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def client(timeout: httpx.Timeout, **options: Any) -> httpx.Client:
    """A client to `ask` with, kept open over many questions; threads may share it. `options` are httpx's."""
    headers = {**options.pop("headers", {}), "Accept-Encoding": "identity"}
    return client_with(_deadline, timeout, LOOPBACK, headers=headers, **options)


def ask(
    client: httpx.Client, method: str, url: str, content: bytes | None, *, most: int, seconds: float, **options: Any
) -> Answer:
    """The answer, its body at most `most` bytes, if it is whole after `seconds`.

    Unusable if it is not; httpx.HTTPError if there is none; RuntimeError if the client has been closed.
    """
    end = time.monotonic() + seconds
    _deadline.set(seconds)
    body = bytearray()
    try:
        with client.stream(method, url, content=content, **options) as answer:
            for part in answer.iter_raw():
                body += part
                if len(body) > most:
                    raise Unusable(f"the answer is longer than {most} bytes")
                if time.monotonic() > end:
                    raise Unusable(f"the answer is not whole after {seconds:g} seconds")
            return Answer(answer.status_code, answer.headers.get("content-type", ""), bytes(body))
    except (httpx.HTTPError, Unusable):
        raise
    except Exception as error:
        if client.is_closed:
            raise
        # Nothing but httpx's work on a stranger's answer: what nobody foresaw there is that stranger's failure, too.
        log.failure(error)
        raise Unusable("the answer cannot be read") from None
